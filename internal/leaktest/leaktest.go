// Package leaktest fails tests that leave goroutines behind.
package leaktest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// endTimeout is how long goroutines may take to end. goleak itself waits for less
// than half a second, which is too short on a busy machine.
const endTimeout = 2 * time.Minute

// Check fails the test if goroutines are left that did not exist when Check was
// called. It looks when the test and the cleanups that it registers later are
// over.
func Check(t testing.TB) { check(t, endTimeout) }

func check(t testing.TB, patience time.Duration) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		err := goleak.Find(before)
		for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); {
			err = goleak.Find(before)
		}
		if err != nil {
			t.Errorf("goroutines are left: %v", err)
		}
	})
}
