package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/street"
)

// network is a street with a range of addresses that a node has one of too.
type network struct {
	*street.Street
	node  netip.Addr
	netNS string // the node's
	lab   cell.Network
}

// streetName is the street's without a cluster.
const streetName = "akri-bench"

// openNetwork makes one with the node of a cluster, whose second address stays
// until the cluster goes.
func (b *bench) openNetwork(ctx context.Context) (*network, error) {
	if b.cluster == nil {
		return nil, errors.New("needs a cluster that bench has made: leave -kubeconfig away")
	}
	lab := b.cluster.Network().Network
	n := &network{node: lab.Addr(128, 1), netNS: lab.NetNS("node1"), lab: lab}
	second := netip.PrefixFrom(n.node, 22).String()
	err := cell.RunIP(ctx, []string{"-n", n.netNS, "addr", "replace", second, "dev", cell.MemberLink})
	if err != nil {
		return nil, err
	}
	if n.Street, err = street.Open(ctx, lab, netip.PrefixFrom(lab.Addr(129, 1), 22)); err != nil {
		return nil, err
	}
	return n, n.receiveAll(ctx)
}

// openAlone makes one with a node that has no cluster.
func openAlone(ctx context.Context) (n *network, err error) {
	n = &network{netNS: street.NodeOf(streetName)}
	n.node = n.lab.Addr(128, 1)
	n.Street, err = street.Pair(ctx, streetName, netip.PrefixFrom(n.node, 22), netip.PrefixFrom(n.lab.Addr(129, 1), 22))
	if err != nil {
		return nil, err
	}
	return n, n.receiveAll(ctx)
}

// receiveAll has the street receive what is for any device.
func (n *network) receiveAll(ctx context.Context) error {
	return cell.RunIP(ctx, []string{"-n", n.Name, "route", "add", "local", n.lab.Prefix(130, 23).String(), "dev", "lo"})
}

// device is the address of a device, counted from 0.
func (n *network) device(i int) netip.Addr { return n.lab.Addr(130+i/250, 1+i%250) }

// devices are the first addresses.
func (n *network) devices(count int) (list []netip.Addr) {
	for i := range count {
		list = append(list, n.device(i))
	}
	return list
}

// during returns how many packets a minute pass between the street and the nodes.
func (n *network) during(ctx context.Context, length time.Duration) (perMinute float64, err error) {
	before, err := n.packets()
	if err != nil {
		return 0, err
	}
	if err := backoff.Sleep(ctx, length); err != nil {
		return 0, err
	}
	after, err := n.packets()
	return (after - before) / length.Minutes(), err
}

// packets is how many have passed so far, both ways.
func (n *network) packets() (count float64, err error) {
	err = n.Do(func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		_, rest, there := strings.Cut(string(raw), "eth0:")
		words := strings.Fields(rest) // received: bytes, packets and six more; then the same of those sent
		if !there || len(words) < 10 {
			return fmt.Errorf("no eth0 in %q", raw)
		}
		for _, word := range []string{words[1], words[9]} {
			one, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return err
			}
			count += one
		}
		return nil
	})
	return count, err
}
