//go:build integration

package uevent

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
)

const null = "/sys/class/mem/null/uevent"

func poke(tb testing.TB, action string) {
	tb.Helper()
	if err := os.WriteFile(null, []byte(action), 0); err != nil {
		tb.Skipf("cannot ask the kernel for a synthetic event (needs root): %v", err)
	}
}

// listen opens a socket that is closed at the latest after ten seconds, so
// that a test that waits for nothing ends.
func listen(tb testing.TB, buffer int) *Conn {
	tb.Helper()
	c, err := Listen(buffer)
	if err != nil {
		tb.Fatal(err)
	}
	timer := time.AfterFunc(eventually.Patience, func() { c.Close() })
	tb.Cleanup(func() { timer.Stop(); c.Close() })
	return c
}

func TestSynthetic(t *testing.T) {
	c := listen(t, DefaultBufferBytes)
	poke(t, "change")
	for {
		e, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == (Event{Action: "change", Devpath: "/devices/virtual/mem/null", Subsystem: "mem", Synthetic: true}) {
			return
		}
	}
}

// A socket with the smallest buffer loses events, says so once, and receives
// again after Drain.
func TestOverflow(t *testing.T) {
	c := listen(t, 1)
	for range 200 {
		poke(t, "change")
	}
	lost := false
	for !lost {
		_, err := c.Next()
		if lost = errors.Is(err, ErrOverflow); err != nil && !lost {
			t.Fatal(err)
		}
	}
	if err := c.Drain(); err != nil {
		t.Fatal(err)
	}
	poke(t, "online")
	for {
		e, err := c.Next()
		if errors.Is(err, ErrOverflow) { // others' events can fill so small a buffer again
			if err = c.Drain(); err == nil {
				poke(t, "online")
				continue
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Action == "online" {
			return
		}
	}
}

func TestClose(t *testing.T) {
	c := listen(t, DefaultBufferBytes)
	done := make(chan error)
	go func() {
		for {
			if _, err := c.Next(); err != nil {
				done <- err
				return
			}
		}
	}()
	c.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkSynthetic(b *testing.B) {
	c := listen(b, DefaultBufferBytes)
	for b.Loop() {
		poke(b, "change")
		if _, err := c.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
