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

// vacate returns nil if a socket can be renamed to path: nothing is there, or a
// dead socket that this process may replace.
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
		return fmt.Errorf("a file of user %d that is not a socket has its name: %w; remove it", owner(info), ErrInTheWay)
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
// write to: if the folder is sticky, the user must own the folder or the file.
// Capabilities of root are not considered, since an agent has none.
func mayReplace(file, folder fs.FileInfo, uid int) bool {
	return folder.Mode()&fs.ModeSticky == 0 || uid == 0 || owner(file) == uid || owner(folder) == uid
}

// makeWay removes or renames what is at path, unless it is a live socket of a
// user for whom mayBe returns true.
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

// youngAge is the age up to which a socket at which nobody answers does not
// count as dead: its process may listen in a moment.
const youngAge = 10 * time.Second

// State is the result of [RemoveDead].
type State int

// The results.
const (
	Other   State = iota // it is not a socket, or does not exist
	Live                 // somebody answers
	Young                // nobody answers yet
	Removed              // nobody answered, and it was removed
)

// RemoveDead removes a socket at which nobody answers, whoever owns it. The
// caller must own the folder.
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
	// Another socket may have its name by now. So rename it first, then check.
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

// isYoung goes by the time of the file. A time far in the future is from before
// the clock was set.
func isYoung(info fs.FileInfo, now time.Time) bool {
	age := now.Sub(info.ModTime())
	return -youngAge < age && age < youngAge
}
