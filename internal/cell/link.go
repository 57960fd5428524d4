package cell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// bridge joins the cells; it is in the hub.
	bridge = "akri"
	// hostLink is what the hub calls its link to the machine.
	hostLink = "host"
	// MemberLink is what a member calls its link to the bridge. The bridge's
	// end has the member's name.
	MemberLink = "eth0"
)

// hubPlan returns the arguments of the ip commands that join the hub to the
// machine. The hub must not have links yet.
func (l Lab) hubPlan() [][]string {
	n, hub := l.Network, l.Network.NetNS(l.Hub)
	return [][]string{
		{"-n", hub, "link", "add", bridge, "address", hardwareAddr(n.Hub()), "type", "bridge"},
		{"-n", hub, "addr", "add", n.cellAddr(n.Hub()), "dev", bridge},
		{"-n", hub, "link", "set", bridge, "up"},
		{"link", "add", n.Interface(), "address", hardwareAddr(n.Host()), "type", "veth", "peer", "name", hostLink, "netns", hub},
		{"-n", hub, "link", "set", hostLink, "master", bridge, "up"},
		{"addr", "add", n.cellAddr(n.Host()), "dev", n.Interface()},
		{"link", "set", n.Interface(), "up"},
	}
}

// memberPlan returns the arguments of the ip commands that join a member to the
// bridge, or to nothing if its link is cut.
func (l Lab) memberPlan(member string, number int, cut bool) [][]string {
	n := l.Network
	join := []string{"-n", n.NetNS(l.Hub), "link", "set", member, "master", bridge, "up"}
	if cut {
		join = []string{"-n", n.NetNS(l.Hub), "link", "set", member, "up"}
	}
	hub, cell, addr := n.NetNS(l.Hub), n.NetNS(member), n.Member(number)
	return [][]string{
		{"-n", hub, "link", "add", member, "type", "veth", "peer", "name", MemberLink, "address", hardwareAddr(addr), "netns", cell},
		join,
		{"-n", cell, "addr", "add", n.cellAddr(addr), "dev", MemberLink},
		{"-n", cell, "link", "set", MemberLink, "up"},
		{"-n", cell, "route", "add", "default", "via", n.Host().String()},
	}
}

// RunIP runs the program ip on the machine, once with each list of arguments.
func RunIP(ctx context.Context, plan ...[]string) error {
	for _, args := range plan {
		out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), Interrupted(ctx, err), bytes.TrimSpace(out))
		}
	}
	return nil
}

// joined tells whether the plan that joins the cell was carried out completely.
// A plan that was interrupted leaves links that lead nowhere.
func (c Cell) joined(ctx context.Context) bool {
	last := inNetNS(c.netNS, "route", "show", "default", "dev", MemberLink)
	if c.Name == c.lab.Hub {
		last = []string{"link", "show", "dev", c.lab.Network.Interface(), "up"}
	}
	out, err := exec.CommandContext(ctx, "ip", last...).Output()
	return err == nil && len(out) > 0
}

func hasLink(ctx context.Context, netNS, link string) bool {
	return exec.CommandContext(ctx, "ip", inNetNS(netNS, "link", "show", link)...).Run() == nil
}

// inNetNS returns the arguments of ip for a network namespace; "" is the
// machine's.
func inNetNS(netNS string, args ...string) []string {
	if netNS == "" {
		return args
	}
	return append([]string{"-n", netNS}, args...)
}

// deleteLink removes a link from a network namespace; "" is the machine's. A
// link that does not exist counts as removed.
func deleteLink(ctx context.Context, netNS, link string) error {
	err := RunIP(ctx, inNetNS(netNS, "link", "delete", link))
	if err != nil && ctx.Err() == nil && !hasLink(ctx, netNS, link) {
		return nil // maybe it went with its peer's namespace just now
	}
	return err
}

// deleteHostLink removes the machine's interface to the lab, and with it the
// routes.
func (l Lab) deleteHostLink(ctx context.Context) error {
	if _, err := os.Lstat(filepath.Join("/sys/class/net", l.Network.Interface())); err != nil {
		return nil // there is none
	}
	return deleteLink(ctx, "", l.Network.Interface())
}

// deleteMemberLink takes a member off the bridge.
func (l Lab) deleteMemberLink(ctx context.Context, member string) error {
	// By both ends: one of them may be in a namespace that is going away.
	if err := deleteLink(ctx, l.Network.NetNS(l.Hub), member); err != nil {
		return err
	}
	return deleteLink(ctx, l.Network.NetNS(member), MemberLink)
}

// deleteNetNS removes the name of a network namespace, which stays as long as
// processes are in it.
func deleteNetNS(ctx context.Context, name string) error {
	if _, err := os.Lstat(filepath.Join("/run/netns", name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return RunIP(ctx, []string{"netns", "delete", name})
}
