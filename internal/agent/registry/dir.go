package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// dirMode: owner and group may do everything, and what is made inside belongs
// to the group.
const dirMode = fs.ModeSetgid | 0o770

// prepareDir makes the directory and gives it to the group. A process that owns
// the directory and is in the group needs no capabilities for that.
func prepareDir(dir string, gid int) error {
	if err := os.MkdirAll(dir, 0o770); err != nil {
		return fmt.Errorf("prepare directory of the handlers: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("prepare directory of the handlers: %w", err)
	}
	if info.Mode()&(fs.ModePerm|fs.ModeSetgid) != dirMode {
		adoptSockets(dir, gid)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Gid) != gid {
		if err := os.Chown(dir, -1, gid); err != nil {
			return fmt.Errorf("prepare directory of the handlers: give %s to group %d: %w; "+
				"have the agent run as the owner of the folder and with that supplementary group", dir, gid, bare(err))
		}
	}
	if info.Mode()&(fs.ModePerm|fs.ModeSetgid) != dirMode {
		if err := os.Chmod(dir, dirMode); err != nil {
			return fmt.Errorf("prepare directory of the handlers: mode of %s: %w; have the agent run as its owner", dir, bare(err))
		}
		// Without the group the kernel drops the bit and says nothing.
		if info, err := os.Stat(dir); err != nil || info.Mode()&fs.ModeSetgid == 0 {
			return fmt.Errorf("prepare directory of the handlers: %s does not keep its set-group-ID bit; "+
				"give the agent the supplementary group %d", dir, gid)
		}
	}
	return nil
}

// adoptSockets gives the sockets that handlers have left to the group. Upstream's
// handlers run as root; one of ours must connect to such a socket to find out
// that nobody answers there. It is done while only the owner may write in dir,
// so no socket turns into a link under our hands. What is not ours to give, we
// leave.
func adoptSockets(dir string, gid int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.Type() == fs.ModeSocket {
			path := filepath.Join(dir, entry.Name())
			if os.Lchown(path, -1, gid) == nil {
				_ = os.Chmod(path, 0o660)
			}
		}
	}
}

// bare takes call and path out of an error.
func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
