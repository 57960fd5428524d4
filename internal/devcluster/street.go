package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/street"
)

// MaxStreet is how many addresses the street can have.
const MaxStreet = 54

// Street is an address of the street, counted from 0. Nodes have lower ones.
func (n Network) Street(i int) netip.Addr { return n.Addr(0, 200+i) }

// OpenStreet makes the cluster's street, with its first addresses: a place for
// simulated devices on the network of the nodes. Pods reach it too. Its Close takes
// it away, or Down.
func (c *Cluster) OpenStreet(ctx context.Context, addresses int) (*street.Street, error) {
	if addresses < 1 || addresses > MaxStreet {
		return nil, fmt.Errorf("a street with %d addresses: want 1 to %d", addresses, MaxStreet)
	}
	name := c.network.NetNS(street.Cell)
	if _, err := os.Lstat(filepath.Join("/run/netns", name)); err == nil {
		return nil, fmt.Errorf("the cluster in %s has simulated devices already (ip netns %s): end what made them; "+
			"if that has not cleaned up, `ip netns delete %s` does", c.dir, name, name)
	}
	var own []netip.Prefix
	for i := range addresses {
		own = append(own, netip.PrefixFrom(c.network.Street(i), c.network.Cells().Bits()))
	}
	s, err := street.Open(ctx, c.network.Network, own...)
	if err != nil {
		return nil, err
	}
	if err := cell.RunIP(ctx, c.network.streetRoutes(name, c.state.Nodes)...); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// streetRoutes lists the ip commands that make the nodes' Pods reachable from a
// namespace: what Pods send has their own addresses.
func (n Network) streetRoutes(netNS string, nodes int) (plan [][]string) {
	for i := 1; i <= nodes; i++ {
		plan = append(plan, append([]string{"-n", netNS}, n.podRoute(i)...))
	}
	return plan
}
