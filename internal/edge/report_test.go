package edge

import (
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

func TestPodOf(t *testing.T) {
	machine := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	pod := func(containers string) *store.Object {
		return &store.Object{JSON: []byte(`{"status":{"phase":"Running","containerStatuses":[` + containers + `]}}`)}
	}
	const (
		ready   = `{"ready":true,"restartCount":1,"state":{"running":{"startedAt":"2026-11-30T12:00:05Z"}}}`
		stale   = `{"ready":true,"restartCount":2,"state":{"running":{"startedAt":"2026-11-30T11:59:00Z"}}}`
		unready = `{"restartCount":4,"state":{"waiting":{}}}`
	)
	for _, c := range []struct {
		name, containers string
		machine          time.Time
		ready            string
		restarts         int
	}{
		{"all run", ready + "," + ready, machine, "2/2", 2},
		{"one waits", ready + "," + unready, machine, "1/2", 5},
		{"from before the machine's start", stale + "," + ready, machine, "1/2", 3},
		{"it is not known when the machine started", stale, time.Time{}, "1/1", 2},
		{"nothing of them", "", machine, "0/0", 0},
	} {
		if p := podOf(pod(c.containers), c.machine); p.Ready != c.ready || p.Restarts != c.restarts || p.Phase != "Running" {
			t.Errorf("%s: %+v, want %s ready and %d restarts", c.name, p, c.ready, c.restarts)
		}
	}
}

func TestBooted(t *testing.T) {
	const first = "1 (a )b( c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 2550 9000 80\n"
	proc := func(stat, first string) fstest.MapFS {
		return fstest.MapFS{"stat": {Data: []byte(stat)}, "1/stat": {Data: []byte(first)}}
	}
	got, err := booted(proc("cpu 1 2\nbtime 1700000000\nprocesses 3\n", first))
	if want := time.Unix(1700000025, 500_000_000); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for name, bad := range map[string]fstest.MapFS{
		"nothing": {}, "no first process": {"stat": {Data: []byte("cpu\nbtime 1\n")}}, "no time": proc("cpu 1\n", first),
		"a bad time": proc("cpu\nbtime x\n", first), "a short first": proc("cpu\nbtime 1\n", "1 (init) S 0"), "empty": proc("", ""),
	} {
		if _, err := booted(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if at, err := booted(os.DirFS("/proc")); err != nil || at.After(time.Now()) || time.Since(at) > 10*365*24*time.Hour {
		t.Errorf("this machine: %v, %v", at, err)
	}
}
