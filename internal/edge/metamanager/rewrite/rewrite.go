package rewrite

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// The objects that are shown otherwise.
const (
	rootCA         = "kube-root-ca.crt"
	rootCAKey      = "ca.crt"
	apiNamespace   = "default"
	apiService     = "kubernetes"
	serviceLabel   = "kubernetes.io/service-name"
	addressTypeIP4 = "IPv4"
	addressTypeIP6 = "IPv6"
)

// Resource is a resource in one version.
type Resource struct{ Group, Version, Name string }

// EndpointSlices is the resource with the endpoints of Services.
var EndpointSlices = Resource{"discovery.k8s.io", "v1", "endpointslices"}

var configMaps = Resource{"", "v1", "configmaps"}

// Key names an object.
type Key struct {
	Resource        Resource
	Namespace, Name string
}

// Rules say how one edge node shows objects.
type Rules struct {
	// Node is the node's name.
	Node string
	// API is where Pods of the node reach the local API; without it the API
	// server's EndpointSlice stays as it is.
	API netip.AddrPort
	// CA is the local API's authority, as PEM.
	CA []byte
	// Neighbours are the other nodes whose Pods this node reaches.
	Neighbours map[string]bool
	// Pods are the node's own, as the node knows them.
	Pods map[PodName]Pod
}

// Show returns an object's JSON as it is shown, and whether that is another one
// than the cluster's. What cannot be read is shown as it is.
func (r Rules) Show(key Key, object []byte) (shown []byte, differs bool) {
	var change func(map[string]json.RawMessage) bool
	switch {
	case key.Resource == EndpointSlices:
		change = func(o map[string]json.RawMessage) bool { return r.slice(key.Namespace, o) }
	case key.Resource == Endpoints:
		change = func(o map[string]json.RawMessage) bool { return r.endpoints(key, o) }
	case key.Resource == configMaps && key.Name == rootCA:
		change = r.rootCA
	default:
		return object, false
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(object, &o) != nil || !change(o) {
		return object, false
	}
	shown, err := json.Marshal(o)
	if err != nil {
		return object, false
	}
	return shown, true
}

// rootCA adds the authority of the local API.
func (r Rules) rootCA(o map[string]json.RawMessage) bool {
	var data map[string]string
	if len(r.CA) == 0 || json.Unmarshal(o["data"], &data) != nil || data[rootCAKey] == "" {
		return false
	}
	data[rootCAKey] = strings.TrimRight(data[rootCAKey], "\n") + "\n" + string(r.CA)
	return set(o, "data", data)
}

// slice changes an EndpointSlice.
func (r Rules) slice(namespace string, o map[string]json.RawMessage) bool {
	var meta struct {
		Labels map[string]string `json:"labels"`
	}
	if json.Unmarshal(o["metadata"], &meta) != nil {
		return false
	}
	switch {
	case namespace == apiNamespace && meta.Labels[serviceLabel] == apiService:
		return r.apiServer(o)
	case meta.Labels[edgev1.EndpointsLabel] == edgev1.AllEndpoints:
		return false
	}
	var all []json.RawMessage
	if json.Unmarshal(o["endpoints"], &all) != nil {
		return false
	}
	var family string
	_ = json.Unmarshal(o["addressType"], &family) // of another shape it is none
	shown, differs := make([]json.RawMessage, 0, len(all)), false
	for _, raw := range all {
		var e endpoint
		switch {
		case json.Unmarshal(raw, &e) != nil || e.NodeName == "" || r.Neighbours[e.NodeName]:
		case e.NodeName != r.Node:
			differs = true
			continue
		default:
			if now, changed := r.present(raw, e, family); changed {
				raw, differs = now, true
			}
		}
		shown = append(shown, raw)
	}
	return differs && set(o, "endpoints", shown)
}

// apiServer makes the local API the API server's one endpoint; none, if its
// address is of the other family.
func (r Rules) apiServer(o map[string]json.RawMessage) bool {
	if !r.API.IsValid() {
		return false
	}
	ports, ok := r.apiPorts(o["ports"])
	if !ok {
		return false
	}
	type local struct {
		Addresses  []string        `json:"addresses"`
		Conditions map[string]bool `json:"conditions"`
	}
	endpoints := []local{}
	family := addressTypeIP4
	if r.API.Addr().Is6() {
		family = addressTypeIP6
	}
	if string(o["addressType"]) == strconv.Quote(family) {
		endpoints = append(endpoints, local{[]string{r.API.Addr().String()}, map[string]bool{"ready": true}})
	}
	return set(o, "ports", ports) && set(o, "endpoints", endpoints)
}

// apiPorts are the API server's ports with the number of the local API.
func (r Rules) apiPorts(raw json.RawMessage) (ports []map[string]any, ok bool) {
	if json.Unmarshal(raw, &ports) != nil {
		return nil, false
	}
	for _, p := range ports {
		if p != nil {
			p["port"] = r.API.Port()
		}
	}
	return ports, true
}

func set(o map[string]json.RawMessage, name string, v any) bool {
	data, err := json.Marshal(v)
	if err == nil {
		o[name] = data
	}
	return err == nil
}

// SiteOf returns the site of a Node, "" if it is alone.
func SiteOf(node []byte) string {
	var n struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(node, &n) // one that cannot be read is alone
	return n.Metadata.Labels[edgev1.SiteLabel]
}
