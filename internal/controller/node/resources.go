package node

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/jsonpatch"
)

// ResourceState is all that a plan about a Node's resources depends on.
type ResourceState struct {
	Capacity, Allocatable corev1.ResourceList
	// Known reports whether an Instance or Configuration has a name.
	Known func(name string) bool
	// LeftOver is what was found left over before; see ResourceResult.
	LeftOver map[corev1.ResourceName]LeftOver
	// Retention is how long a left-over resource is kept.
	Retention time.Duration
	Now       time.Time
}

// LeftOver is a resource of a Node that neither an Instance nor a Configuration
// has the name of.
type LeftOver struct {
	// Since is when it was first found so.
	Since time.Time
	// Offered reports whether the Node has more than 0 of it.
	Offered bool
}

// retention is how long it is kept, if one of which there is nothing is kept so long.
func (l LeftOver) retention(d time.Duration) time.Duration {
	if l.Offered {
		return offeredRetention * d
	}
	return d
}

// offeredRetention is how many times as long a left-over resource is kept of which
// the Node has more than 0.
const offeredRetention = 3

// ResourceResult is a plan about a Node's resources.
type ResourceResult struct {
	// Remove are the resources to remove, sorted.
	Remove []corev1.ResourceName
	// LeftOver is what to remember for the next plan.
	LeftOver map[corev1.ResourceName]LeftOver
	// RequeueAfter is when to plan again if nothing changes; 0 is never.
	RequeueAfter time.Duration
}

// PlanResources finds the resources of a Node that have been left over for long
// enough. A resource is left over if it is ours, and neither an Instance nor a
// Configuration has its name.
//
// When a device plugin is gone, the kubelet keeps the capacity for 5 minutes,
// since it may come back. Then it writes 0 once and forgets the resource; until
// then it would restore what is removed. If it cannot write that 0, the Node offers
// for ever what is not there, and takes Pods that ask for it.
func PlanResources(s ResourceState) ResourceResult {
	var out ResourceResult
	for _, name := range ours(s.Capacity, s.Allocatable) {
		if s.Known(strings.TrimPrefix(string(name), v0.ResourcePrefix+"/")) {
			continue
		}
		c, a := s.Capacity[name], s.Allocatable[name]
		now := LeftOver{Since: s.Now, Offered: !c.IsZero() || !a.IsZero()}
		if before, known := s.LeftOver[name]; known && before.Offered == now.Offered && !before.Since.After(s.Now) {
			now = before
		}
		if left := now.retention(s.Retention) - s.Now.Sub(now.Since); left > 0 {
			if out.RequeueAfter == 0 || left < out.RequeueAfter {
				out.RequeueAfter = left
			}
		} else {
			out.Remove = append(out.Remove, name)
		}
		if out.LeftOver == nil {
			out.LeftOver = map[corev1.ResourceName]LeftOver{}
		}
		out.LeftOver[name] = now
	}
	return out
}

// ours returns the resources of a Node that are ours, sorted.
func ours(capacity, allocatable corev1.ResourceList) []corev1.ResourceName {
	names := slices.AppendSeq(slices.Collect(maps.Keys(capacity)), maps.Keys(allocatable))
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name corev1.ResourceName) bool {
		return !strings.HasPrefix(string(name), v0.ResourcePrefix+"/")
	})
}

// ResourcePatch returns the JSON patch that removes resources from the status
// of a Node. The API server rejects it if there is another number of one of them
// now, or if the Node was replaced.
func ResourcePatch(uid types.UID, capacity, allocatable corev1.ResourceList, names []corev1.ResourceName) ([]byte, error) {
	ops := []jsonpatch.Op{jsonpatch.SameUID(uid)}
	for _, name := range names {
		for _, field := range []struct {
			name string
			list corev1.ResourceList
		}{{"capacity", capacity}, {"allocatable", allocatable}} {
			if q, there := field.list[name]; there {
				ops = append(ops, jsonpatch.RemoveIf(jsonpatch.Pointer("status", field.name, string(name)), q.String())...)
			}
		}
	}
	return jsonpatch.Encode(ops)
}
