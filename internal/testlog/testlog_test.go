package testlog

import (
	"strings"
	"sync"
	"testing"
)

// Lines that goroutines write at once stay whole, and can be read meanwhile.
func TestBuffer(t *testing.T) {
	var b Buffer
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if _, err := b.Write([]byte("line\n")); err != nil {
					t.Error(err)
				}
				if !strings.HasSuffix(b.String(), "line\n") {
					t.Errorf("ends with %.20q", b.String())
				}
			}
		})
	}
	wg.Wait()
	if n := strings.Count(b.String(), "line\n"); n != 800 || len(b.String()) != 800*5 {
		t.Errorf("%d lines in %d bytes", n, len(b.String()))
	}
	if b.Reset(); b.String() != "" {
		t.Errorf("after Reset: %q", b.String())
	}
}
