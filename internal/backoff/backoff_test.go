package backoff

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelay(t *testing.T) {
	usual := Backoff{First: time.Second, Max: 10 * time.Second}
	for _, tt := range []struct {
		name     string
		backoff  Backoff
		failures int
		want     time.Duration
	}{
		{"no failure", usual, 0, 0},
		{"less than none", usual, -1, 0},
		{"the first", usual, 1, time.Second},
		{"the second", usual, 2, 2 * time.Second},
		{"the fourth", usual, 4, 8 * time.Second},
		{"no longer than Max", usual, 5, 10 * time.Second},
		{"many", usual, math.MaxInt, 10 * time.Second},
		{"no overflow", Backoff{First: time.Second, Max: math.MaxInt64}, 100, math.MaxInt64},
		{"First beyond Max", Backoff{First: time.Minute, Max: time.Second}, 1, time.Second},
		{"nothing", Backoff{}, 5, 0},
	} {
		if got := tt.backoff.Delay(tt.failures); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestJitter(t *testing.T) {
	b := Backoff{First: time.Second, Max: time.Minute, Jitter: 0.25}
	different := map[time.Duration]bool{}
	for range 1000 {
		d := b.Delay(2)
		if d < 1500*time.Millisecond || d > 2*time.Second {
			t.Fatalf("%s is not within a quarter below 2s", d)
		}
		different[d] = true
		if d := b.Delay(100); d < 45*time.Second || d > time.Minute {
			t.Fatalf("the longest delay is %s", d)
		}
		if d := Jitter(time.Second, 2); d < 0 || d > time.Second {
			t.Fatalf("a part of more than all: %s", d)
		}
	}
	if len(different) < 2 {
		t.Error("it is always the same")
	}
	if d := Jitter(0, 1); d != 0 {
		t.Errorf("of nothing: %s", d)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Sleep(t.Context(), time.Second); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
