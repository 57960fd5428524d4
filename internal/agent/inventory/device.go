// Package inventory turns the reports of handlers into the devices of a node.
//
// For each [Configuration] it has the last [List] of each handler endpoint. Of
// these lists [Plan] makes [Device]s. A device that is no longer reported stays
// for its grace period; one whose handler is gone stays longer. The lists are
// saved, so devices also outlive a restart of the agent.
//
// Of several endpoints that list one device, the holder is the one that counts.
package inventory

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
)

// Device is one device of this node, with all that the steps after the inventory
// need. It becomes an Instance, or this node's part of a shared one. A value is
// not changed once it was passed on.
type Device struct {
	// Instance is the namespace and name of the device's Instance.
	Instance types.NamespacedName `json:"instance"`
	// Configuration is the name of the Configuration, in the same namespace,
	// and Owner its UID.
	Configuration string    `json:"configuration"`
	Owner         types.UID `json:"owner"`

	// Reported is what the handler said, merged over its endpoints: id,
	// properties, mounts and device nodes.
	Reported discovery.Device `json:"reported"`
	Shared   bool             `json:"shared"`

	// Capacity and BrokerProperties are those of the Configuration.
	Capacity         int               `json:"-"`
	BrokerProperties map[string]string `json:"-"`

	// State is Offline while the device is missing and its grace period runs.
	// Reason ([v0.ReasonNotReported], …) says why, and Since when that began;
	// both are zero for a device that is online.
	State  v0.DeviceState `json:"state"`
	Reason string         `json:"reason,omitempty"`
	Since  time.Time      `json:"since,omitzero"`

	// ReportedAt is when the report came that changed the device; zero if
	// something else did: a restart, a grace period, an edit of the
	// Configuration.
	ReportedAt time.Time `json:"-"`

	// Usable tells whether containers may get the device now: it is online, and
	// its mounts and device nodes are known to be of this boot.
	Usable bool `json:"-"`
}

// Hash returns the six hexadecimal digits of the Instance's name.
func (d Device) Hash() string { return v0.HashOf(d.Instance.Name) }

// Properties returns the device's properties with the Configuration's on top:
// what the Instance shows and containers get.
func (d Device) Properties() map[string]string {
	all := make(map[string]string, len(d.Reported.Properties)+len(d.BrokerProperties))
	for k, v := range d.Reported.Properties {
		all[k] = v
	}
	for k, v := range d.BrokerProperties {
		all[k] = v
	}
	return all
}

// Consumer is a step after the inventory. Calls do not overlap; they must
// return soon and not call back.
type Consumer interface {
	// DeviceChanged brings a new device or a changed one.
	DeviceChanged(Device)
	// DeviceGone says that the device has left this node.
	DeviceGone(Device)
}

// equal tells whether two values say the same of a device.
func equal(a, b Device) bool {
	return a.Instance == b.Instance && a.Configuration == b.Configuration && a.Owner == b.Owner &&
		a.Shared == b.Shared && a.Capacity == b.Capacity && a.State == b.State && a.Reason == b.Reason &&
		a.Since.Equal(b.Since) && a.Usable == b.Usable &&
		a.Reported.ID == b.Reported.ID &&
		maps.Equal(a.BrokerProperties, b.BrokerProperties) &&
		maps.Equal(a.Reported.Properties, b.Reported.Properties) &&
		slices.Equal(a.Reported.Mounts, b.Reported.Mounts) &&
		slices.Equal(a.Reported.DeviceSpecs, b.Reported.DeviceSpecs)
}
