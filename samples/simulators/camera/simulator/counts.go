package simulator

import (
	"maps"
	"sync"
)

// counts counts requests.
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

// Asked returns how many requests the camera got: "Probe" and "Resolve" that
// matched it, operations by name ("GetDeviceInformation"), "snapshot" and "stream".
// "refused" counts those with missing or wrong credentials, "HTTP" requests that
// a fault kept from a proper answer.
func (c *Camera) Asked() map[string]int {
	c.counts.mu.Lock()
	defer c.counts.mu.Unlock()
	out := maps.Clone(c.counts.of)
	if out == nil {
		out = map[string]int{}
	}
	return out
}
