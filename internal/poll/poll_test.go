package poll

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		asked := 0
		err := Until(t.Context(), "it is the third time", time.Second, func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if took := time.Since(began); err != nil || took != 2*time.Second {
			t.Errorf("took %v: %v", took, err)
		}
	})
}

func TestUntilEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := errors.New("no")
		late, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		for _, tt := range []struct {
			name       string
			ctx        context.Context
			err, cause error
			text       string
		}{
			{"the deadline", late, no, context.DeadlineExceeded, "waiting until it is so: context deadline exceeded (last: no)"},
			{"an interruption", stopped, no, context.Canceled, "interrupted while waiting until it is so: context canceled"},
			{"a fatal error", t.Context(), Fatal(no), no, "it is so: no"},
		} {
			err := Until(tt.ctx, "it is so", time.Second, func(context.Context) error { return tt.err })
			if !errors.Is(err, tt.cause) || !strings.HasPrefix(err.Error(), tt.text) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.text)
			}
		}
	})
}
