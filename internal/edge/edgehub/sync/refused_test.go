package sync

import (
	"errors"
	"fmt"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
)

func TestRefusals(t *testing.T) {
	now := time.Unix(1000, 0)
	r := refusals{retry: backoff.Backoff{First: time.Second, Max: 4 * time.Second}}
	why := errors.New("no")
	secrets, maps := edgev1.Interest{Resource: "secrets"}, edgev1.Interest{Resource: "configmaps"}
	for i, want := range []time.Duration{1, 2, 4, 4} {
		want *= time.Second
		if got := r.add(secrets, why, now); got != want {
			t.Errorf("refusal %d counts %s, want %s", i+1, got, want)
		}
		if r.of(secrets, now) != why || r.of(secrets, now.Add(want-1)) != why || r.of(secrets, now.Add(want)) != nil {
			t.Errorf("refusal %d counts for another time", i+1)
		}
	}
	// Each has its own.
	if err := r.of(maps, now); err != nil {
		t.Error(err)
	}
	if got := r.add(maps, why, now); got != time.Second {
		t.Errorf("another interest: %s", got)
	}
	r.forget(secrets)
	if err := r.of(secrets, now); err != nil {
		t.Errorf("one that is granted: %v", err)
	}
	if got := r.add(secrets, why, now); got != time.Second {
		t.Errorf("after it was granted: %s", got)
	}
	// There are only so many; those go that end first.
	r.add(maps, why, now.Add(time.Hour))
	for i := range 2 * maxRefusals {
		r.add(edgev1.Interest{Resource: fmt.Sprint(i)}, why, now.Add(time.Minute))
	}
	if len(r.all) != maxRefusals || r.of(maps, now) == nil || r.of(secrets, now) != nil {
		t.Errorf("%d are remembered: %v, %v", len(r.all), r.of(maps, now), r.of(secrets, now))
	}
}
