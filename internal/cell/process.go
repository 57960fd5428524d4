package cell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process identifies a process; its number alone may be reused. The zero
// Process is none.
type Process struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"`  // clock ticks after boot
	BootID string `json:"bootID"` // of the machine's run that it belongs to
	// Started is when the record was made, by the clock on the wall.
	Started time.Time `json:"started"`
}

// Identify returns the running process with a number.
func Identify(pid int) (Process, error) {
	st, err := readStat(pid)
	if err != nil {
		return Process{}, err
	}
	boot, err := bootID()
	return Process{PID: pid, Start: st.start, BootID: boot, Started: time.Now()}, err
}

// Alive tells whether this process still runs. A zombie does not.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	st, err := readStat(p.PID)
	if err != nil || st.state == 'Z' || st.state == 'X' || st.start != p.Start {
		return false
	}
	boot, err := bootID()
	return err == nil && boot == p.BootID
}

// Signal sends sig to this process, unless it has ended. With wait it returns
// when the process has ended.
func (p Process) Signal(ctx context.Context, sig unix.Signal, wait bool) error {
	if p.PID <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	// Compare only now: the descriptor keeps the number from being reused.
	if !p.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	if !wait {
		return nil
	}
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		}
		if n > 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("process %d still runs after %s: %w", p.PID, unix.SignalName(sig), ctx.Err())
		}
	}
}

type stat struct {
	state byte
	start uint64
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads the text of /proc/<pid>/stat. The program's name in it may
// hold spaces and parentheses.
func parseStat(text string) (stat, error) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return stat{}, fmt.Errorf("no program name in %q", text)
	}
	fields := strings.Fields(text[i+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("too few fields in %q", text)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("start time: %w", err)
	}
	return stat{state: fields[0][0], start: start}, nil
}

// Memory returns the resident memory of the process in bytes, 0 when it is gone.
func (p Process) Memory() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// PIDs returns the numbers of all processes of the machine.
func PIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// pidsInNamespace returns the processes whose namespace of the given kind
// ("net", "pid", "mnt") has the given inode number.
func pidsInNamespace(kind string, inode uint64) ([]int, error) {
	all, err := PIDs()
	if err != nil {
		return nil, err
	}
	want := fmt.Sprintf("%s:[%d]", kind, inode)
	var pids []int
	for _, pid := range all {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err == nil && link == want {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func killAll(ctx context.Context, pids []int) error {
	for _, pid := range pids {
		p, err := Identify(pid)
		if err != nil {
			continue // gone
		}
		if err := p.Signal(ctx, unix.SIGKILL, true); err != nil {
			return err
		}
	}
	return nil
}
