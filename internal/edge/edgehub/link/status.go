package link

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/shorten"
)

// Status is what is known of the link, for people. The zero value is ready to
// use.
type Status struct {
	mu      sync.Mutex
	last    Snapshot
	session *session.Session // nil: there is none
	// The bytes of the sessions before.
	received, sent uint64
}

// Snapshot is the link at one moment.
type Snapshot struct {
	// Since is when the present session began; zero: there is none.
	Since time.Time
	// LastContact is when cloudcore was last heard; zero: never.
	LastContact time.Time
	// LastError says why the last session ended, or could not begin, and
	// LastErrorAt when that was.
	LastError   string
	LastErrorAt time.Time
	// NextTry is when the link is tried again; zero with a session.
	NextTry time.Time
	// Sessions is how many there were since edgecore started.
	Sessions int
	// Received and Sent are the bytes of all sessions, those of TLS included.
	Received, Sent uint64
}

// Snapshot returns what is known.
func (s *Status) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.last
	out.Received, out.Sent = s.received, s.sent
	if s.session != nil {
		of := s.session.State()
		out.LastContact = of.LastContact
		out.Received += of.Received
		out.Sent += of.Sent
	}
	return out
}

func (s *Status) connected(of *session.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = of
	s.last.Since, s.last.NextTry = time.Now(), time.Time{}
	s.last.Sessions++
}

func (s *Status) failed(err error, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		of := s.session.State()
		s.last.LastContact = of.LastContact
		s.received += of.Received
		s.sent += of.Sent
		s.session = nil
	}
	s.last.Since, s.last.NextTry = time.Time{}, next
	s.last.LastError, s.last.LastErrorAt = shorten.Text(err.Error(), maxErrorBytes), time.Now()
}

// explain says first what a person can do; the rest of an error may be long.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case strings.Contains(err.Error(), "remote error: tls: expired certificate"):
		return fmt.Errorf("this node's certificate has expired, join again with a new token: %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("cloudcore's certificate is not valid now, look at this node's clock first: %w", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("this is another cloudcore, or one that was installed anew, join again with a new token: %w", err)
	}
	return err
}
