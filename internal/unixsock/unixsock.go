// Package unixsock makes the Unix sockets that programs of a node find each
// other by.
//
// A socket appears under its name only once it answers and has its final mode,
// so whoever watches the folder can connect at once. A dead socket, left by a
// process that was killed, is replaced; a live one is not.
//
// Others may write in the folder, so nothing is judged or changed by a name that
// could lead elsewhere a moment later: a file is opened as what it is, without
// following links, and asked and changed through that.
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

// MaxPathBytes is the longest path of a socket in bytes: sun_path in unix(7), less
// the final NUL and what a socket's temporary name needs.
const MaxPathBytes = 107 - suffixBytes

const suffixBytes = 5 // a point and two random bytes in hexadecimal

var (
	// ErrInUse says that somebody answers on the socket.
	ErrInUse = errors.New("another process answers there; stop it or use another folder")
	// ErrInTheWay says that the name is taken by what cannot be removed by us.
	ErrInTheWay = errors.New("it is in the way")
)

// Listener is a listening socket that removes its file when it is closed, if
// the file is still its own.
type Listener struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo
	close sync.Once
	err   error
}

// Listen makes a socket with the permissions given. It takes the place of a dead
// socket and of nothing else.
func Listen(path string, mode fs.FileMode) (*Listener, error) {
	return listen(path, mode, vacate)
}

// Take makes a socket as [Listen] does, for the owner of the folder: whatever has
// its name gives way, but for a live socket of a user of whom mayBe says so. What
// cannot be removed, as a folder that is not empty, is renamed.
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
		return nil, errors.New("somebody else has replaced it while it was made")
	}
	if err := os.Chmod(byDescriptor(socket), mode); err != nil {
		return nil, err
	}
	return info, os.Rename(temporary, path)
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
