package onvif

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
)

// Answers that are lost in a crowd are not waited for until the next probe is due.
func TestCrowd(t *testing.T) {
	w := newWorld()
	for i := range 2 * crowd {
		w.there[fmt.Sprintf("camera-%d", i)] = fmt.Sprintf("10.0.1.%d", i+1)
	}
	w.deaf = func(uuid string, probe int) bool { return probe == 1 && strings.HasSuffix(w.there[uuid], "1") }
	w.run(t, "interval: 1h", func(last func() string) {
		time.Sleep(5 * time.Second)
		if n := len(strings.Fields(last())); n != 2*crowd {
			t.Errorf("%d of %d cameras are found soon", n, 2*crowd)
		}
		w.set(func() {
			if n := len(w.probes); n > 3 {
				t.Errorf("%d probes", n)
			}
		})
	})
}

// A camera that has said good-bye, and then does not answer, has departed: the
// agent need not wait for it. Whoever says good-bye in its name gets it off the
// list for as long as a probe takes, and no further.
func TestDeparted(t *testing.T) {
	w := newWorld("a", "b", "c")
	w.run(t, "interval: 1h", func(last func() string) {
		time.Sleep(2 * time.Second)
		w.set(func() { delete(w.there, "b") })
		w.heard(w.message(wsdiscovery.Bye, "a", "10.0.0.1")) // not a's
		w.heard(w.message(wsdiscovery.Bye, "b", "10.0.0.2"))
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "c" {
			t.Errorf("after two Byes: %s", got)
		}
		time.Sleep(900 * time.Millisecond)
		w.heard(w.message(wsdiscovery.Bye, "c", "10.0.0.3"))
		w.set(func() { delete(w.there, "c"); w.unicast = nil })
		time.Sleep(1500 * time.Millisecond)
		if got := last(); got != "a -b" {
			t.Errorf("after a probe: %s", got)
		}
		w.set(func() {
			if !slices.Contains(w.unicast, addr("10.0.0.2")) {
				t.Errorf("probed one by one: %v", w.unicast)
			}
		})
		time.Sleep(2 * time.Second)
		if got := last(); got != "a -b -c" {
			t.Errorf("after another probe: %s", got)
		}
		w.heard(w.message(wsdiscovery.Hello, "b", "10.0.0.2"))
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "a b -c" {
			t.Errorf("after a Hello: %s", got)
		}
		time.Sleep(departedFor)
		w.heard(w.message(wsdiscovery.Hello, "d", "10.0.0.4"))
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "a b d" {
			t.Errorf("much later: %s", got)
		}
	})
}
