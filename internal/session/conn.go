package session

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// What is on its way, nothing more urgent can pass: with the defaults, a frame
// waits for seconds on a slow link.
const (
	// notSentLowBytes bounds what the kernel keeps of a connection's unsent bytes
	// (TCP_NOTSENT_LOWAT, tcp(7)).
	notSentLowBytes = 16 << 10
	// receiveBufferBytes bounds what the other end may send that was not yet
	// received, and so what waits in the buffers of slow links: 0.26 s at 2 Mbit/s.
	// More would be needed for more than 1.7 Mbit/s where an answer takes 300 ms.
	receiveBufferBytes = 64 << 10
)

// Conn is a connection below TLS. It counts what passes, and reads no faster
// than it may.
type Conn struct {
	net.Conn
	limit          *rate.Limiter // nil: none
	received, sent atomic.Uint64
	totals         *Totals // nil: nobody wants to know

	closed    chan struct{}
	closeOnce sync.Once
}

// Totals are the bytes of many connections.
type Totals struct{ Received, Sent atomic.Uint64 }

// NewConn takes over a connection. bytesPerSecond bounds what is read of it, 0
// does not; burst is how much may come at once. Its bytes are added to totals,
// if that is not nil.
func NewConn(c net.Conn, bytesPerSecond, burst int, totals *Totals) *Conn {
	out := &Conn{Conn: c, totals: totals, closed: make(chan struct{})}
	if bytesPerSecond > 0 {
		out.limit = rate.NewLimiter(rate.Limit(bytesPerSecond), max(burst, minBurstBytes))
	}
	keepLittle(c)
	return out
}

// minBurstBytes is what one Read may return: more than a TLS record.
const minBurstBytes = 64 << 10

// keepLittle bounds the kernel's buffers, if there is a socket. It is best effort.
func keepLittle(c net.Conn) {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = inner.NetConn()
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetReadBuffer(receiveBufferBytes)
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowBytes)
		})
	}
}

// NetConn returns the connection that it has taken over.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read waits after a read that was faster than allowed.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), minBurstBytes)])
	if n > 0 {
		c.received.Add(uint64(n))
		if c.totals != nil {
			c.totals.Received.Add(uint64(n))
		}
		if c.limit != nil {
			c.pause(c.limit.ReserveN(time.Now(), n).Delay())
		}
	}
	return n, err
}

// pause waits, but not for a connection that is closed.
func (c *Conn) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closed:
	}
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.sent.Add(uint64(n))
		if c.totals != nil {
			c.totals.Sent.Add(uint64(n))
		}
	}
	return n, err
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
