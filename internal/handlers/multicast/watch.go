package multicast

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Watch hears from the kernel when the node's network interfaces or their
// addresses have changed.
type Watch struct {
	file    *os.File
	reading sync.WaitGroup
}

// NewWatch calls changed, from one goroutine, after each change, and perhaps when
// there was none. Which it was is not said.
func NewWatch(changed func()) (*Watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a socket for changes of network interfaces: %w", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("hear of changes of network interfaces: %w", err)
	}
	w := &Watch{file: os.NewFile(uintptr(fd), "netlink")}
	raw, err := w.file.SyscallConn()
	if err != nil {
		w.file.Close()
		return nil, fmt.Errorf("open a socket for changes of network interfaces: %w", err)
	}
	w.reading.Go(func() {
		buffer := make([]byte, 4096) // longer ones are cut, which does not matter
		for {
			var problem error
			err := raw.Read(func(fd uintptr) bool {
				_, _, problem = unix.Recvfrom(int(fd), buffer, 0)
				return problem != unix.EAGAIN
			})
			if err != nil { // it is closed
				return
			}
			if problem != nil && problem != unix.ENOBUFS && problem != unix.EINTR {
				return
			}
			changed()
		}
	})
	return w, nil
}

// Close ends it. Then changed is not called any more.
func (w *Watch) Close() {
	w.file.Close()
	w.reading.Wait()
}
