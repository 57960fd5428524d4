package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/akri-go/akri/internal/backoff"
)

// measureIdle counts the API writes of Akri and the CPU time of its agents while
// there are many devices and nothing changes.
func measureIdle(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+b.idle)
	defer cancel()
	return b.withDevices(ctx, "bench-idle", b.devices, func(time.Duration, time.Duration) error { return b.watchIdle(ctx) })
}

func (b *bench) watchIdle(ctx context.Context) error {
	agents, err := b.processes(ctx, "akri-agent")
	if err != nil {
		return err
	}
	before, err := b.settled(ctx)
	if err != nil {
		return err
	}
	var cpu time.Duration
	for _, p := range agents {
		cpu -= p.cpu()
	}
	started := time.Now()
	if err := backoff.Sleep(ctx, b.idle); err != nil {
		return err
	}
	took := time.Since(started)
	for _, p := range agents {
		cpu += p.cpu()
	}
	after, err := b.writes(ctx)
	if err != nil {
		return err
	}
	minutes := took.Minutes()
	for what, n := range after {
		if n > before[what] {
			fmt.Fprintf(os.Stderr, "written while idle: %s, %.0f times\n", what, n-before[what])
		}
	}
	b.report(fmt.Sprintf("idle-writes-%d-instances", b.devices), (sum(after)-sum(before))/minutes, "writes/min", 0)
	b.report(fmt.Sprintf("idle-agent-cpu-%d-instances", b.devices), 100*cpu.Seconds()/took.Seconds()/float64(len(agents)), "percent-of-a-core", 0)
	return nil
}

// settled waits until Events and status of the devices have been written: the
// last Event of a burst may wait for 30 s, so it waits for 40 s without a
// write, or three minutes. It returns the writes until then.
func (b *bench) settled(ctx context.Context) (map[string]float64, error) {
	var last map[string]float64
	quiet := 0
	err := wait.PollUntilContextTimeout(ctx, 5*time.Second, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		now, err := b.writes(ctx)
		if err != nil {
			return false, err
		}
		quiet++
		if !maps.Equal(now, last) {
			last, quiet = now, 0
		}
		return quiet == 8, nil
	})
	if err != nil && !wait.Interrupted(err) {
		return nil, err
	}
	return last, ctx.Err()
}

func sum(counts map[string]float64) (total float64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// quietDevices is the number of devices for the figure "quiet": a busy node.
const quietDevices = 64

// measureQuiet reports what each component uses while nothing changes: CPU and
// memory of one of its processes, and its requests to the API server.
func measureQuiet(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+b.idle)
	defer cancel()
	return b.withDevices(ctx, "bench-quiet", quietDevices, func(time.Duration, time.Duration) error {
		if _, err := b.settled(ctx); err != nil {
			return err
		}
		return b.watchQuiet(ctx)
	})
}

func (b *bench) watchQuiet(ctx context.Context) error {
	processes := map[string][]process{}
	cpu := map[string]time.Duration{}
	for _, component := range components {
		all, err := b.processes(ctx, component)
		if err != nil {
			return err
		}
		processes[component] = all
		cpu[component] -= total(all)
	}
	before, err := b.requests()
	if err != nil {
		return err
	}
	started := time.Now()
	if err := backoff.Sleep(ctx, b.idle); err != nil {
		return err
	}
	took := time.Since(started)
	for _, component := range components {
		all := processes[component]
		cpu[component] += total(all)
		rss, _, err := all[0].rss()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("quiet-%s-%d-devices", component, quietDevices)
		b.report(name+"-cpu", 100*cpu[component].Seconds()/took.Seconds()/float64(len(all)), "percent-of-a-core", 0)
		b.report(name+"-rss", rss, "MiB", 0)
	}
	after, err := b.requests()
	if err != nil || b.audit == "" {
		return err
	}
	for _, user := range auditedUsers() {
		var sum float64
		for _, what := range slices.Sorted(maps.Keys(after[user])) {
			perMinute := float64(after[user][what]-before[user][what]) / took.Minutes()
			if sum += perMinute; perMinute > 0 {
				fmt.Fprintf(os.Stderr, "%s: %s, %.1f a minute\n", user, what, perMinute)
			}
		}
		b.report(fmt.Sprintf("quiet-%s-requests", strings.TrimSuffix(user, "-sa")), sum, "requests/min", 0)
	}
	return nil
}

func total(all []process) (cpu time.Duration) {
	for _, p := range all {
		cpu += p.cpu()
	}
	return cpu
}

// auditedUsers are the service accounts whose requests are counted, without
// their namespace.
func auditedUsers() []string { return []string{"akri-agent-sa", "akri-controller-sa"} }

// requests returns the number of requests so far, by service account and by
// what they did to what. It needs the audit log of a cluster that bench has made.
func (b *bench) requests() (map[string]map[string]int, error) {
	counts := map[string]map[string]int{}
	for _, user := range auditedUsers() {
		counts[user] = map[string]int{}
	}
	if b.audit == "" {
		return counts, nil
	}
	return counts, readAudit(b.audit, func(e auditEvent) {
		if of := counts[e.User.Username[strings.LastIndexByte(e.User.Username, ':')+1:]]; of != nil {
			of[e.what()]++
		}
	})
}

// auditEvent is a request that the API server has logged when it ended; a watch
// ends, too.
type auditEvent struct {
	Verb                   string
	User, ImpersonatedUser struct{ Username string }
	ObjectRef              struct{ Resource, Subresource string }
}

// what says what a request did to what.
func (e auditEvent) what() string {
	return strings.TrimSuffix(e.Verb+" "+e.ObjectRef.Resource+"/"+e.ObjectRef.Subresource, "/")
}

// readAudit calls each for the requests in an audit log.
func readAudit(file string, each func(auditEvent)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var e auditEvent
		if err := d.Decode(&e); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // the last line may be half written
		} else if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		each(e)
	}
}

var (
	requestLine = regexp.MustCompile(`^apiserver_request_total\{(.*)\} (\S+)$`)
	whatWritten = regexp.MustCompile(`(verb|resource|subresource)="[^"]+"`)
)

// writes returns how many requests have changed objects of akri.sh or Events so
// far, by what they did to what. It does not count Leases, nor the kubelet's
// status patches of the Node.
func (b *bench) writes(ctx context.Context) (map[string]float64, error) {
	raw, err := b.metrics(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	counts := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := requestLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		write := false
		for _, verb := range []string{"APPLY", "PATCH", "POST", "PUT", "DELETE"} {
			write = write || strings.Contains(m[1], `verb="`+verb+`"`)
		}
		ours := strings.Contains(m[1], `group="akri.sh"`) || strings.Contains(m[1], `resource="events"`)
		if write && ours {
			n, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return nil, fmt.Errorf("read %q: %w", lines.Text(), err)
			}
			counts[strings.Join(whatWritten.FindAllString(m[1], -1), " ")] += n
		}
	}
	return counts, lines.Err()
}
