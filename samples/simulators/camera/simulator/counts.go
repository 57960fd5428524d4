package simulator

import (
	"maps"
	"sync"
)

// counts says how often a camera was asked for what.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[what]++
}

// Asked says how often the camera was asked for what: "Probe" and "Resolve"
// that were meant for it, operations by their names ("GetDeviceInformation"),
// "snapshot", "stream"; and "refused" for requests without the right
// credentials. It counts what its faults leave without an answer, too: then
// "HTTP" counts requests.
func (c *Camera) Asked() map[string]int {
	c.counts.mu.Lock()
	defer c.counts.mu.Unlock()
	out := maps.Clone(c.counts.of)
	if out == nil {
		out = map[string]int{}
	}
	return out
}
