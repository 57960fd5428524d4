package view

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// ByDevice indexes Instances by the result of [DevicesOf].
const ByDevice = "device"

// devPath is the property in which the udev handler reports where a device is,
// whatever its id is.
const devPath = "UDEV_DEVPATH"

const (
	// maxIDBytes is the longest device id that is kept unchanged.
	maxIDBytes = 128
	digest     = "sha256:"
)

// DevicesOf returns keys that two Instances of the same handler have in common
// if they are the same device: its id and its place in the kernel, on a node;
// for shared devices the id alone.
func DevicesOf(inst *v0.Instance) []string {
	var what []string
	if id := inst.Annotations[v0.AnnotationDeviceID]; id != "" {
		what = append(what, "id "+brief(id))
	}
	if at := inst.Spec.BrokerProperties[devPath]; at != "" && !inst.Spec.Shared {
		what = append(what, "at "+brief(at))
	}
	nodes := inst.Spec.Nodes
	if inst.Spec.Shared {
		nodes = []string{"*"}
	}
	var out []string
	for _, n := range nodes {
		for _, w := range what {
			out = append(out, n+" "+w)
		}
	}
	return out
}

func deviceKeys(o client.Object) []string {
	if inst, ok := o.(*v0.Instance); ok {
		return DevicesOf(inst)
	}
	return nil
}

// brief returns a text that is short enough to be kept, or else its digest.
func brief(s string) string {
	if len(s) <= maxIDBytes {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return digest + hex.EncodeToString(sum[:])
}

// DiscoveryDigest returns a digest of a Configuration's discovery request:
// Configurations that ask a handler for the same have the same digest. The
// cache keeps it in place of the details, which may be long.
func DiscoveryDigest(h v0.DiscoveryHandlerInfo) string {
	if strings.HasPrefix(h.DiscoveryDetails, digest) {
		return h.DiscoveryDetails
	}
	h.DiscoveryDetails = strings.TrimSpace(h.DiscoveryDetails)
	h.OfflineGracePeriod = nil
	text, err := json.Marshal(h)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return digest + hex.EncodeToString(sum[:])
}
