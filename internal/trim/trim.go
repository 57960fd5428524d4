// Package trim gives back memory that a program needed only for a while: pages of
// its file that only its start has touched, and of the heap those that a burst
// has left empty. They would stay resident for as long as the node has memory to
// spare, and count as the program's.
package trim

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The first time is when a program has usually started, and the next ones are for
// what bursts leave. Each costs a garbage collection, as the runtime of an idle
// program does one every two minutes anyway, and a page fault for each part of the
// file (64 KiB) that is used again.
const (
	afterStart = 20 * time.Second
	interval   = 2 * time.Minute
)

// Start gives memory back now and then until ctx is done or stop is called, which
// returns when it has ended.
func Start(ctx context.Context, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx, log)
	}()
	return func() { cancel(); <-done }
}

func run(ctx context.Context, log *slog.Logger) {
	timer := time.NewTimer(afterStart)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		bytes, err := Now()
		if err != nil {
			log.Debug("memory is not given back", "error", err)
			return
		}
		log.Debug("memory given back", "fileBytes", bytes)
		timer.Reset(interval)
	}
}

// Now gives memory back at once. It returns how many bytes of the program's file
// were resident; what the program goes on using is so again at once.
func Now() (fileBytes int, err error) {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	// Read as a whole, before anything is given back.
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	all, err := droppable(bytes.NewReader(smaps), exe)
	if err != nil {
		return 0, err
	}
	for _, r := range all {
		if _, _, no := unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_DONTNEED); no != 0 {
			return fileBytes, fmt.Errorf("madvise: %w", no)
		}
		fileBytes += r.resident
	}
	return fileBytes, nil
}

// region is a part of the address space.
type region struct {
	from, to uintptr
	resident int // bytes
}

// droppable returns which parts of the address space can be read from a file
// again, byte for byte: mappings of the file that cannot be written, and of which
// the process has no page of its own (which relocation may have written). smaps
// is as proc(5) says.
func droppable(smaps io.Reader, file string) ([]region, error) {
	var all []region
	var now region
	candidate, own := false, false
	end := func() {
		if candidate && !own && now.resident > 0 {
			all = append(all, now)
		}
	}
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) >= 3 && words[0] == "Rss:":
			kib, err := strconv.Atoi(words[1])
			if err != nil {
				return nil, fmt.Errorf("read smaps: %w", err)
			}
			now.resident = kib << 10
		case len(words) >= 3 && words[0] == "Anonymous:":
			own = words[1] != "0"
		case len(words) >= 5 && strings.Contains(words[0], "-"):
			end()
			// <from>-<to> <rwxp> <offset> <device> <inode> <path, to the end>
			first, last, _ := strings.Cut(words[0], "-")
			from, errFrom := strconv.ParseUint(first, 16, strconv.IntSize)
			to, errTo := strconv.ParseUint(last, 16, strconv.IntSize)
			if errFrom != nil || errTo != nil || to < from {
				return nil, fmt.Errorf("read smaps: %q is no part of the address space", words[0])
			}
			now = region{from: uintptr(from), to: uintptr(to)}
			own = true // until it says that it is not
			candidate = strings.HasPrefix(words[1], "r-") && strings.HasSuffix(words[1], "p") && strings.Join(words[5:], " ") == file
		}
	}
	end()
	return all, lines.Err()
}
