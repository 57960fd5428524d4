package controller

import (
	"testing"
	"time"

	"k8s.io/client-go/rest"
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

// The time limit of the lock's requests is not the manager's: its watches would
// end with it.
func TestLockLeavesTheConfig(t *testing.T) {
	cfg := &rest.Config{Host: "https://127.0.0.1:1", UserAgent: "akri-controller"}
	lock, err := newLock(cfg, "akri", Pod{Name: "p", UID: "u"}, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if lock.Identity() != "p" || lock.Describe() != "akri/"+LeaseName {
		t.Errorf("lock %s of %s", lock.Describe(), lock.Identity())
	}
	if cfg.Timeout != 0 || cfg.UserAgent != "akri-controller" {
		t.Errorf("the manager's requests end after %v, as %q", cfg.Timeout, cfg.UserAgent)
	}
}
