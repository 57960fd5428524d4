package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/shorten"
)

// summary returns this node's entry in the status of a Configuration.
func (c *configuration) summary(node string) v0.ConfigurationNode {
	entry := v0.ConfigurationNode{
		Name:               node,
		State:              v0.DiscoveryWaiting,
		ObservedGeneration: c.Generation,
	}
	var says []string
	for _, k := range c.known {
		if k.State == v0.DeviceOnline {
			entry.Devices++
		}
	}
	switch {
	case c.Problem != "" && c.RequestID != "":
		says = append(says, c.Problem+" (the handler keeps what it was asked before)")
	case c.Problem != "":
		entry.State = v0.DiscoveryFailed
		says = append(says, c.Problem)
	case c.RequestID == "":
		says = append(says, "reading what discoveryProperties refer to")
	}
	for _, name := range slices.Sorted(maps.Keys(c.lists)) {
		if s := c.lists[name]; !s.Lost {
			entry.State = v0.DiscoveryActive
			says = append(says, "asked "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.failures)) {
		f := c.failures[name]
		if f.Final || f.Endpoint != "" && !f.Silent && entry.State == v0.DiscoveryWaiting {
			entry.State = v0.DiscoveryFailed
		}
		if name == "" {
			says = append(says, f.Err.Error())
		} else {
			says = append(says, fmt.Sprintf("%s: %s", name, f.Err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.refused)) {
		says = append(says, fmt.Sprintf("%s: %s", name, c.refused[name]))
	}
	for _, err := range c.collisions {
		says = append(says, err.Error())
	}
	entry.Message = shorten.Text(strings.Join(says, "; "), 1024)
	return entry
}

// Reasons of warnings.
const (
	reasonHandlerFailed  = "HandlerFailed"
	reasonDevicesRefused = "DevicesRefused"
)

// problem returns what the user should be warned of. A handler that is slow or
// not there yet is no problem.
func (c *configuration) problem() (reason, note string) {
	var says []string
	for _, name := range slices.Sorted(maps.Keys(c.failures)) {
		if f := c.failures[name]; name != "" && !f.Silent {
			says = append(says, fmt.Sprintf("%s: %s", name, f.Err))
		}
	}
	if len(says) > 0 {
		return reasonHandlerFailed, strings.Join(says, "; ")
	}
	for _, name := range slices.Sorted(maps.Keys(c.refused)) {
		says = append(says, fmt.Sprintf("%s: %s", name, c.refused[name]))
	}
	for _, err := range c.collisions {
		says = append(says, err.Error())
	}
	return reasonDevicesRefused, strings.Join(says, "; ")
}
