// Package inventory turns the reports of handlers into the devices of a node.
//
// A sighting is a device as one handler endpoint reports it now; a [Device] is
// what all its sightings say together, plus the past: a device that is no longer
// reported stays for its grace period, one whose handler is gone for longer, and
// all of them over restarts. [Plan] decides that, over plain values.
package inventory

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
)

// Device is one device that this node knows, with all that the steps after
// the inventory need: it becomes an Instance, or a node's share of one. Values
// are not changed once they were handed on.
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

	// State is Offline while the device is missing and its grace period runs;
	// Reason ([v0.ReasonNotReported], …) says why, Since when it began. They
	// are zero for a device that is online.
	State  v0.DeviceState `json:"state"`
	Reason string         `json:"reason,omitempty"`
	Since  time.Time      `json:"since,omitzero"`

	// ReportedAt is when the report came that made the device what it is now;
	// zero if it was none, but a restart, a grace period, an edit.
	ReportedAt time.Time `json:"-"`

	// Usable tells whether a container may be given the device now: it is
	// online, and its mounts and device nodes are known to be of this boot.
	Usable bool `json:"-"`
}

// Hash returns the six hexadecimal digits of the Instance's name.
func (d Device) Hash() string { return v0.HashOf(d.Instance.Name) }

// Properties returns the device's properties overlaid by the Configuration's:
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
