//go:build e2e

package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/akri-go/akri/test/chaos/history"
	"github.com/akri-go/akri/test/testcluster"
)

const (
	// roundsPerCheck is after how many rounds the cluster gets time to recover.
	roundsPerCheck = 10
	// recoveryTimeout is how long that may take. A broker that was refused while
	// parts were down is made again after a delay that grows to five minutes; that,
	// and what a busy machine needs for the rest.
	recoveryTimeout = 15 * time.Minute
)

// limits leave room for a kubelet that is away, an agent that starts for the
// second time in a row, and a slow machine.
var limits = history.Limits{MaxDelay: 30 * time.Second, FindTimeout: 3 * time.Minute, Replacements: 3, FaultPeriod: time.Minute}

// Random parts of the cluster are killed while devices and Pods come and go. No
// Instance is lost or doubled, no slot is given twice or leaked, no running
// broker is stopped; and at the end everything is as it should be.
func TestChaos(t *testing.T) {
	began := *seed
	if began == 0 {
		began = time.Now().UnixNano() & (1<<31 - 1)
	}
	t.Logf("seed %d", began)
	rng := rand.New(rand.NewPCG(uint64(began), 0))
	ns := bed.NewNamespace(t)
	rec := record(t, ns)
	t.Cleanup(func() { rec.judge(t, limits) })
	w := newFixture(t, ns, rng, rec)
	known := processes{}
	heal := func(settled bool) {
		t.Helper()
		start := time.Now()
		testcluster.Eventually(t, recoveryTimeout, w.converged(settled))
		t.Logf("all is well after %v", time.Since(start).Round(time.Second))
		known.look(t)
	}
	heal(true)
	end := time.Now().Add(*length)
	more := func(round int) bool {
		if *length > 0 {
			return time.Now().Before(end)
		}
		return round <= *rounds
	}
	for round := 1; more(round); round++ {
		killed, revive := "nothing", func() {}
		if *kill {
			killed, revive = w.strike()
		}
		did := w.change()
		pause(t, rng, 1500*time.Millisecond)
		if revive != nil {
			revive()
		}
		t.Logf("%s round %d: kill %s; %s", time.Now().Format("15:04:05.000"), round, killed, did)
		pause(t, rng, 1500*time.Millisecond)
		if round%roundsPerCheck == 0 && more(round+1) {
			heal(false)
		}
	}
	heal(true)
	testcluster.Eventually(t, recoveryTimeout, w.clear())
	known.leaks(t)
}

// pause waits for a random time, so that faults hit the cluster in any state.
func pause(t *testing.T, rng *rand.Rand, atMost time.Duration) {
	select {
	case <-time.After(time.Duration(rng.Int64N(int64(atMost)))):
	case <-t.Context().Done():
	}
}
