package cell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Lock keeps two programs from changing the lab in dir at the same time.
func Lock(ctx context.Context, dir string) (unlock func(), err error) {
	sum := sha256.Sum256([]byte(dir))
	return lockFile(ctx, filepath.Join(registryDir, "dir-"+hex.EncodeToString(sum[:])[:12]+".lock"))
}

// lockFile takes the lock at path, and waits for it until ctx is done. unlock
// removes the lock's file.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		unlock, err := tryLock(path)
		if !errors.Is(err, errHeld) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another program works on this lab (lock %s): %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// errHeld says that a lock has a holder, or had one a moment ago.
var errHeld = errors.New("lock is held")

func tryLock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			return nil, errHeld // the folder came or went meanwhile
		}
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errHeld // its former holder has removed the folder
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !same(f, path) {
		err = unix.EWOULDBLOCK // its former holder has removed the file
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return nil, errHeld
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() {
		os.Remove(path)
		f.Close()
		os.Remove(filepath.Dir(path)) // when it was the last file
	}, nil
}

// same tells whether an open file is the one at path.
func same(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}
