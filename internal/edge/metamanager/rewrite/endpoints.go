package rewrite

import (
	"encoding/json"
	"net/netip"
	"slices"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Endpoints is the deprecated resource with the addresses of Services, which
// clients of old still read.
var Endpoints = Resource{"", "v1", "endpoints"}

// address is what is read of an address of Endpoints.
type address struct {
	IP        string `json:"ip"`
	NodeName  string `json:"nodeName"`
	TargetRef struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
	} `json:"targetRef"`
}

// endpoints changes an Endpoints as slice does its EndpointSlices. But what is
// ready stays what the cluster says: Endpoints do not tell a Pod that was ready
// from one that is published though it is not.
func (r Rules) endpoints(key Key, o map[string]json.RawMessage) bool {
	var meta struct {
		Labels map[string]string `json:"labels"`
	}
	var all []map[string]json.RawMessage
	if json.Unmarshal(o["metadata"], &meta) != nil || json.Unmarshal(o["subsets"], &all) != nil {
		return false
	}
	switch {
	case key.Namespace == apiNamespace && key.Name == apiService:
		return r.apiServerEndpoints(o, all)
	case meta.Labels[edgev1.EndpointsLabel] == edgev1.AllEndpoints:
		return false
	}
	shown, differs := make([]map[string]json.RawMessage, 0, len(all)), false
	for _, subset := range all {
		left := false
		for _, name := range []string{"addresses", "notReadyAddresses"} {
			var before []json.RawMessage
			if json.Unmarshal(subset[name], &before) != nil || len(before) == 0 {
				left = left || len(subset[name]) > 0 && before == nil // of another shape, it stays
				continue
			}
			after, changed := r.addresses(before)
			left = left || len(after) > 0
			if !changed {
				continue
			}
			differs = true
			if delete(subset, name); len(after) > 0 && !set(subset, name, after) {
				return false
			}
		}
		if left {
			shown = append(shown, subset)
		}
	}
	return differs && set(o, "subsets", shown)
}

// addresses are those that this node reaches, with the addresses that its Pods
// have now.
func (r Rules) addresses(before []json.RawMessage) (after []json.RawMessage, changed bool) {
	for _, raw := range before {
		var a address
		switch {
		case json.Unmarshal(raw, &a) != nil || a.NodeName == "" || r.Neighbours[a.NodeName]:
		case a.NodeName != r.Node:
			changed = true
			continue
		default:
			if now, differs := r.atPresent(raw, a); differs {
				raw, changed = now, true
			}
		}
		after = append(after, raw)
	}
	return after, changed
}

// atPresent gives an address of a Pod of this node the IP that the Pod has.
func (r Rules) atPresent(raw json.RawMessage, a address) (json.RawMessage, bool) {
	p, known := r.Pods[PodName{a.TargetRef.Namespace, a.TargetRef.Name}]
	if !known || a.TargetRef.Kind != "Pod" || p.UID != a.TargetRef.UID {
		return raw, false
	}
	family := addressTypeIP4
	if ip, err := netip.ParseAddr(a.IP); err == nil && ip.Is6() {
		family = addressTypeIP6
	}
	now := p.of(family)
	if len(now) == 0 || slices.Contains(now, a.IP) {
		return raw, false
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil || !set(o, "ip", now[0]) {
		return raw, false
	}
	changed, err := json.Marshal(o)
	return changed, err == nil
}

// apiServerEndpoints makes the local API the API server's one address.
func (r Rules) apiServerEndpoints(o map[string]json.RawMessage, all []map[string]json.RawMessage) bool {
	if !r.API.IsValid() || len(all) == 0 {
		return false
	}
	ports, ok := r.apiPorts(all[0]["ports"])
	if !ok {
		return false
	}
	return set(o, "subsets", []any{map[string]any{
		"addresses": []any{map[string]string{"ip": r.API.Addr().String()}}, "ports": ports,
	}})
}
