package pace

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := Pace{MinInterval: time.Second, MaxInterval: 5 * time.Second}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 1, 2, 4, 5, 5} {
		if got := p.Wait(now); got != want*time.Second {
			t.Errorf("time %d: waits %s, want %d s", i, got, want)
		}
		now = now.Add(p.Wait(now))
		p.Done(now, now)
	}
	now = now.Add(10 * time.Second)
	if got := p.Wait(now); got != 0 {
		t.Errorf("after some quiet it waits %s", got)
	}
	p.Done(now, now)
	if got := p.Wait(now); got != time.Second {
		t.Errorf("and then %s", got)
	}
}

// What takes long is done less often, and that it takes long is no quiet time.
func TestShare(t *testing.T) {
	p := Pace{MinInterval: time.Second, MaxInterval: 5 * time.Second, Share: 10}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{30, 30, 30, 30} {
		ended := now.Add(3 * time.Second)
		p.Done(now, ended)
		if got := p.Wait(ended); got != want*time.Second {
			t.Errorf("time %d: waits %s, want %d s", i, got, want)
		}
		now = ended.Add(p.Wait(ended))
	}
	p.Done(now, now)
	if got := p.Wait(now); got != 5*time.Second {
		t.Errorf("when it is quick again it waits %s", got)
	}
}
