package rewrite

import (
	"encoding/json"
	"net/netip"
	"slices"
)

// PodName names a Pod.
type PodName struct{ Namespace, Name string }

// Pod is what the node knows of one of its Pods.
type Pod struct {
	UID       string
	Addresses []string
	Ready     bool
}

// Equal tells whether two states of a Pod are the same.
func (p Pod) Equal(o Pod) bool {
	return p.UID == o.UID && p.Ready == o.Ready && slices.Equal(p.Addresses, o.Addresses)
}

// PodOf reads a Pod.
func PodOf(object []byte) Pod {
	var o struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
		Status struct {
			PodIP  string `json:"podIP"`
			PodIPs []struct {
				IP string `json:"ip"`
			} `json:"podIPs"`
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	}
	_ = json.Unmarshal(object, &o) // of one that cannot be read nothing is known
	p := Pod{UID: o.Metadata.UID}
	for _, a := range o.Status.PodIPs {
		p.Addresses = append(p.Addresses, a.IP)
	}
	if len(p.Addresses) == 0 && o.Status.PodIP != "" {
		p.Addresses = []string{o.Status.PodIP}
	}
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			p.Ready = c.Status == "True"
		}
	}
	return p
}

// of returns the Pod's addresses of a family.
func (p Pod) of(family string) (addresses []string) {
	for _, text := range p.Addresses {
		a, err := netip.ParseAddr(text)
		if err == nil && (a.Is4() && family == addressTypeIP4 || a.Is6() && family == addressTypeIP6) {
			addresses = append(addresses, text)
		}
	}
	return addresses
}

// endpoint is what is read of an endpoint.
type endpoint struct {
	Addresses  []string `json:"addresses"`
	NodeName   string   `json:"nodeName"`
	Conditions struct {
		Ready   *bool `json:"ready"`
		Serving *bool `json:"serving"`
	} `json:"conditions"`
	TargetRef struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
	} `json:"targetRef"`
}

// present gives an endpoint what its Pod has now, and tells whether that is
// something else. One without an address keeps the old one, and is not ready.
//
// An endpoint can be ready though its Pod is not (publishNotReadyAddresses), and
// the other way round while it ends: where the cloud says so, it stays.
func (r Rules) present(raw json.RawMessage, e endpoint, family string) (json.RawMessage, bool) {
	p, known := r.Pods[PodName{e.TargetRef.Namespace, e.TargetRef.Name}]
	if !known || e.TargetRef.Kind != "Pod" || p.UID != e.TargetRef.UID {
		return raw, false
	}
	addresses := p.of(family)
	serves := p.Ready && len(addresses) > 0
	if len(addresses) == 0 {
		addresses = e.Addresses
	}
	ready := e.Conditions.Ready == nil || *e.Conditions.Ready
	serving := ready
	if e.Conditions.Serving != nil {
		serving = *e.Conditions.Serving
	}
	if slices.Equal(addresses, e.Addresses) && serves == serving {
		return raw, false
	}
	var o, conditions map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		return raw, false
	}
	_ = json.Unmarshal(o["conditions"], &conditions) // without any, there are those of here
	if conditions == nil {
		conditions = map[string]json.RawMessage{}
	}
	if ready == serving {
		ready = serves
	}
	if !set(conditions, "ready", ready) || !set(conditions, "serving", serves) || !set(o, "conditions", conditions) ||
		!set(o, "addresses", addresses) {
		return raw, false
	}
	now, err := json.Marshal(o)
	return now, err == nil
}
