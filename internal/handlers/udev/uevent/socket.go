//go:build linux

package uevent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrOverflow is what [Conn.Next] returns when the kernel had to drop events
// because they came faster than they were read. Call [Conn.Drain] and look at
// all devices then.
var ErrOverflow = errors.New("uevents were lost: the socket's buffer was full")

// DefaultBufferBytes is a good size for a socket's buffer. Without
// CAP_NET_ADMIN the kernel allows at most net.core.rmem_max (usually 208 KiB,
// some hundred events). The memory is only used while events wait.
const DefaultBufferBytes = 8 << 20

// kernelGroup is the multicast group of the kernel's events. Group 2 has udevd's
// events, which do not leave the host's network namespace.
const kernelGroup = 1

// Conn receives uevents.
type Conn struct {
	file *os.File // in the runtime's poller
	raw  syscall.RawConn
	buf  [maxEventBytes]byte
}

// Listen begins to receive uevents. They wait in a buffer of about the given
// size, in bytes, until they are read.
func Listen(buffer int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("open a socket for uevents: %w", err)
	}
	// Best effort: with a smaller buffer, ErrOverflow comes sooner.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("join the group of the kernel's uevents: %w", err)
	}
	c := &Conn{file: os.NewFile(uintptr(fd), "uevents")}
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("open a socket for uevents: %w", err)
	}
	return c, nil
}

// Close ends the reception; a waiting Next returns [os.ErrClosed].
func (c *Conn) Close() error { return c.file.Close() }

// Next waits for the next event. It skips messages that are not from the
// kernel. The error is [ErrOverflow], after which Next can be called again,
// [os.ErrClosed], or that of the system call.
func (c *Conn) Next() (Event, error) {
	for {
		e, ok, err := c.receive(true)
		if ok || err != nil {
			return e, err
		}
	}
}

// Drain discards all events that wait.
func (c *Conn) Drain() error {
	for {
		switch _, _, err := c.receive(false); {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil && !errors.Is(err, ErrOverflow):
			return err
		}
	}
}

// receive reads one message; ok tells whether it is an event of the kernel.
// Without wait, err is EAGAIN if there is no message.
func (c *Conn) receive(wait bool) (e Event, ok bool, err error) {
	var (
		n    int
		from unix.Sockaddr
		oops error
	)
	err = c.raw.Read(func(fd uintptr) bool {
		for {
			n, from, oops = unix.Recvfrom(int(fd), c.buf[:], 0)
			if oops != unix.EINTR {
				return oops != unix.EAGAIN || !wait
			}
		}
	})
	switch {
	case err != nil:
		return e, false, os.ErrClosed // no deadline is set: nothing else can happen
	case oops == unix.ENOBUFS:
		return e, false, ErrOverflow
	case oops != nil:
		return e, false, fmt.Errorf("receive uevents: %w", oops)
	}
	// Port 0 is the kernel. A process with CAP_NET_ADMIN can send to the group
	// too.
	if sender, isNetlink := from.(*unix.SockaddrNetlink); !isNetlink || sender.Pid != 0 || sender.Groups != kernelGroup {
		return e, false, nil
	}
	e, err = Parse(c.buf[:n])
	return e, err == nil, nil
}
