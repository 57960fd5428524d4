package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// dirMode lets owner and group do everything. What is made inside belongs to the
// group, and only its owner or the directory's may remove it: a handler cannot
// remove the socket of another, nor the agent's.
const (
	dirMode = fs.ModeSticky | fs.ModeSetgid | 0o770
	allMode = fs.ModeSticky | fs.ModeSetgid | fs.ModePerm
)

// prepareDir makes the directory and, unless gid is negative, gives it to the
// group. A process that owns the directory and is in the group needs no
// capabilities for that.
func prepareDir(path string, gid int) error {
	if err := os.MkdirAll(path, 0o770); err != nil {
		return fmt.Errorf("prepare directory of the handlers: %w", err)
	}
	// Opened once and changed by its descriptor, even if the path leads
	// elsewhere.
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("prepare directory of the handlers: %w", err)
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return fmt.Errorf("prepare directory of the handlers: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); gid >= 0 && (!ok || int(stat.Gid) != gid) {
		if err := dir.Chown(-1, gid); err != nil {
			return fmt.Errorf("prepare directory of the handlers: give %s to group %d: %w; "+
				"have the agent run as the owner of the folder and with that supplementary group", path, gid, bare(err))
		}
	}
	if info.Mode()&allMode == dirMode {
		return nil
	}
	if err := dir.Chmod(dirMode); err != nil {
		return fmt.Errorf("prepare directory of the handlers: mode of %s: %w; have the agent run as its owner", path, bare(err))
	}
	// Without the group the kernel drops the bit and says nothing.
	if info, err := dir.Stat(); err != nil || info.Mode()&fs.ModeSetgid == 0 {
		return fmt.Errorf("prepare directory of the handlers: %s does not keep its set-group-ID bit; "+
			"give the agent the supplementary group %d", path, gid)
	}
	return nil
}

// bare takes call and path out of an error.
func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
