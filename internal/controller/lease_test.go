package controller

import (
	"testing"
	"time"
)

func TestRenewal(t *testing.T) {
	for _, lease := range []time.Duration{6 * time.Second, DefaultLeaseDuration, time.Hour} {
		deadline, retry := renewal(lease)
		// What client-go insists on, whose retries have a jitter of 20 %.
		if lease <= deadline || deadline <= retry*12/10 || retry < time.Second {
			t.Errorf("a Lease of %v is given up after %v and tried every %v", lease, deadline, retry)
		}
		// Two tries must fit before the replica gives up.
		if deadline < 3*retry {
			t.Errorf("a Lease of %v has no second try", lease)
		}
	}
}
