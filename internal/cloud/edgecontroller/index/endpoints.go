package index

import (
	"encoding/json"
	"slices"
	"strings"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// EndpointSlices are sliced by the nodes of their endpoints, so that each edge
// node has those with an endpoint that it reaches.

// everyNode is the slice of the EndpointSlices that all nodes have. No node is
// called so.
const everyNode = "*"

// separator is between the slices of an object that is in more than one. Names
// and values of labels do not have it.
const separator = ","

func isEndpointSlices(r kube.Resource) bool {
	return r.Group == "discovery.k8s.io" && r.Version == "v1" && r.Resource == "endpointslices"
}

// nodesOf returns the slices of an EndpointSlice. One that cannot be read, that
// has endpoints of no node, or that is wanted everywhere, is every node's; so is
// the API server's, of which edge nodes make their own.
func nodesOf(m *kube.Meta, object []byte) string {
	var o struct {
		Endpoints []struct {
			NodeName string `json:"nodeName"`
		} `json:"endpoints"`
	}
	if json.Unmarshal(object, &o) != nil || m.Metadata.Labels[edgev1.EndpointsLabel] == edgev1.AllEndpoints ||
		m.Metadata.Namespace == "default" && m.Metadata.Labels["kubernetes.io/service-name"] == "kubernetes" {
		return everyNode
	}
	var nodes []string
	for _, e := range o.Endpoints {
		if e.NodeName == "" {
			return everyNode
		}
		nodes = append(nodes, e.NodeName)
	}
	slices.Sort(nodes)
	return strings.Join(slices.Compact(nodes), separator)
}

// slicesOf are the slices of a node that reaches the endpoints of some nodes.
func slicesOf(reach []string) string { return strings.Join(append(reach, everyNode), separator) }

// share tells whether two lists of slices have one in common.
func share(a, b string) bool {
	if a == b {
		return true
	}
	for s := range strings.SplitSeq(a, separator) {
		if among(s, b) {
			return true
		}
	}
	return false
}

// among tells whether a slice is in a list of slices.
func among(slice, list string) bool {
	for s := range strings.SplitSeq(list, separator) {
		if s == slice {
			return true
		}
	}
	return false
}

// missing are the slices of a list that are not in another one.
func missing(list, from string) (out []string) {
	for s := range strings.SplitSeq(list, separator) {
		if !among(s, from) {
			out = append(out, s)
		}
	}
	return out
}
