package mqtt

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/wire"
)

const (
	keepAlive   = time.Minute
	openTimeout = 20 * time.Second // for a connection, TLS and all
	// steadyAfter is how long a connection lasts that ends the growth of delays.
	steadyAfter = time.Minute

	// readBytes is how many bytes are read per second in the long run, and
	// burstBytes at once, such as when a broker tells all that it retains. Each
	// message counts for at least leastBytes.
	readBytes  = 2 << 20
	burstBytes = 32 << 20
	leastBytes = 128
)

// reconnect is how long to wait before a broker is called again. The handlers of
// many nodes lose it together, so much of it is random.
var reconnect = backoff.Backoff{First: time.Second, Max: time.Minute, Jitter: 0.5}

// link keeps a connection to a broker.
type link struct {
	broker      details.URL
	credentials credentials
	network     address.Network
	retry       backoff.Backoff
	limit       *rate.Limiter
	version     wire.Version // that the broker is known to speak
	client      string
}

func newLink(d details.Details, c credentials, n address.Network, retry backoff.Backoff) *link {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	return &link{broker: d.Broker, credentials: c, network: n, retry: retry, version: wire.V5,
		client: "akri-" + hex.EncodeToString(id[:]), limit: rate.NewLimiter(readBytes, burstBytes)}
}

// happening is what a link tells: a new connection, an event of it, or that it, or
// the attempt to have one, has ended.
type happening struct {
	conn  *wire.Conn
	event wire.Event
	err   error
}

// run connects, again and again, until ctx is done. tell waits until what it is
// told is taken.
func (l *link) run(ctx context.Context, tell func(happening)) {
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		conn, err := l.open(ctx)
		if err == nil {
			tell(happening{conn: conn})
			err = l.read(ctx, conn, tell)
			conn.Close()
		}
		if ctx.Err() != nil {
			return
		}
		tell(happening{err: err})
		if time.Since(began) > steadyAfter {
			failures = 0
		}
		failures++
		_ = backoff.Sleep(ctx, l.retry.Delay(failures))
	}
}

// errDropped is of a broker that hangs up.
var errDropped = fmt.Errorf("%w that it had accepted", wire.ErrClosed)

// read tells the events of a connection until it ends.
func (l *link) read(ctx context.Context, conn *wire.Conn, tell func(happening)) error {
	defer context.AfterFunc(ctx, conn.Close)()
	for {
		e, err := conn.Read()
		if err == wire.ErrClosed { //nolint:errorlint // one that says why is better
			err = errDropped
		}
		if err != nil {
			return err
		}
		now := time.Now()
		wait := l.limit.ReserveN(now, min(max(e.Bytes, leastBytes), burstBytes)).DelayFrom(now)
		if wait > 0 && backoff.Sleep(ctx, wait) != nil {
			return ctx.Err()
		}
		tell(happening{event: e})
	}
}

// open connects with the version that the broker speaks: with the other one if it
// does not like this one. Older brokers only hang up.
func (l *link) open(ctx context.Context) (*wire.Conn, error) {
	conn, err := l.openWith(ctx, l.version)
	if !errors.Is(err, wire.ErrVersion) && !errors.Is(err, wire.ErrClosed) {
		return conn, err
	}
	other := wire.V5
	if l.version == wire.V5 {
		other = wire.V311
	}
	conn, second := l.openWith(ctx, other)
	if second != nil {
		return nil, err
	}
	l.version = other
	return conn, nil
}

func (l *link) openWith(ctx context.Context, v wire.Version) (*wire.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, _, err := l.network.Connect(ctx, l.broker.Host, l.broker.Port, address.Named(l.broker.Host, "the URL"))
	if err != nil {
		return nil, err
	}
	if l.credentials.tls != nil {
		secure := tls.Client(conn, l.credentials.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, &handshakeError{err}
		}
		conn = secure
	}
	return wire.Open(ctx, conn, wire.Hello{Version: v, ClientID: l.client, User: l.credentials.user,
		Password: l.credentials.password, KeepAlive: keepAlive})
}

// handshakeError is of TLS that was not agreed on.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
