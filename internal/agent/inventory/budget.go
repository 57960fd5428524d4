package inventory

import (
	"fmt"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/internal/agent/registry"
)

// DefaultBudgetBytes is about how many bytes the lists of all handlers may
// take. While the agent saves them, it has them twice.
const DefaultBudgetBytes = 24 << 20

// holding is what a handler makes the inventory hold: the list of an endpoint, or
// the devices that are no longer listed and whose grace period runs.
type holding struct {
	handler  string
	endpoint string // "" for devices that are no longer listed
	bytes    int
}

// admit returns nil if there is room for a list of want bytes. A handler name may
// have half of what other names leave of the budget, and an endpoint half of what
// its name's other endpoints leave of that. So every handler leaves some to
// others, however much it reports.
func admit(budget int, held []holding, handler, endpoint string, want int) error {
	otherNames, otherEndpoints, own := 0, 0, want
	for _, h := range held {
		switch {
		case h.handler != handler:
			otherNames += h.bytes
		case h.endpoint != endpoint:
			otherEndpoints += h.bytes
		default:
			own += h.bytes
		}
	}
	name := registry.Share(budget, otherNames)
	if may := registry.Share(name, otherEndpoints); own > may {
		return fmt.Errorf("the list is not kept: with it this handler's lists would take %d KiB of the agent's memory, and of the %d KiB for all "+
			"handlers of this node it may have %d now; have it report fewer or smaller devices, or give the agent more (agent.handlersMemory)",
			own>>10, budget>>10, may>>10)
	}
	return nil
}

func sizeOf(devices []discovery.Device) (bytes int) {
	for _, d := range devices {
		bytes += contract.Size(d)
	}
	return bytes
}

// held returns all that is held, except the list of the endpoint for c.
func (v *Inventory) held(c *configuration, endpoint string) (held []holding) {
	for _, other := range v.configurations {
		for name, s := range other.lists {
			if other != c || name != endpoint {
				held = append(held, holding{s.Handler, name, s.bytes})
			}
		}
		missing := 0
		for _, k := range other.known {
			if k.Missing {
				missing += contract.Size(k.Reported)
			}
		}
		if missing > 0 {
			held = append(held, holding{handler: other.Handler, bytes: missing})
		}
	}
	return held
}

// makeRoom returns nil if a report can be kept. Lost lists of the same name make
// room for it.
func (v *Inventory) makeRoom(c *configuration, endpoint string, want int) error {
	err := admit(v.opts.BudgetBytes, v.held(c, endpoint), c.Handler, endpoint, want)
	if err == nil {
		return nil
	}
	forgot := false
	for name, s := range c.lists {
		if s.Lost && s.Handler == c.Handler && name != endpoint {
			delete(c.lists, name)
			forgot = true
		}
	}
	if forgot {
		err = admit(v.opts.BudgetBytes, v.held(c, endpoint), c.Handler, endpoint, want)
	}
	return err
}
