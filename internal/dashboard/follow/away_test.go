package follow

import (
	"errors"
	"testing"
	"time"
)

func TestAway(t *testing.T) {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	down := errors.New("connection refused")
	var a away
	for _, step := range []struct {
		at      int // seconds
		why     error
		changed bool
		clock   int
	}{
		{0, nil, false, 0},
		{10, nil, false, 10},
		{20, down, true, 20},
		{50, down, false, 20},
		{60, nil, true, 20},
		{74, nil, false, 20}, // agents have not renewed their Leases yet
		{75, nil, false, 75},
		{80, down, true, 80},
		{90, nil, true, 80},
		{95, down, true, 80}, // it is the same outage
		{99, nil, true, 80},
		{120, nil, false, 120},
	} {
		now := begin.Add(time.Duration(step.at) * time.Second)
		if changed := a.is(step.why, now); changed != step.changed {
			t.Errorf("at %d s: changed %v", step.at, changed)
		}
		if got := a.clock(now).Sub(begin); got != time.Duration(step.clock)*time.Second {
			t.Errorf("at %d s the clock says %v, want %d s", step.at, got, step.clock)
		}
	}
}
