package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// plugZram adds a block device and returns its name, such as zram3.
func plugZram() (string, error) {
	n, err := os.ReadFile("/sys/class/zram-control/hot_add")
	if err != nil {
		return "", fmt.Errorf("plug a zram device: %w", err)
	}
	return "zram" + strings.TrimSpace(string(n)), nil
}

// zramDevices counts those that there are.
func zramDevices() (int, error) {
	names, err := filepath.Glob("/sys/block/zram*")
	if err != nil {
		return 0, fmt.Errorf("look for zram devices: %w", err)
	}
	return len(names), nil
}

func unplugZram(name string) error {
	n := strings.TrimPrefix(name, "zram")
	if err := os.WriteFile("/sys/class/zram-control/hot_remove", []byte(n), 0); err != nil {
		return fmt.Errorf("unplug %s: %w", name, err)
	}
	return nil
}

// uevents notes when the kernel announced block devices.
type uevents struct {
	fd int
	mu sync.Mutex
	// at is keyed by "<action> <device>".
	at   map[string]time.Time
	done chan struct{}
}

func watchUevents() (*uevents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("open a uevent socket: %w", err)
	}
	// A timeout lets the reader see that it is to stop.
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for uevents: %w", err), unix.Close(fd))
	}
	return &uevents{fd: fd, at: map[string]time.Time{}, done: make(chan struct{})}, nil
}

// read takes events until ctx is done, then closes the socket.
func (u *uevents) read(ctx context.Context) {
	defer close(u.done)
	defer unix.Close(u.fd)
	buffer := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(u.fd, buffer, 0)
		now := time.Now()
		if err != nil {
			continue // the timeout, or events were lost: until reports those
		}
		// "<action>@<devpath>" is the first of the zero-separated fields.
		head, _, _ := bytes.Cut(buffer[:n], []byte{0})
		action, path, ok := strings.Cut(string(head), "@")
		if !ok || !strings.Contains(path, "/block/") {
			continue
		}
		u.mu.Lock()
		u.at[action+" "+path[strings.LastIndexByte(path, '/')+1:]] = now
		u.mu.Unlock()
	}
}

// when returns the moment of an event that has already had its effect.
func (u *uevents) when(action, device string) (time.Time, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.at[action+" "+device]
	if !ok {
		return at, fmt.Errorf("no uevent %s of %s was seen", action, device)
	}
	return at, nil
}
