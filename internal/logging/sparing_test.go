package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSparing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		var s Sparing
		lines := func(n int, every time.Duration) int {
			out.Reset()
			for range n {
				s.Log(log, slog.LevelWarn, "x", "a", 1)
				time.Sleep(every) // fake
			}
			return strings.Count(out.String(), "\n")
		}
		if n := lines(1000, 0); n != sparingBurst {
			t.Errorf("%d of 1000 lines at once", n)
		}
		if n := lines(100, time.Second); n < 9 || n > 11 {
			t.Errorf("then %d in 100 s", n)
		}
		if !strings.Contains(out.String(), "level=WARN msg=x a=1 unsaid=990") {
			t.Errorf("it does not say how many were not logged: %s", &out)
		}
		time.Sleep(time.Hour) // fake
		if n := lines(5, time.Second); n != 5 {
			t.Errorf("%d of 5 after an hour", n)
		}
	})
}
