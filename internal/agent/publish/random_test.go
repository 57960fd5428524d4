//go:build integration

package publish

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// TestManyNodesAtRandom lets nodes come, go, claim and free at the same time,
// see other properties, and then looks whether the API
// has what the nodes believe.
func TestManyNodesAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newFixture(t)
	const steps, slots = 60, 4
	ids := []string{"one", "two", "three"}
	type believes struct {
		node    *testNode
		devices map[string]inventory.Device
		present map[string]bool
		claims  map[string]map[string]v0.Usage
	}
	var all []*believes
	for i := range 3 {
		b := &believes{
			node:    startNode(t, fmt.Sprint("node-", i)),
			devices: map[string]inventory.Device{}, present: map[string]bool{}, claims: map[string]map[string]v0.Usage{},
		}
		for _, id := range ids {
			d := s.device(b.node.name, id, true, map[string]string{"K": "0"})
			d.Capacity = slots
			b.devices[id], b.claims[id] = d, map[string]v0.Usage{}
		}
		all = append(all, b)
	}
	var wg sync.WaitGroup
	for i, b := range all {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for range steps {
				id := ids[rnd.IntN(len(ids))]
				d := b.devices[id]
				slot := v0.SlotID(d.Instance.Name, rnd.IntN(slots))
				switch rnd.IntN(8) {
				case 0, 1:
					d.Reported.Properties = map[string]string{"K": fmt.Sprint(rnd.IntN(3)), fmt.Sprint("P", rnd.IntN(3)): "x"}
					b.devices[id], b.present[id] = d, true
					b.node.DeviceChanged(d)
				case 2:
					b.present[id] = false
					b.node.DeviceGone(d)
					b.claims[id] = map[string]v0.Usage{}
					b.node.Record(d.Instance, b.claims[id])
				case 3:
					delete(b.claims[id], slot)
					b.node.Record(d.Instance, b.claims[id])
				default:
					try := maps.Clone(b.claims[id])
					try[slot] = b.node.usageOf()
					err := b.node.Claim(t.Context(), d.Instance, try)
					switch {
					case err == nil:
						b.claims[id] = try
					case errors.Is(err, ledger.ErrTaken), errors.Is(err, ErrNoInstance):
						b.node.Record(d.Instance, b.claims[id])
					default:
						t.Logf("node %s: %v", b.node.name, err) // as when it changes all the time
						b.node.Record(d.Instance, b.claims[id])
					}
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		// In the end all see the same, as far as they see it.
		for _, b := range all {
			if b.present[id] {
				d := b.devices[id]
				d.Reported.Properties = map[string]string{"K": "last"}
				b.devices[id] = d
				b.node.DeviceChanged(d)
			}
		}
	}
	for _, id := range ids {
		name := all[0].devices[id].Instance
		s.eventually("agreement on "+id, func() error {
			return agrees(s.instance(name), func(each func(string, bool, map[string]v0.Usage)) {
				for _, b := range all {
					each(b.node.name, b.present[id], b.claims[id])
				}
			})
		})
	}
	// And it comes to rest. The last change may still make each node write.
	const rest = time.Second
	for _, id := range ids {
		name := all[0].devices[id].Instance
		version := func() string {
			if o := s.instance(name); o != nil {
				return o.ResourceVersion
			}
			return ""
		}
		settle := func() {
			for _, b := range all {
				if b.present[id] {
					b.node.settled(name, b.claims[id])
				}
			}
		}
		last, since := version(), time.Now()
		s.eventually("rest of "+id, func() error {
			settle()
			if now := version(); now != last {
				last, since = now, time.Now()
			}
			if quiet := time.Since(since); quiet < rest {
				return fmt.Errorf("it was written %s ago", quiet)
			}
			return nil
		})
	}
}

// agrees compares an Instance with what the nodes believe.
func agrees(o *v0.Instance, nodes func(func(name string, present bool, claims map[string]v0.Usage))) error {
	var want []string
	usage := map[string]string{}
	var err error
	nodes(func(name string, present bool, claims map[string]v0.Usage) {
		if present {
			want = append(want, name)
		}
		for slot, u := range claims {
			if other, twice := usage[slot]; twice {
				err = fmt.Errorf("slot %s was given to %s and %s", slot, other, name)
			}
			usage[slot] = u.String()
		}
	})
	switch {
	case err != nil:
		return err
	case o == nil && len(want) == 0:
		return nil
	case o == nil:
		return fmt.Errorf("there is no Instance, nodes are %v", want)
	}
	got := slices.Sorted(slices.Values(o.Spec.Nodes))
	if !slices.Equal(got, want) {
		return fmt.Errorf("nodes are %v, want %v", got, want)
	}
	if !maps.Equal(o.Spec.DeviceUsage, usage) {
		return fmt.Errorf("usage is %v, want %v", o.Spec.DeviceUsage, usage)
	}
	if o.Spec.BrokerProperties["K"] != "last" || len(o.Spec.BrokerProperties) != 1 || o.Spec.Capacity != 4 {
		return fmt.Errorf("facts are %v", o.Spec)
	}
	return nil
}
