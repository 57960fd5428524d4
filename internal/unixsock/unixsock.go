// Package unixsock makes Unix sockets in folders where other processes can
// write too.
//
// A socket gets its name only once it answers and has its final mode, so
// whoever watches the folder can connect at once. The dead socket of a process
// that was killed is replaced; a live one is not.
//
// A name in the folder may lead elsewhere a moment later. So files are opened
// first, without following links, and then checked and changed through the
// descriptor.
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
)

// MaxPathBytes is the longest path of a socket: sun_path in unix(7), less the
// final NUL and what a socket's temporary name needs.
const MaxPathBytes = 107 - suffixBytes

const suffixBytes = 5 // a point and two random bytes in hexadecimal

var (
	// ErrInUse says that somebody answers on the socket.
	ErrInUse = errors.New("another process answers there; stop it or use another folder")
	// ErrInTheWay says that this process cannot remove what has the name.
	ErrInTheWay = errors.New("it is in the way")
)

// Listener is a listening socket. Closing it removes its file, if the file is
// still its own.
type Listener struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo
	close sync.Once
	err   error
}

// Listen makes a socket with the given permissions. It replaces a dead socket,
// and nothing else.
func Listen(path string, mode fs.FileMode) (*Listener, error) {
	return listen(path, mode, vacate)
}

// Take makes a socket for the owner of the folder. It replaces whatever has the
// name, except a live socket of a user for whom mayBe returns true. What cannot
// be removed, such as a folder that is not empty, is renamed.
func Take(path string, mode fs.FileMode, mayBe func(uid int) bool) (*Listener, error) {
	return listen(path, mode, func(path string) error { return makeWay(path, mayBe) })
}

func listen(path string, mode fs.FileMode, makeWay func(path string) error) (*Listener, error) {
	if len(path) > MaxPathBytes {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, %d are allowed", path, len(path), MaxPathBytes)
	}
	if err := makeWay(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	temporary := path + suffix()
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

func suffix() string {
	var random [2]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	return "." + hex.EncodeToString(random[:])
}

func publish(temporary, path string, mode fs.FileMode) (fs.FileInfo, error) {
	socket, info, err := openFile(temporary)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	if info.Mode().Type() != fs.ModeSocket || owner(info) != os.Geteuid() {
		return nil, errors.New("another process replaced it while it was made")
	}
	if err := os.Chmod(byDescriptor(socket), mode); err != nil {
		return nil, err
	}
	return info, os.Rename(temporary, path)
}

// Lost tells whether the name no longer leads to this socket: then nobody can
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

// cause removes path and call from an error: callers name them.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
