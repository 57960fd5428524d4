package session

import (
	"testing"
	"time"
)

// An end that pings seldom is not taken for dead.
func TestTimeoutOf(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		time.Second: minTimeout, PingInterval: 45 * time.Second, time.Minute: 135 * time.Second,
	} {
		if got := timeoutOf(interval); got != want || got < 2*interval {
			t.Errorf("%s: %s, want %s", interval, got, want)
		}
	}
	s := &Session{o: &Options{}, interval: PingInterval, timer: time.NewTimer(time.Hour)}
	defer s.timer.Stop()
	if s.SetPingInterval(time.Minute); s.timeout() != 135*time.Second {
		t.Errorf("cloudcore says 1m, and the timeout is %s", s.timeout())
	}
	s.o.Timeout = time.Hour
	if s.timeout() != time.Hour {
		t.Errorf("1h is given, and the timeout is %s", s.timeout())
	}
}
