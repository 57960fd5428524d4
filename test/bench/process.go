package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (b *bench) listNodes(ctx context.Context) ([]corev1.Node, error) {
	var list corev1.NodeList
	if err := b.api.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return list.Items, nil
}

// components are the programs of a release, as their Pods are labelled.
var components = []string{"akri-agent", "akri-controller", "akri-udev-discovery", "akri-debug-echo-discovery"}

// process is one of Akri's, by its folder in /proc.
type process string

// processes finds the running processes of a component by their Pods.
func (b *bench) processes(ctx context.Context, component string) ([]process, error) {
	var pods corev1.PodList
	if err := b.api.List(ctx, &pods, client.InNamespace(b.release), client.MatchingLabels{"app.kubernetes.io/name": component}); err != nil {
		return nil, fmt.Errorf("list the Pods of %s: %w", component, err)
	}
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, file := range groups {
		group, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for _, p := range pods.Items {
			if !strings.Contains(string(group), string(p.UID)) {
				continue
			}
			comm, err := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
			if err == nil && strings.HasPrefix(string(comm), "akri") {
				found = append(found, process(filepath.Dir(file)))
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no process of %s runs on this machine", component)
	}
	return found, nil
}

// rss returns the resident memory in MiB, and the highest so far.
func (p process) rss() (now, peak float64, err error) {
	status, err := os.ReadFile(filepath.Join(string(p), "status"))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) float64 {
		_, rest, _ := strings.Cut(string(status), name+":")
		kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		return kib / 1024
	}
	return field("VmRSS"), field("VmHWM"), nil
}

// cpu returns the CPU time used so far; zero if it cannot be read.
func (p process) cpu() time.Duration {
	stat, err := os.ReadFile(filepath.Join(string(p), "stat"))
	if err != nil {
		return 0
	}
	// Fields 14 and 15, in ticks of a hundredth of a second; the name before
	// may hold anything.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// spent is the CPU time that the machine's programs have used so far, by their
// names. What has ended does not count.
func spent() map[string]time.Duration {
	all := map[string]time.Duration{}
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, folder := range folders {
		name, err := os.ReadFile(filepath.Join(folder, "comm"))
		if err == nil {
			all[strings.TrimSpace(string(name))] += process(folder).cpu()
		}
	}
	return all
}

// explain tells a person who has used the processors since before.
func explain(what string, before map[string]time.Duration) {
	after := spent()
	for name := range after {
		after[name] -= before[name]
	}
	names := slices.SortedFunc(maps.Keys(after), func(a, b string) int { return cmp.Compare(after[b], after[a]) })
	var texts []string
	for _, name := range names[:min(len(names), 8)] {
		texts = append(texts, fmt.Sprintf("%s %.1f s", name, after[name].Seconds()))
	}
	fmt.Fprintf(os.Stderr, "CPU time of %s: %s\n", what, strings.Join(texts, ", "))
}

// measureRSS reports the memory of each component with the present devices.
func measureRSS(ctx context.Context, b *bench) error {
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	w.Stop()
	for _, component := range components {
		all, err := b.processes(ctx, component)
		if err != nil {
			return err
		}
		var most, peak float64
		for _, p := range all {
			now, high, err := p.rss()
			if err != nil {
				return fmt.Errorf("memory of %s: %w", component, err)
			}
			most, peak = max(most, now), max(peak, high)
		}
		b.report(fmt.Sprintf("rss-%s-%d-devices", component, len(w.there)), most, "MiB", 0)
		b.report(fmt.Sprintf("rss-peak-%s-%d-devices", component, len(w.there)), peak, "MiB", 0)
	}
	return nil
}
