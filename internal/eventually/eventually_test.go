package eventually

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake takes down what a test is told.
type fake struct {
	testing.TB
	attrs  []string
	failed string
}

func (f *fake) Helper() {}

func (f *fake) Attr(key, value string) { f.attrs = append(f.attrs, key+" "+value) }

func (f *fake) Fatalf(format string, args ...any) {
	f.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestSucceeds(t *testing.T) {
	tests := []struct {
		name   string
		after  time.Duration
		within time.Duration
		attrs  string
		failed string
	}{
		{name: "at once", within: time.Second},
		{name: "soon", after: 300 * time.Millisecond, within: time.Second},
		{name: "late", after: 3 * time.Second, within: time.Minute, attrs: "wait 3.1s not yet"},
		{name: "never", after: time.Hour, within: time.Minute, failed: "after 1m0s: not yet"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, began, done := &fake{TB: t}, time.Now(), make(chan struct{})
				go func() {
					defer close(done)
					Succeeds(f, test.within, func(ctx context.Context) error {
						if ctx.Err() != nil {
							return ctx.Err()
						}
						if time.Since(began) < test.after {
							return errors.New("not\nyet")
						}
						return nil
					})
				}()
				<-done
				if got := strings.Join(f.attrs, ";"); got != test.attrs {
					t.Errorf("told %q, want %q", got, test.attrs)
				}
				if got := strings.ReplaceAll(f.failed, "\n", " "); got != test.failed {
					t.Errorf("failed with %q, want %q", got, test.failed)
				}
			})
		})
	}
}

func TestTellCuts(t *testing.T) {
	f := &fake{TB: t}
	Tell(f, time.Now().Add(-time.Minute), strings.Repeat("ü", maxToldBytes))
	if len(f.attrs) != 1 || len(f.attrs[0]) > maxToldBytes+20 || strings.ContainsRune(f.attrs[0], '\ufffd') {
		t.Errorf("told %q", f.attrs)
	}
}
