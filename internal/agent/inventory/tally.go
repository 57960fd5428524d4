package inventory

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Tally is how many devices a Configuration has on this node.
type Tally struct {
	Configuration   types.NamespacedName
	Online, Offline int
	// Answered tells that a handler has answered, so that Shared is known.
	Answered, Shared bool
}

// Tally returns one for each Configuration.
func (v *Inventory) Tally() []Tally {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]Tally, 0, len(v.configurations))
	for name, c := range v.configurations {
		t := Tally{Configuration: name}
		for _, s := range c.lists {
			t.Answered, t.Shared = true, s.Shared
		}
		for _, k := range c.known {
			t.Answered, t.Shared = true, k.Shared
			if k.State == v0.DeviceOnline {
				t.Online++
			} else {
				t.Offline++
			}
		}
		all = append(all, t)
	}
	return all
}

// Beat returns once Run has received it, or when ctx is done.
func (v *Inventory) Beat(ctx context.Context) {
	select {
	case v.beat <- struct{}{}:
	case <-ctx.Done():
	}
}
