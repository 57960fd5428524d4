package unixsock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// vacate makes sure that renaming can put a socket at path: nothing is there, or
// a dead socket that is ours to replace.
func vacate(path string) error {
	file, info, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cause(err)
	}
	defer file.Close()
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("something that is not a socket has its name, and belongs to user %d: %w; remove it", owner(info), ErrInTheWay)
	}
	live, err := answers(file)
	switch {
	case live:
		return fmt.Errorf("%w (the socket belongs to user %d)", ErrInUse, owner(info))
	case err != nil:
		return fmt.Errorf("a socket of user %d has its name: %w: %w", owner(info), ErrInTheWay, err)
	}
	if folder, err := os.Stat(filepath.Dir(path)); err == nil && !mayReplace(info, folder, os.Geteuid()) {
		return fmt.Errorf("a dead socket of user %d has its name: %w", owner(info), ErrInTheWay)
	}
	return nil // renaming replaces it
}

// mayReplace tells whether a user may remove a file from a folder that it may
// write: in a sticky one there must be the owner of either. Root's capability to
// do without is not asked for: an agent has none.
func mayReplace(file, folder fs.FileInfo, uid int) bool {
	return folder.Mode()&fs.ModeSticky == 0 || uid == 0 || owner(file) == uid || owner(folder) == uid
}

// makeWay has whatever is at path give way, but for a live socket of a user of whom
// mayBe says so.
func makeWay(path string, mayBe func(uid int) bool) error {
	file, info, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cause(err)
	}
	defer file.Close()
	if info.Mode().Type() == fs.ModeSocket && mayBe(owner(info)) {
		live, err := answers(file)
		switch {
		case live:
			return fmt.Errorf("%w (the socket belongs to user %d)", ErrInUse, owner(info))
		case err != nil:
			return cause(err)
		}
	}
	if !info.IsDir() {
		return nil // renaming replaces it
	}
	if os.Remove(path) == nil {
		return nil
	}
	if err := os.Rename(path, path+".aside"+suffix()); err != nil {
		return fmt.Errorf("a folder has its name: %w: %w", ErrInTheWay, cause(err))
	}
	return nil
}

// youngAge is how long a socket at which nobody answers may be one whose process
// has made it and will listen in a moment.
const youngAge = 10 * time.Second

// State says what became of a socket in [RemoveDead].
type State int

// What a file may be found to be.
const (
	Other   State = iota // it is not a socket, or is not there
	Live                 // somebody answers
	Young                // nobody answers yet
	Removed              // nobody answered, and it is gone now
)

// RemoveDead removes a socket at which nobody answers, whoever has left it. The
// caller owns the folder.
func RemoveDead(path string) (State, error) {
	file, info, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Other, nil
	}
	if err != nil {
		return Other, err
	}
	defer file.Close()
	if info.Mode().Type() != fs.ModeSocket {
		return Other, nil
	}
	live, err := answers(file)
	switch {
	case err != nil:
		return Live, fmt.Errorf("socket %s of user %d cannot be asked: %w; it must let its group write", path, owner(info), err)
	case live:
		return Live, nil
	case isYoung(info, time.Now()):
		return Young, nil
	}
	// Its name may be another's by now. So it is taken away first and looked at.
	aside := path + suffix()
	if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, aside, unix.RENAME_NOREPLACE); err != nil {
		return Live, fmt.Errorf("remove the dead socket %s of user %d: %w", path, owner(info), err)
	}
	if now, err := os.Lstat(aside); err != nil || !os.SameFile(now, info) {
		_ = unix.Renameat2(unix.AT_FDCWD, aside, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
		return Young, nil
	}
	if err := os.Remove(aside); err != nil {
		return Live, fmt.Errorf("remove the dead socket %s of user %d: %w", path, owner(info), cause(err))
	}
	return Removed, nil
}

// isYoung goes by when the file was made. A time that is far in the future is one
// from before the clock was set.
func isYoung(info fs.FileInfo, now time.Time) bool {
	age := now.Sub(info.ModTime())
	return -youngAge < age && age < youngAge
}
