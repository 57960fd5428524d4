package kubetest

import (
	"sync"
	"testing"

	"github.com/akri-go/akri/internal/loadgate"
)

// Shared is a server that the tests of a package take in turns. To start one takes
// more CPU time than most tests.
type Shared struct {
	opts   []Option
	turn   sync.Mutex
	server *Server // nil: the next test starts one
}

// Share returns a server that the first test starts.
func Share(opts ...Option) *Shared { return &Shared{opts: opts} }

// Run runs the tests of a package, for TestMain: it stops the server after the last
// one and returns the exit code.
func (s *Shared) Run(m *testing.M) int {
	defer s.close()
	return m.Run()
}

// Start waits for the server and gives it to a test until that is over. For the next
// test, it is as it was: all objects that were made meanwhile are gone. It is not if
// what was there before, such as a CRD, has been changed. After a test that failed,
// and one that leaves it stopped, the next has another server.
func (s *Shared) Start(t testing.TB) *Server {
	t.Helper()
	s.turn.Lock()
	t.Cleanup(s.turn.Unlock)
	if s.server == nil {
		loadgate.Wait(t)
		server, err := start(t.Context(), s.opts...)
		if err != nil {
			t.Fatalf("start a test API server: %v", err)
		}
		s.server = server
	}
	t.Cleanup(func() {
		s.server.tellOfFailure(t)
		if t.Failed() || s.server.clear() != nil {
			s.close()
		}
	})
	return s.server
}

func (s *Shared) close() {
	if s.server != nil {
		s.server.Close()
		s.server = nil
	}
}
