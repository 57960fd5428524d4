package devcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Down ends the cluster in dir and removes everything that Up made: processes,
// containers, namespaces, links, cgroups and files. Packages and the cache of
// binaries stay. There is no error when there is no cluster.
func Down(ctx context.Context, dir string, w io.Writer) error {
	if err := requireRoot(); err != nil {
		return err
	}
	out := newProgress(w)
	dir, err := absDir(dir)
	if err != nil {
		return err
	}
	unlock, err := lockDir(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	index, err := indexOf(dir)
	if err != nil {
		return err
	}
	if index >= 0 {
		c := &Cluster{dir: dir, network: Network{Index: index}}
		if err := c.kill(ctx); err != nil {
			return err
		}
		out.step("processes and containers ended")
		if err := removeCgroup(ctx, c.network.Cgroup()); err != nil {
			return err
		}
		if err := c.deleteHostLink(ctx); err != nil {
			return err
		}
		out.step("namespaces, links and cgroups removed")
	}
	if err := unplugAll(ctx, dir); err != nil {
		return err
	}
	if err := removeFiles(dir); err != nil {
		return err
	}
	if index >= 0 {
		// Last: until here a second Down finds the way.
		if err := release(ctx, index); err != nil {
			return err
		}
	}
	out.step("nothing left of the cluster in %s", dir)
	return nil
}

// indexOf returns the index of the cluster in dir, -1 when it has none: from
// the registry, else from the cluster's own record unless another cluster has
// that index now.
func indexOf(dir string) (int, error) {
	index, err := registered(dir)
	if err != nil || index >= 0 {
		return index, err
	}
	// A record that cannot be read says nothing, and goes with the files.
	st, err := readState(dir)
	if err != nil || st == nil {
		return -1, nil
	}
	var other entry
	if err := readJSON(entryFile(st.Index), &other); err != nil {
		return -1, err
	}
	if other.Dir != "" {
		return -1, nil
	}
	return st.Index, nil
}

// kill ends every process of the cluster: the holders, which takes their cells
// along, then whatever is in one of the cluster's network namespaces.
func (c *Cluster) kill(ctx context.Context) error {
	holders, err := fs.Glob(os.DirFS(c.path("run")), "*.json")
	if err != nil {
		return err
	}
	for _, file := range holders {
		var p proc
		if err := readJSON(c.path("run", file), &p); err != nil {
			continue // half written; the namespaces below find the process
		}
		if err := p.signal(ctx, unix.SIGKILL, true); err != nil {
			return err
		}
	}
	names, err := filepath.Glob(filepath.Join("/run/netns", c.network.NetNS("*")))
	if err != nil {
		return err
	}
	for _, file := range names {
		if err := killInNetNS(ctx, file); err != nil {
			return err
		}
		if err := deleteNetNS(ctx, filepath.Base(file)); err != nil {
			return err
		}
	}
	return c.killStrays(ctx)
}

// killInNetNS ends all processes in the network namespace bound at file.
func killInNetNS(ctx context.Context, file string) error {
	var st, own unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return nil
	}
	if err := unix.Stat("/proc/self/ns/net", &own); err != nil {
		return err
	}
	if st.Ino == own.Ino {
		return fmt.Errorf("%s is this program's own network namespace", file)
	}
	pids, err := pidsInNamespace("net", st.Ino)
	if err != nil {
		return err
	}
	return killAll(ctx, pids)
}

// killStrays ends cells whose holder was started but not yet written down or
// named: their first process has the cluster's folder as an argument.
func (c *Cluster) killStrays(ctx context.Context) error {
	all, err := listPIDs()
	if err != nil {
		return err
	}
	var strays []int
	for _, pid := range all {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		args := strings.Split(string(data), "\x00")
		if len(args) > 5 && args[1] == "-c" && strings.HasPrefix(args[3], "akri-dev-") && args[5] == c.dir {
			strays = append(strays, pid)
		}
	}
	return killAll(ctx, strays)
}

func killAll(ctx context.Context, pids []int) error {
	for _, pid := range pids {
		p, err := identify(pid)
		if err != nil {
			continue // gone
		}
		if err := p.signal(ctx, unix.SIGKILL, true); err != nil {
			return err
		}
	}
	return nil
}

// deleteHostLink removes the machine's interface to the cluster, and with it
// the routes.
func (c *Cluster) deleteHostLink(ctx context.Context) error {
	if !exists(filepath.Join("/sys/class/net", c.network.Interface())) {
		return nil
	}
	return deleteLink(ctx, "", c.network.Interface())
}

// deleteNodeLink takes a node off the bridge.
func (c *Cluster) deleteNodeLink(ctx context.Context, node int) error {
	cell := nodeCell(node)
	// By both ends: one of them may be in a namespace that is going away.
	if err := deleteLink(ctx, c.network.NetNS(controlCell), cell); err != nil {
		return err
	}
	return deleteLink(ctx, c.network.NetNS(cell), nodeLink)
}

// deleteLink removes a link from a network namespace, by default the machine's.
// One that is not there is removed.
func deleteLink(ctx context.Context, netns, link string) error {
	args := []string{"link", "delete", link}
	if netns != "" {
		args = append([]string{"-n", netns}, args...)
	}
	err := runIP(ctx, args...)
	if err != nil && ctx.Err() == nil && !hasLink(ctx, netns, link) {
		return nil // maybe it went with its peer's namespace just now
	}
	return err
}

// hasLinks says whether the cell's network has more than loopback.
func (c cell) hasLinks(ctx context.Context) bool {
	link := nodeLink
	if c.name == controlCell {
		link = hostLink
	}
	return hasLink(ctx, c.netns, link)
}

func hasLink(ctx context.Context, netns, link string) bool {
	args := []string{"link", "show", link}
	if netns != "" {
		args = append([]string{"-n", netns}, args...)
	}
	return exec.CommandContext(ctx, "ip", args...).Run() == nil
}

// ownFiles is what Up makes in the cluster's folder.
func ownFiles() []string {
	return []string{"cells", "config", "etcd", "kubeconfig", "logs", "pki", "run", "plugged.json", "cluster.json"}
}

// removeFiles removes what Up made in dir, and dir itself when nothing else is
// in it.
func removeFiles(dir string) error {
	for _, name := range ownFiles() {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove the cluster's files: %w", err)
		}
	}
	err := os.Remove(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
		return err
	}
	return nil
}
