//go:build e2e

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/akri-go/akri/test/testcluster"
)

// By how much a process may have grown since it was first seen. This finds what
// grows with every fault or device, nothing finer.
const (
	maxMoreGoroutines = 100
	maxMoreBytes      = 48 << 20 // bytes
	maxMoreFiles      = 50       // open file descriptors
)

// footprint is what a process uses.
type footprint struct {
	goroutines, memory, files float64
}

// processes are the agents and controllers by Pod and number of restarts, with
// what they used when they were first seen.
type processes map[string]footprint

// look notes processes that it has not seen, and returns what all use now.
func (known processes) look(t *testing.T) processes {
	t.Helper()
	now := processes{}
	for _, name := range []string{"akri-agent", "akri-controller"} {
		pods, err := ourPods(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
				f, err := footprintOf(ctx, &p)
				if err == nil && len(p.Status.ContainerStatuses) == 1 {
					now[fmt.Sprintf("%s, restart %d", p.Name, p.Status.ContainerStatuses[0].RestartCount)] = f
				}
				return err
			})
		}
	}
	for name, f := range now {
		if _, ok := known[name]; !ok {
			known[name] = f
		}
	}
	return now
}

// leaks complains of processes that have grown since they were first seen.
func (known processes) leaks(t *testing.T) {
	t.Helper()
	compared := 0
	for name, now := range known.look(t) {
		first := known[name]
		if first == now {
			continue // first seen just now
		}
		compared++
		t.Logf("%s: goroutines %.0f, then %.0f; memory %.1f MiB, then %.1f MiB; open files %.0f, then %.0f", name,
			first.goroutines, now.goroutines, first.memory/(1<<20), now.memory/(1<<20), first.files, now.files)
		if now.goroutines > first.goroutines+maxMoreGoroutines {
			t.Errorf("%s has %.0f goroutines, and had %.0f: they leak", name, now.goroutines, first.goroutines)
		}
		if now.memory > first.memory+maxMoreBytes {
			t.Errorf("%s uses %.0f bytes, and used %.0f: they leak", name, now.memory, first.memory)
		}
		if now.files > first.files+maxMoreFiles {
			t.Errorf("%s has %.0f open files, and had %.0f: they leak", name, now.files, first.files)
		}
	}
	if compared == 0 {
		t.Log("no agent or controller lived long enough to be compared")
	}
}

func footprintOf(ctx context.Context, p *corev1.Pod) (f footprint, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":8080/metrics", nil)
	if err != nil {
		return f, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return f, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		var to *float64
		switch name {
		case "go_goroutines":
			to = &f.goroutines
		case "process_resident_memory_bytes":
			to = &f.memory
		case "process_open_fds":
			to = &f.files
		default:
			continue
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return f, err
		}
	}
	if f.goroutines == 0 || f.memory == 0 || f.files == 0 {
		return f, fmt.Errorf("%s: its metrics do not have goroutines, memory and open files: %w", p.Name, lines.Err())
	}
	return f, nil
}
