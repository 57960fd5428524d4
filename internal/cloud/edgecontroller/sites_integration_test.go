//go:build integration

package edgecontroller

import (
	"fmt"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/grant"
)

// endpoints makes an EndpointSlice with an endpoint on each node; "" is no node.
func (c *cluster) endpoints(name string, labels map[string]string, nodes ...string) {
	c.t.Helper()
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, AddressType: discoveryv1.AddressTypeIPv4}
	for i, n := range nodes {
		e := discoveryv1.Endpoint{Addresses: []string{fmt.Sprint("10.0.0.", i+1)}}
		if n != "" {
			e.NodeName = &n
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	slices := c.admin.DiscoveryV1().EndpointSlices("default")
	old, err := slices.Get(c.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		_, err = slices.Create(c.t.Context(), s, metav1.CreateOptions{})
	} else {
		s.ResourceVersion = old.ResourceVersion
		_, err = slices.Update(c.t.Context(), s, metav1.UpdateOptions{})
	}
	c.must(err)
}

func (c *cluster) site(node, site string) {
	c.t.Helper()
	_, err := c.admin.CoreV1().Nodes().Patch(c.t.Context(), node, types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, edgev1.SiteLabel, site), metav1.PatchOptions{})
	c.must(err)
}

// An edge node has the EndpointSlices with an endpoint that it or its site has,
// whatever changes: the endpoints, or the sites.
func TestEndpointSlices(t *testing.T) {
	k := newCluster(t)
	for _, n := range []string{"n1", "n2", "n3"} {
		k.node(n)
	}
	k.endpoints("own", nil, "n1", "n3")
	k.endpoints("others", nil, "n2")
	k.endpoints("far", nil, "n3")
	k.endpoints("nobody", nil, "")
	k.endpoints("wanted", map[string]string{edgev1.EndpointsLabel: edgev1.AllEndpoints}, "n3")
	c := run(t, k.server.Config, Options{})
	e := connect(t, c, "n1")
	all := edgev1.Interest{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices", Namespace: "default",
		As: edgev1.As{Component: grant.KubeProxy}}
	all = e.granted(all)
	e.names(all, "own", "nobody", "wanted")

	k.endpoints("far", nil, "n1")
	e.names(all, "own", "nobody", "wanted", "far")
	k.endpoints("far", nil, "n3")
	e.names(all, "own", "nobody", "wanted")

	k.site("n2", `"shop"`)
	k.site("n1", `"shop"`)
	e.names(all, "own", "nobody", "wanted", "others")
	k.endpoints("others", nil, "n2", "n3") // what comes later comes too
	k.endpoints("new", nil, "n2")
	e.names(all, "own", "nobody", "wanted", "others", "new")
	e.reconnect(c, all)
	if r := e.outcome(all); r != nil {
		t.Fatalf("%+v", r)
	}
	e.names(all, "own", "nobody", "wanted", "others", "new")

	k.site("n2", `"ship"`)
	e.names(all, "own", "nobody", "wanted")
	k.site("n3", `"shop"`)
	e.names(all, "own", "nobody", "wanted", "others", "far")
	k.must(k.admin.CoreV1().Nodes().Delete(t.Context(), "n3", metav1.DeleteOptions{}))
	e.names(all, "own", "nobody", "wanted")
}
