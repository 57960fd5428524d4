package aptget

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetry(t *testing.T) {
	exit := errors.New("exit status 100")
	for name, c := range map[string]struct {
		says    []string // of one call after another; the last one counts for all that follow
		err     error    // of the last one; all others fail
		want    string   // in the error
		calls   int
		waiting int
	}{
		"free":            {says: []string{"Setting up runc"}, calls: 1},
		"another failure": {says: []string{"E: Unable to locate package nonsense"}, err: exit, want: "exit status 100", calls: 1},
		"dpkg's lock": {says: []string{
			"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt-get)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
			"E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
			"Setting up runc"}, calls: 3, waiting: 1},
		"the lists' lock": {says: []string{
			"E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\nE: Unable to lock directory /var/lib/apt/lists/",
			"Reading package lists"}, calls: 2, waiting: 1},
		"for ever": {says: []string{"E: Could not get lock /var/lib/dpkg/lock"}, err: exit, want: "no other program holds apt-get's locks",
			calls: int(lockPatience / retryInterval), waiting: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, waiting := 0, 0
				said, err := Retry(t.Context(), func() { waiting++ }, func() ([]byte, error) {
					says := c.says[min(calls, len(c.says)-1)]
					calls++
					if calls < len(c.says) {
						return []byte(says), exit
					}
					return []byte(says), c.err
				})
				if (err != nil) != (c.want != "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err)) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if calls < c.calls || calls > c.calls+1 || waiting != c.waiting || string(said) != c.says[len(c.says)-1] {
					t.Errorf("%d calls, waited %d times, said %q", calls, waiting, said)
				}
			})
		})
	}
}

func TestRetryIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		calls := 0
		_, err := Retry(ctx, func() {}, func() ([]byte, error) {
			calls++
			return []byte("E: Unable to lock the download directory"), errors.New("exit status 100")
		})
		if err == nil || calls != 1 {
			t.Errorf("%d calls, error %v", calls, err)
		}
	})
}
