// Package unixsock makes the Unix sockets that programs of a node find each
// other by.
//
// A socket appears under its name only once it answers and has its final mode,
// so whoever watches the folder can connect at once. A dead socket, left by a
// process that was killed, is replaced; a live one is not.
package unixsock

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// MaxPath is the longest path of a socket in bytes: sun_path in unix(7), less
// the final NUL and what a socket's temporary name needs.
const MaxPath = 107 - suffixLen

const suffixLen = 5 // a point and two random bytes in hexadecimal

// ErrInUse says that somebody answers on the socket.
var ErrInUse = errors.New("another process answers there; stop it or use another folder")

// Listener is a listening socket that removes its file when it is closed, if
// the file is still its own.
type Listener struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo
	close sync.Once
	err   error
}

// Listen makes a socket with the permissions given.
func Listen(path string, mode fs.FileMode) (*Listener, error) {
	if len(path) > MaxPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, %d are allowed", path, len(path), MaxPath)
	}
	if err := vacate(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	var random [2]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	temporary := path + "." + hex.EncodeToString(random[:])
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, cause(err))
	}
	listener.SetUnlinkOnClose(false)
	file, err := publish(temporary, path, mode)
	if err != nil {
		listener.Close()
		os.Remove(temporary)
		return nil, fmt.Errorf("socket %s: %w", path, cause(err))
	}
	return &Listener{UnixListener: listener, path: path, file: file}, nil
}

func publish(temporary, path string, mode fs.FileMode) (fs.FileInfo, error) {
	if err := os.Chmod(temporary, mode); err != nil {
		return nil, err
	}
	file, err := os.Lstat(temporary)
	if err != nil {
		return nil, err
	}
	return file, os.Rename(temporary, path)
}

// vacate makes sure that a socket can be put at path.
func vacate(path string) error {
	file, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cause(err)
	}
	if file.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is not a socket is in the way; remove it")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil // renaming replaces it
	case errors.Is(err, syscall.EAGAIN), timedOut(err):
		return ErrInUse // too busy to accept, but alive
	}
	return cause(err)
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// Lost tells whether the socket's name no longer leads to it: nobody new can
// connect.
func (l *Listener) Lost() bool {
	file, err := os.Lstat(l.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(file, l.file)
}

// Close stops listening and removes the socket's file.
func (l *Listener) Close() error {
	l.close.Do(func() {
		if !l.Lost() {
			os.Remove(l.path)
		}
		l.err = l.UnixListener.Close()
	})
	return l.err
}

// cause takes the path and the call out of an error whose caller names both.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
