// Package street makes a place for simulated devices of the network: a network
// namespace with a cable to a cluster's nodes, or to one node alone. What is in it
// is on their network, and on none of them.
package street

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/cell"
)

// Cell is what the street of a cluster is called among its cells.
const Cell = "street"

const (
	// hub is the cell with the cluster's bridge, as package devcluster names it.
	hub, bridge = "control-plane", "akri"
	// port is the bridge's end of the cable.
	port = "street"
	// hardwareAddr is always the same: nodes remember for a while which machine has
	// an address.
	hardwareAddr = "02:ac:00:00:00:c8"
	closeTimeout = time.Minute
)

// Place is a thread in a network namespace.
type Place struct{ work chan func() }

// At returns a place in a namespace that "ip netns" knows by a name.
func At(name string) (*Place, error) {
	p := &Place{work: make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for f := range p.work {
			f()
		}
	}()
	if err := p.Do(func() error { return enter(name) }); err != nil {
		p.Leave()
		return nil, err
	}
	return p, nil
}

// Do runs f there, where it may open sockets, and waits for it.
func (p *Place) Do(f func() error) error {
	done := make(chan error)
	p.work <- func() { done <- f() }
	return <-done
}

// Leave ends the thread.
func (p *Place) Leave() { close(p.work) }

// Street is a network namespace. It is taken away with its cluster, or by Close.
type Street struct {
	*Place
	// Name is the namespace's, as "ip netns" knows it.
	Name string
	undo [][]string // arguments of ip
}

// Open makes the street of a cluster, whose interface eth0 has these addresses.
func Open(ctx context.Context, network cell.Network, addresses ...netip.Prefix) (*Street, error) {
	name, hub := network.NetNS(Cell), network.NetNS(hub)
	s := &Street{Name: name, undo: [][]string{{"-n", hub, "link", "del", port}, {"netns", "del", name}}}
	return s.open(ctx, [][]string{
		{"netns", "add", name},
		{"-n", name, "link", "add", "eth0", "address", hardwareAddr, "type", "veth", "peer", "name", port, "netns", hub},
		{"-n", hub, "link", "set", port, "master", bridge, "up"},
	}, addresses)
}

// Pair makes a street, and beside it a node without a cluster: a network
// namespace <name>-node at the other end of the cable, whose eth0 has an address.
// Close takes both away.
func Pair(ctx context.Context, name string, node netip.Prefix, addresses ...netip.Prefix) (*Street, error) {
	at := NodeOf(name)
	s := &Street{Name: name, undo: [][]string{{"netns", "del", at}, {"netns", "del", name}}}
	return s.open(ctx, [][]string{
		{"netns", "add", name},
		{"netns", "add", at},
		{"-n", at, "link", "set", "lo", "up"},
		{"-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", at},
		{"-n", at, "addr", "add", node.String(), "dev", "eth0"},
		{"-n", at, "link", "set", "eth0", "up"},
	}, addresses)
}

// NodeOf is the namespace of the node of a street that [Pair] has made.
func NodeOf(name string) string { return name + "-node" }

func (s *Street) open(ctx context.Context, plan [][]string, addresses []netip.Prefix) (*Street, error) {
	plan = append(plan,
		[]string{"-n", s.Name, "link", "set", "lo", "up"},
		[]string{"-n", s.Name, "link", "set", "eth0", "up"})
	for _, a := range addresses {
		plan = append(plan, []string{"-n", s.Name, "addr", "add", a.String(), "dev", "eth0"})
	}
	err := cell.RunIP(ctx, plan...)
	if err == nil {
		s.Place, err = At(s.Name)
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// enter moves this thread into a network namespace.
func enter(name string) error {
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	return nil
}

// Close takes the street away. What runs there should have ended.
func (s *Street) Close() error {
	s.Leave()
	return s.remove()
}

func (s *Street) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	for _, args := range s.undo {
		errs = append(errs, cell.RunIP(ctx, args))
	}
	return errors.Join(errs...)
}
