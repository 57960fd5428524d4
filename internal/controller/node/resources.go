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
	// Since is when a resource was first found left over; see ResourceResult.
	Since map[corev1.ResourceName]time.Time
	// Retention is how long a left-over resource is kept.
	Retention time.Duration
	Now       time.Time
}

// ResourceResult is a plan about a Node's resources.
type ResourceResult struct {
	// Remove are the resources to remove, sorted.
	Remove []corev1.ResourceName
	// Since is what to remember for the next plan.
	Since map[corev1.ResourceName]time.Time
	// RequeueAfter is when to plan again if nothing changes; 0 is never.
	RequeueAfter time.Duration
}

// PlanResources finds the left-over resources of a Node. A resource is left
// over if it is ours, its capacity and what can be allocated of it are 0, and
// neither an Instance nor a Configuration has its name.
//
// When a device plugin is gone, the kubelet keeps the capacity for 5 minutes,
// since it may come back. Then it writes 0 once and forgets the resource; until
// then it would restore what is removed. So the capacity must be 0, and have
// been left over for a while.
func PlanResources(s ResourceState) ResourceResult {
	var out ResourceResult
	for _, name := range leftOver(s.Capacity, s.Allocatable, s.Known) {
		since, known := s.Since[name]
		if !known || since.After(s.Now) {
			since = s.Now
		}
		if left := s.Retention - s.Now.Sub(since); left > 0 {
			if out.RequeueAfter == 0 || left < out.RequeueAfter {
				out.RequeueAfter = left
			}
		} else {
			out.Remove = append(out.Remove, name)
		}
		if out.Since == nil {
			out.Since = map[corev1.ResourceName]time.Time{}
		}
		out.Since[name] = since
	}
	return out
}

// zero returns our resources of a Node whose value is 0, sorted.
func zero(capacity, allocatable corev1.ResourceList) []corev1.ResourceName {
	var out []corev1.ResourceName
	names := slices.AppendSeq(slices.Collect(maps.Keys(capacity)), maps.Keys(allocatable))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c, a := capacity[name], allocatable[name]
		if strings.HasPrefix(string(name), v0.ResourcePrefix+"/") && c.IsZero() && a.IsZero() {
			out = append(out, name)
		}
	}
	return out
}

func leftOver(capacity, allocatable corev1.ResourceList, known func(string) bool) []corev1.ResourceName {
	return slices.DeleteFunc(zero(capacity, allocatable), func(name corev1.ResourceName) bool {
		return known(strings.TrimPrefix(string(name), v0.ResourcePrefix+"/"))
	})
}

// ResourcePatch returns the JSON patch that removes resources from the status
// of a Node. The API server rejects it if one of them is not 0, or if the Node
// was replaced.
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
