package cell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/poll"
)

// Tree is a mounted cgroup tree: there is one on a machine with cgroup v2 alone,
// and one for each controller with v1.
type Tree struct {
	Mount string
	V2    bool
	Named bool // a v1 tree without controllers, as systemd's
}

// ParseTrees finds the cgroup trees in the text of /proc/mounts.
func ParseTrees(mounts string) []Tree {
	var list []Tree
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		switch f[2] {
		case "cgroup2":
			list = append(list, Tree{Mount: f[1], V2: true})
		case "cgroup":
			list = append(list, Tree{Mount: f[1], Named: strings.Contains(","+f[3]+",", ",name=")})
		}
	}
	return list
}

// Trees returns the cgroup trees of the machine, at least one.
func Trees() ([]Tree, error) {
	data, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return nil, err
	}
	list := ParseTrees(string(data))
	if len(list) == 0 {
		return nil, errors.New("no cgroup tree is mounted; mount cgroup2 at /sys/fs/cgroup")
	}
	return list, nil
}

// createCgroup makes path in every tree. In a pure v2 tree it also hands the
// controllers down to it.
func createCgroup(path string) error {
	list, err := Trees()
	if err != nil {
		return err
	}
	for _, t := range list {
		dir := t.Mount
		for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
			if t.V2 {
				if err := delegate(dir); err != nil {
					return err
				}
			}
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make cgroup: %w; a writable cgroup tree is needed", err)
			}
			if err := inheritCpuset(dir); err != nil {
				return err
			}
		}
		if t.V2 {
			if err := delegate(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate enables in dir's children all controllers that dir has.
func delegate(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(data)) {
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0)
		if err != nil && (c == "cpu" || c == "memory" || c == "pids" || c == "cpuset") {
			return fmt.Errorf("enable controller %s below %s: %w", c, dir, err)
		}
	}
	return nil
}

// inheritCpuset fills the cpuset files of a new v1 cgroup, which are empty and
// then take no process.
func inheritCpuset(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if err != nil || len(strings.TrimSpace(string(data))) > 0 {
			continue
		}
		parent, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.clone_children")); err != nil {
			continue // v2: empty means inherited
		}
		if err := os.WriteFile(file, parent, 0); err != nil {
			return fmt.Errorf("fill %s: %w", file, err)
		}
	}
	return nil
}

// removeCgroup kills what is left in path and below in every tree, and removes
// it all.
func removeCgroup(ctx context.Context, path string) error {
	list, err := Trees()
	if err != nil {
		return err
	}
	for _, t := range list {
		root := filepath.Join(t.Mount, path)
		err := poll.Until(ctx, "cgroup "+root+" is empty", 20*time.Millisecond, func(context.Context) error {
			return removeTree(root)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err == nil {
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove cgroup %s: %w", dir, err)
	}
	return nil
}
