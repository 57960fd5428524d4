package edge

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Of /proc/stat and /proc/PID/stat, see proc(5).
const (
	ticksPerSecond = 100
	startTimeField = 22
)

// booted is when the machine started, by its clock of today: when its first process
// did, so that a container or a namespace is a machine too. proc is /proc.
func booted(proc fs.FS) (time.Time, error) {
	stat, err := fs.ReadFile(proc, "stat")
	if err != nil {
		return time.Time{}, err
	}
	first, err := fs.ReadFile(proc, "1/stat")
	if err != nil {
		return time.Time{}, err
	}
	_, line, found := strings.Cut(string(stat), "\nbtime ")
	// The second field is a name, in which anything may be.
	fields := strings.Fields(string(first[strings.LastIndexByte(string(first), ')')+1:]))
	if !found || len(fields) < startTimeField-2 {
		return time.Time{}, errors.New("/proc does not say when the machine started")
	}
	line, _, _ = strings.Cut(line, "\n")
	seconds, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	ticks, err := strconv.ParseInt(fields[startTimeField-3], 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, 0).Add(time.Duration(ticks) * time.Second / ticksPerSecond), nil
}
