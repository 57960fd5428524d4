//go:build e2e

package nodes

import (
	"net/netip"
	"testing"

	"github.com/akri-go/akri/internal/street"
)

// streetAddr is an address of the street, counted from 0.
func streetAddr(n int) netip.Addr { return bed.Network().Street(n) }

// newStreet makes a street with n addresses. It is gone after the test.
func newStreet(t *testing.T, n int) *street.Street {
	t.Helper()
	s, err := bed.OpenStreet(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// there runs f in the street.
func there(t *testing.T, s *street.Street, f func() error) {
	t.Helper()
	if err := s.Do(f); err != nil {
		t.Fatal(err)
	}
}
