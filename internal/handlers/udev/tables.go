package udev

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tableWatch tells when something was mounted or swapped on. poll(2)
// on these files reports each change once (proc_pid_mountinfo(5)), so Go's
// runtime must not poll them too.
type tableWatch struct {
	end     int // writing end of a pipe that ends the watch; -1 if there is none
	running sync.WaitGroup
}

// settleDelay is how long changes are collected before the tables are read: a Pod
// that starts mounts a dozen things.
const settleDelay = 500 * time.Millisecond

// watchTables watches those of the files that exist, and calls changed when one
// of them has changed.
func watchTables(files []string, log *slog.Logger, changed func()) *tableWatch {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		log.Warn("cannot watch what is mounted: disks that come into use later are noticed late", "error", err)
		return &tableWatch{end: -1}
	}
	polled := []unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}}
	for _, name := range files {
		if fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI})
		}
	}
	w := &tableWatch{end: pipe[1]}
	w.running.Go(func() {
		defer func() {
			for _, p := range polled {
				unix.Close(int(p.Fd))
			}
		}()
		for {
			n, err := unix.Poll(polled, -1)
			switch {
			case err == unix.EINTR:
				continue
			case err != nil:
				log.Warn("watching what is mounted failed", "error", err)
				return
			}
			if n > 0 && polled[0].Revents == 0 {
				if n, _ = unix.Poll(polled[:1], int(settleDelay.Milliseconds())); n <= 0 {
					changed()
				}
			}
			if polled[0].Revents != 0 {
				return
			}
		}
	})
	return w
}

func (w *tableWatch) stop() {
	if w.end >= 0 {
		unix.Close(w.end)
	}
	w.running.Wait()
}
