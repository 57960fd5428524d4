package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openFile opens what has a name, whatever that is, as a reference only
// (O_PATH). It does not follow a link.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// byDescriptor returns a path that leads to an open file, whatever has its name
// now.
func byDescriptor(file *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(file.Fd())) }

func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// openBelow opens what has a name below a folder, as a reference only. It
// follows no links.
func openBelow(folder, name string) (*os.File, error) {
	dir, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: folder, Err: err}
	}
	defer unix.Close(dir)
	path := filepath.Join(folder, name)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Dial connects to a socket below a folder. It refuses links, even ones that
// are made while it runs.
func Dial(ctx context.Context, dialer *net.Dialer, folder, path string) (net.Conn, error) {
	name, err := filepath.Rel(folder, path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	file, err := openBelow(folder, name)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is not a socket, or a folder on the way to it is a link", path)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is not a socket", path)
	}
	conn, err := dialer.DialContext(ctx, "unix", byDescriptor(file))
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, cause(err))
	}
	return conn, nil
}

// answers tells whether somebody listens at an open socket.
func answers(file *os.File) (bool, error) {
	conn, err := net.DialTimeout("unix", byDescriptor(file), time.Second)
	switch {
	case err == nil:
		conn.Close()
		return true, nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return false, nil
	case errors.Is(err, syscall.EAGAIN), timedOut(err):
		return true, nil // too busy to accept, but alive
	}
	return false, cause(err)
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
