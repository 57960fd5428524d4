package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/shorten"
)

// summary says what became of a request on this node.
func (q *request) summary(node string) v0.ConfigurationNode {
	entry := v0.ConfigurationNode{
		Name:               node,
		State:              v0.DiscoveryWaiting,
		ObservedGeneration: q.Generation,
	}
	var says []string
	for _, k := range q.known {
		if k.State == v0.DeviceOnline {
			entry.Devices++
		}
	}
	switch {
	case q.Trouble != "" && q.Question != "":
		says = append(says, q.Trouble+" (the handler keeps what it was asked before)")
	case q.Trouble != "":
		entry.State = v0.DiscoveryFailed
		says = append(says, q.Trouble)
	case q.Question == "":
		says = append(says, "reading what discoveryProperties refer to")
	}
	for _, name := range slices.Sorted(maps.Keys(q.sources)) {
		if s := q.sources[name]; !s.Lost {
			entry.State = v0.DiscoveryActive
			says = append(says, "asked "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.failures)) {
		f := q.failures[name]
		if f.Final || f.Endpoint != "" && !f.Silent && entry.State == v0.DiscoveryWaiting {
			entry.State = v0.DiscoveryFailed
		}
		if name == "" {
			says = append(says, f.Err.Error())
		} else {
			says = append(says, fmt.Sprintf("%s: %s", name, f.Err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.refused)) {
		says = append(says, fmt.Sprintf("%s: %s", name, q.refused[name]))
	}
	for _, err := range q.collisions {
		says = append(says, err.Error())
	}
	entry.Message = shorten.Text(strings.Join(says, "; "), 1024)
	return entry
}

// Reasons of what is warned of.
const (
	reasonHandlerFailed  = "HandlerFailed"
	reasonDevicesRefused = "DevicesRefused"
)

// problem says what the user should hear of; a handler that is not there yet,
// or is slow, is not among it.
func (q *request) problem() (reason, note string) {
	var says []string
	for _, name := range slices.Sorted(maps.Keys(q.failures)) {
		if f := q.failures[name]; name != "" && !f.Silent {
			says = append(says, fmt.Sprintf("%s: %s", name, f.Err))
		}
	}
	if len(says) > 0 {
		return reasonHandlerFailed, strings.Join(says, "; ")
	}
	for _, name := range slices.Sorted(maps.Keys(q.refused)) {
		says = append(says, fmt.Sprintf("%s: %s", name, q.refused[name]))
	}
	for _, err := range q.collisions {
		says = append(says, err.Error())
	}
	return reasonDevicesRefused, strings.Join(says, "; ")
}
