package grant

import (
	"maps"
	"slices"
	"strings"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/shorten"
)

// Changes returns, in words by slot, what has changed since a container was
// given these slots. Device returns the device of a slot, if it is known what a
// container would get of it now. Reading tells that a property does not count.
//
// Device nodes and mounts are compared by their paths. A property has changed
// if the handler reports another value; one that is new or gone does not count.
// Nor do changed brokerProperties: only the next Pod gets those.
func Changes(given Grant, slots []string,
	device func(slotID string) (inventory.Device, bool), reading func(d inventory.Device, key string) bool) map[string]string {

	wasNodes, wasMounts := nodePaths(given), mountPaths(given)
	nodes, mounts := map[string]string{}, map[string]string{}
	all := true // devices are known
	known := map[string]*difference{}
	for _, id := range slots {
		_, index, err := v0.ParseSlotID(id)
		d, ok := device(id)
		if err != nil || !ok {
			all = false
			continue
		}
		now, err := Of([]Slot{{ID: id, Index: index, Device: d}})
		if err != nil {
			all = false
			continue
		}
		known[id] = &difference{
			nodes:  missing(nodePaths(now), wasNodes),
			mounts: missing(mountPaths(now), wasMounts),
			keys:   otherValues(given.Env, d, func(key string) bool { return reading(d, key) }),
		}
		maps.Copy(nodes, nodePaths(now))
		maps.Copy(mounts, mountPaths(now))
	}
	if all {
		blame(known, missing(wasNodes, nodes), func(c *difference) (news []string, gone *[]string) { return c.nodes, &c.nodesGone })
		blame(known, missing(wasMounts, mounts), func(c *difference) (news []string, gone *[]string) { return c.mounts, &c.mountsGone })
	}
	out := map[string]string{}
	for id, c := range known {
		if text := c.String(); text != "" {
			out[id] = text
		}
	}
	return out
}

// difference is how a device differs from what a container was given.
type difference struct {
	nodes, nodesGone   []string // paths on the node
	mounts, mountsGone []string
	keys               []string // of properties
}

// blame assigns the paths that are gone to the slots that have new ones
// instead, or to all slots if none has.
func blame(known map[string]*difference, gone []string, of func(*difference) ([]string, *[]string)) {
	instead := false
	for _, c := range known {
		news, _ := of(c)
		instead = instead || len(news) > 0
	}
	for _, c := range known {
		if news, is := of(c); len(news) > 0 || !instead {
			*is = gone
		}
	}
}

func nodePaths(g Grant) map[string]string {
	paths := make(map[string]string, len(g.DeviceSpecs))
	for _, d := range g.DeviceSpecs {
		paths[d.ContainerPath] = d.HostPath
	}
	return paths
}

func mountPaths(g Grant) map[string]string {
	paths := make(map[string]string, len(g.Mounts))
	for _, m := range g.Mounts {
		paths[m.ContainerPath] = m.HostPath
	}
	return paths
}

// missing returns the paths on the node that a has and b does not have at the
// same path in the container.
func missing(a, b map[string]string) []string {
	var out []string
	for at, path := range a {
		if other, ok := b[at]; !ok || other != path {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// otherValues returns the properties whose value in a container is not the one
// that the handler reports.
func otherValues(envs map[string]string, d inventory.Device, reading func(key string) bool) []string {
	suffix := ""
	if hash := d.Hash(); hash != "" {
		suffix = "_" + strings.ToUpper(hash)
	}
	var keys []string
	for key, value := range d.Reported.Properties {
		_, ours := d.BrokerProperties[key]
		had, ok := envs[key+suffix]
		if ok && had != value && !ours && validEnv(key, value) && !reading(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (c *difference) String() string {
	var parts []string
	say := func(what string, news, gone []string) {
		switch {
		case len(news) > 0 && len(gone) > 0:
			parts = append(parts, what+" "+list(news)+" instead of "+list(gone))
		case len(news) > 0:
			parts = append(parts, what+" "+list(news)+" is new")
		case len(gone) > 0:
			parts = append(parts, what+" "+list(gone)+" is no longer there")
		}
	}
	say("device node", c.nodes, c.nodesGone)
	say("mount", c.mounts, c.mountsGone)
	if len(c.keys) > 0 {
		parts = append(parts, "property "+list(c.keys)+" has another value")
	}
	return shorten.Text(strings.Join(parts, "; "), v0.MaxChange)
}

// list joins the first few names.
func list(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], ", ") + " and more"
	}
	return strings.Join(names, ", ")
}
