package cell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/atomicfile"
)

// Lab describes a lab; the value itself has no state.
type Lab struct {
	Dir     string // its folder, as [Folder] returns it
	Network Network
	Hub     string // name of the hub
	// Members are the names of the members in the order of their addresses. A
	// name is the bridge's interface to it, so it has 15 characters at most.
	Members []string
	// BinDir is a folder of programs that every cell sees. Holder is the path of
	// one below it that holds a cell: it waits for a signal and reaps orphans.
	BinDir, Holder string
	Settings       []Setting // of the kernel, in every cell
}

// Cell returns a cell of the lab, whether it was made or not.
func (l Lab) Cell(name string) Cell {
	return Cell{Name: name, netNS: l.Network.NetNS(name), lab: l}
}

// Cells returns the cells of the lab, the hub first.
func (l Lab) Cells() []Cell {
	list := []Cell{l.Cell(l.Hub)}
	for _, m := range l.Members {
		list = append(list, l.Cell(m))
	}
	return list
}

// Cgroup is the path of a member's cgroup below the root of a tree. What the
// member runs puts its processes there.
func (l Lab) Cgroup(member string) string { return l.Network.Cgroup() + "/" + member }

// Create makes the cells that do not run and joins them. Cells whose holder
// died come back with their links, but without routes of others through them.
// fresh tells whether it made the hub.
func (l Lab) Create(ctx context.Context) (fresh bool, err error) {
	hub := l.Cell(l.Hub)
	if fresh, err = hub.create(ctx); err != nil {
		return false, err
	}
	rejoin := fresh || !hub.joined(ctx)
	if rejoin {
		// The bridge went with the old cell, or whoever made it was interrupted.
		if err := l.deleteHostLink(ctx); err != nil {
			return fresh, err
		}
		if err := deleteLink(ctx, l.Network.NetNS(l.Hub), bridge); err != nil {
			return fresh, err
		}
		if err := RunIP(ctx, l.hubPlan()...); err != nil {
			return fresh, err
		}
	}
	for _, m := range l.Members {
		if err := l.start(ctx, m, rejoin); err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}

// Start makes the cell of a member unless it runs, and joins it to the bridge.
func (l Lab) Start(ctx context.Context, member string) error { return l.start(ctx, member, false) }

// start is Start; with rejoin it joins the cell anew.
func (l Lab) start(ctx context.Context, member string, rejoin bool) error {
	number, err := l.number(member)
	if err != nil {
		return err
	}
	cell := l.Cell(member)
	fresh, err := cell.create(ctx)
	if err != nil {
		return err
	}
	if fresh {
		// The cgroups of what died with the old cell are in the way of the new.
		if err := removeCgroup(ctx, l.Cgroup(member)); err != nil {
			return err
		}
	}
	if err := createCgroup(l.Cgroup(member)); err != nil {
		return err
	}
	if !fresh && !rejoin && cell.joined(ctx) {
		return nil
	}
	// The kernel removes a dead namespace only after a while: until then its
	// links still exist.
	if err := l.deleteMemberLink(ctx, member); err != nil {
		return err
	}
	cut, err := l.IsCut(member)
	if err != nil {
		return err
	}
	return RunIP(ctx, l.memberPlan(member, number, cut)...)
}

// Stop cuts a member's power: all of its processes end at once, and nothing
// answers at its address. Its disk stays. Create or Start brings it back.
func (l Lab) Stop(ctx context.Context, member string) error {
	if _, err := l.number(member); err != nil {
		return err
	}
	holder, err := l.Cell(member).Holder()
	if err != nil {
		return err
	}
	// First, so that peers do not notice that connections end.
	if err := l.deleteMemberLink(ctx, member); err != nil {
		return err
	}
	return holder.Signal(ctx, unix.SIGKILL, true)
}

// Cut cuts a member's link: nothing that it sends arrives, and nothing reaches
// it. Neither side is told. It stays cut, whether the member has power or not,
// until Mend.
func (l Lab) Cut(ctx context.Context, member string) error {
	if err := atomicfile.Write(l.cutFile(member), nil, 0o600); err != nil {
		return err
	}
	return l.setPort(ctx, member, "nomaster")
}

// Mend undoes Cut.
func (l Lab) Mend(ctx context.Context, member string) error {
	if err := os.Remove(l.cutFile(member)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return l.setPort(ctx, member, "master", bridge)
}

// cutFile is there while a member's link is cut.
func (l Lab) cutFile(member string) string { return filepath.Join(l.Dir, "run", member+".cut") }

// IsCut tells whether Cut has cut a member's link.
func (l Lab) IsCut(member string) (bool, error) {
	_, err := os.Stat(l.cutFile(member))
	if os.IsNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

// setPort changes the bridge's end of a member's link, if it has power.
func (l Lab) setPort(ctx context.Context, member string, to ...string) error {
	if _, err := l.number(member); err != nil {
		return err
	}
	hub := l.Network.NetNS(l.Hub)
	if !hasLink(ctx, hub, member) {
		return nil
	}
	return RunIP(ctx, inNetNS(hub, append([]string{"link", "set", member}, to...)...))
}

// number is the number of a member, counted from 1.
func (l Lab) number(member string) (int, error) {
	i := slices.Index(l.Members, member)
	if i < 0 {
		return 0, fmt.Errorf("the lab has no member %q", member)
	}
	return i + 1, nil
}

// Kill ends every process of the lab: the holders, and with them their cells,
// then all processes in the lab's network namespaces. It only needs the lab's
// Dir and Network.
func (l Lab) Kill(ctx context.Context) error {
	records, err := os.ReadDir(filepath.Join(l.Dir, "run"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, f := range records {
		if filepath.Ext(f.Name()) != ".json" {
			continue
		}
		var p Process
		if err := atomicfile.ReadJSON(filepath.Join(l.Dir, "run", f.Name()), &p); err != nil {
			continue // half written; the namespaces below find the process
		}
		if err := p.Signal(ctx, unix.SIGKILL, true); err != nil {
			return err
		}
	}
	names, err := filepath.Glob(filepath.Join("/run/netns", l.Network.NetNS("*")))
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
	return l.killStrays(ctx)
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

// holderName and the cell's name are the name of a cell's first process while
// it sets up the cell.
const holderName = "akri-dev-"

// killStrays ends cells whose holder was started but is not in a record yet:
// their first process has the lab's folder as an argument.
func (l Lab) killStrays(ctx context.Context) error {
	all, err := PIDs()
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
		if len(args) > 5 && args[1] == "-c" && strings.HasPrefix(args[3], holderName) && args[5] == l.Dir {
			strays = append(strays, pid)
		}
	}
	return killAll(ctx, strays)
}

// Remove removes the cgroups and links of a lab that Kill has ended.
func (l Lab) Remove(ctx context.Context) error {
	if err := removeCgroup(ctx, l.Network.Cgroup()); err != nil {
		return err
	}
	return l.deleteHostLink(ctx)
}

// Files lists what a lab makes in its folder.
func Files() []string { return []string{"cells", "logs", "run", pluggedName} }
