package simulator

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/logging"
)

// Simulator simulates cameras.
type Simulator struct {
	options Options
	cameras []*Camera
	air     air
	later   later
	issuer  *issuer // nil without TLS
	log     *slog.Logger
	unsent  logging.Sparing // for messages that could not be sent
	began   time.Time
}

// New creates the cameras, without starting them.
func New(o Options) (*Simulator, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Simulator{options: o, log: o.Log, began: time.Now()}
	s.air.receive = s.receive
	if o.TLS {
		var err error
		if s.issuer, err = newIssuer(time.Now()); err != nil {
			return nil, err
		}
	}
	for n := o.First; n < o.First+o.Count; n++ {
		s.cameras = append(s.cameras, newCamera(s, n))
	}
	return s, nil
}

// Start starts all cameras. Each sends Hello after its own random delay. If one
// fails to start, all are stopped.
func (s *Simulator) Start() error {
	for _, c := range s.cameras {
		if err := c.Start(); err != nil {
			for _, started := range s.cameras {
				_ = started.Vanish()
			}
			return err
		}
	}
	return nil
}

// Close stops all cameras, which send Bye, and releases everything.
func (s *Simulator) Close() error {
	return s.stop(true)
}

// Kill is Close without Bye, like a power failure.
func (s *Simulator) Kill() error { return s.stop(false) }

func (s *Simulator) stop(withBye bool) error {
	if withBye {
		var left []*Camera
		for _, c := range s.cameras {
			if c.sayBye() {
				left = append(left, c)
			}
		}
		if len(left) > 0 && !s.options.Once {
			_ = backoff.Sleep(context.Background(), repeatDelay()) // it has no end
			for _, c := range left {
				c.sayBye()
			}
		}
	}
	var errs []error
	for _, c := range s.cameras {
		errs = append(errs, c.Vanish())
	}
	s.later.stop()
	return errors.Join(errs...)
}

// Cameras returns them in the order of their numbers.
func (s *Simulator) Cameras() []*Camera { return s.cameras }

// Camera returns the camera of a number, or an error.
func (s *Simulator) Camera(number int) (*Camera, error) {
	first := s.options.First
	if number < first || number >= first+len(s.cameras) {
		return nil, fmt.Errorf("there is no camera %d: they are numbered from %d to %d", number, first, first+len(s.cameras)-1)
	}
	return s.cameras[number-first], nil
}

// Roots returns a pool with the CA of the cameras; nil without TLS.
func (s *Simulator) Roots() *x509.CertPool {
	if s.issuer == nil {
		return nil
	}
	return s.issuer.roots
}

// Issuer returns the CA certificate of the cameras, in PEM; nil without TLS. Each
// Simulator has its own CA.
func (s *Simulator) Issuer() []byte {
	if s.issuer == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.issuer.cert.Raw})
}

// receive handles a datagram: unicast is for the cameras at that address,
// multicast for those on that interface.
func (s *Simulator) receive(data []byte, from netip.AddrPort, at *socket) {
	q, err := readQuestion(data)
	if err != nil {
		if !errors.Is(err, errNotAsked) {
			s.log.Debug("malformed datagram", "from", from, "error", err)
		}
		return
	}
	if at.seen(from.String() + " " + q.id) {
		return // it was sent again
	}
	for _, c := range s.cameras {
		if via := c.hears(at); via != nil {
			c.ask(q, from, via, at.group())
		}
	}
}

// later runs functions after a delay, until it is stopped.
type later struct {
	mu      sync.Mutex
	stopped bool
	waiting map[*time.Timer]struct{}
	running sync.WaitGroup
}

// maxWaiting is the maximum of delayed messages, so that a flood of probes takes a
// bounded amount of memory.
const maxWaiting = 4 * MaxCameras

// do runs f after d, at once if d is not positive. It drops f if too many wait.
func (l *later) do(d time.Duration, f func()) {
	l.mu.Lock()
	if l.stopped || len(l.waiting) >= maxWaiting {
		l.mu.Unlock()
		return
	}
	l.running.Add(1)
	if d <= 0 {
		l.mu.Unlock()
		defer l.running.Done()
		f()
		return
	}
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = map[*time.Timer]struct{}{}
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		defer l.running.Done()
		l.mu.Lock()
		_, mine := l.waiting[timer]
		delete(l.waiting, timer)
		l.mu.Unlock()
		if mine {
			f()
		}
	})
	l.waiting[timer] = struct{}{}
}

// stop drops waiting functions and waits for running ones.
func (l *later) stop() {
	l.mu.Lock()
	l.stopped = true
	for timer := range l.waiting {
		delete(l.waiting, timer)
		if timer.Stop() {
			l.running.Done()
		}
	}
	l.mu.Unlock()
	l.running.Wait()
}

// endpoint is an address of a camera with what listens there.
type endpoint struct {
	at      netip.AddrPort // HTTP
	rtsp    netip.AddrPort
	on      *link
	sends   *socket // from its address; receives what is sent to it alone
	hears   *socket // the group's; nil if the interface has no multicast
	close   context.CancelFunc
	serving sync.WaitGroup
}
