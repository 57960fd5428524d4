package bounded

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Grace is how long requests may take to end when the server is stopped.
const Grace = 5 * time.Second

// Serve serves on a listener until ctx is done and the requests in flight have
// ended, or [Grace] is over. [Bound] bounds the server.
func Serve(ctx context.Context, l *Listener, s *http.Server) error {
	Bound(l, s)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
		defer cancel()
		if s.Shutdown(stopping) != nil {
			s.Close()
		}
	})
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if stop() { // it ended by itself
		s.Close()
		return err
	}
	<-ended
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Bound sets what a server's author has not set: timeouts for TLS handshakes,
// headers, bodies, answers and idle connections, the size of headers, and
// buffers for bodies. A handler whose answer does not end must lift its own
// deadlines ([http.ResponseController]). The server's ConnState becomes the
// listener's.
func Bound(l *Listener, s *http.Server) {
	s.ConnState = l.ConnState
	unset := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	unset(&s.ReadHeaderTimeout, 5*time.Second) // that of the TLS handshake, too
	unset(&s.ReadTimeout, 10*time.Second)
	unset(&s.WriteTimeout, 20*time.Second)
	unset(&s.IdleTimeout, 30*time.Second)
	if s.MaxHeaderBytes == 0 {
		s.MaxHeaderBytes = 16 << 10
	}
	if s.HTTP2 == nil {
		s.HTTP2 = &http.HTTP2Config{
			MaxConcurrentStreams:          16,
			MaxReceiveBufferPerConnection: 64 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
		}
	}
	if s.ErrorLog == nil {
		s.ErrorLog = log.New(io.Discard, "", 0) // clients could fill it
	}
}

// Peer returns the peer of a request: its remote IP address.
func Peer(r *http.Request) string { return host(r.RemoteAddr) }

var _ net.Listener = (*Listener)(nil)
