package leaktest

import (
	"testing"
	"time"
)

// recorder is a test whose failure is none of ours.
type recorder struct {
	testing.TB
	cleanup func()
	failed  bool
}

func (r *recorder) Cleanup(f func())      { r.cleanup = f }
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name           string
		ends, patience time.Duration
		fails          bool
	}{
		{"ends late", time.Second, endTimeout, false},
		{"does not end", time.Hour, time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, stop := &recorder{TB: t}, make(chan struct{})
			check(r, tt.patience)
			go func() {
				select {
				case <-time.After(tt.ends):
				case <-stop:
				}
			}()
			r.cleanup()
			close(stop)
			if r.failed != tt.fails {
				t.Errorf("failed: %v", r.failed)
			}
		})
	}
}
