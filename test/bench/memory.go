package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory is what processes take, in MiB.
type memory struct {
	resident     float64
	proportional float64 // resident, with shared pages shared out
	anonymous    float64
	working      float64 // working set of the control group, as "kubectl top" has it
}

func (m memory) plus(o memory) memory {
	return memory{m.resident + o.resident, m.proportional + o.proportional, m.anonymous + o.anonymous, m.working + o.working}
}

func (b *bench) reportMemory(name string, m memory) {
	b.report(name+"-resident", m.resident, "MiB", 0)
	b.report(name+"-proportional", m.proportional, "MiB", 0)
	b.report(name+"-anonymous", m.anonymous, "MiB", 0)
	b.report(name+"-working-set", m.working, "MiB", 0)
}

// memory reads what a process takes.
func (p process) memory() (m memory, err error) {
	if m, err = p.resident(); err == nil {
		m.working, err = p.workingSet()
	}
	return m, err
}

// resident reads it without the working set.
func (p process) resident() (m memory, err error) {
	rollup, err := fields(filepath.Join(string(p), "smaps_rollup"))
	m.resident, m.proportional, m.anonymous = rollup["Rss:"]/1024, rollup["Pss:"]/1024, rollup["Anonymous:"]/1024
	return m, err
}

// workingSet is the memory of the process's control group without what the kernel
// would take back first, as cAdvisor counts it.
func (p process) workingSet() (mib float64, err error) {
	groups, err := os.ReadFile(filepath.Join(string(p), "cgroup"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] != "memory" && parts[1] != "" {
			continue
		}
		dir, usage, inactive := filepath.Join("/sys/fs/cgroup", parts[2]), "memory.current", "inactive_file"
		if parts[1] == "memory" { // version 1
			dir, usage, inactive = filepath.Join("/sys/fs/cgroup/memory", parts[2]), "memory.usage_in_bytes", "total_inactive_file"
		}
		raw, err := os.ReadFile(filepath.Join(dir, usage))
		if err != nil {
			continue // the other version has it
		}
		used, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
		if err != nil {
			return 0, err
		}
		stat, err := fields(filepath.Join(dir, "memory.stat"))
		if err != nil {
			return 0, err
		}
		return (used - stat[inactive]) / (1 << 20), nil
	}
	return 0, fmt.Errorf("%s has no control group of memory", p)
}

// fields reads lines of a name and a number.
func fields(file string) (map[string]float64, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		if words := strings.Fields(line); len(words) >= 2 {
			if n, err := strconv.ParseFloat(words[1], 64); err == nil {
				all[words[0]] = n
			}
		}
	}
	return all, nil
}
