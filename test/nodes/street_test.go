//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/cell"
)

// street is a network namespace with a cable to the network of the nodes: what
// is in it is on the network, and on no node.
type street struct {
	name string      // of the namespace, which the cluster takes away with its own
	work chan func() // what runs there
}

// streetAddr is an address of the street, counted from 0. Nodes have lower ones.
func streetAddr(n int) netip.Addr { return bed.Network().Addr(0, 200+n) }

// streetMAC is the same in each test: the nodes remember for a while which machine
// has an address.
const streetMAC = "02:ac:00:00:00:c8"

// newStreet makes a street with n addresses. It is gone after the test.
func newStreet(t *testing.T, n int) *street {
	t.Helper()
	network := bed.Network()
	s := &street{name: network.NetNS("street"), work: make(chan func())}
	hub := network.NetNS("control-plane")
	plan := [][]string{
		{"netns", "add", s.name},
		{"-n", s.name, "link", "set", "lo", "up"},
		{"-n", s.name, "link", "add", "eth0", "address", streetMAC, "type", "veth", "peer", "name", "street", "netns", hub},
		{"-n", hub, "link", "set", "street", "master", "akri", "up"},
		{"-n", s.name, "link", "set", "eth0", "up"},
	}
	for i := range n {
		plan = append(plan, []string{"-n", s.name, "addr", "add", netip.PrefixFrom(streetAddr(i), 24).String(), "dev", "eth0"})
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := cell.RunIP(ctx, []string{"-n", hub, "link", "del", "street"}, []string{"netns", "del", s.name}); err != nil {
			t.Error(err)
		}
	})
	if err := cell.RunIP(t.Context(), plan...); err != nil {
		t.Fatal(err)
	}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		entered <- enterNetNS(s.name)
		for f := range s.work {
			f()
		}
	}()
	t.Cleanup(func() { close(s.work) })
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	return s
}

// enterNetNS moves this thread into a network namespace.
func enterNetNS(name string) error {
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

// do runs f in the street, where it may open sockets, and waits for it.
func (s *street) do(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	s.work <- func() { done <- f() }
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
