package index

import (
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

var (
	pods       = kube.Resource{Version: "v1", Resource: "pods"}
	nodes      = kube.Resource{Version: "v1", Resource: "nodes"}
	configMaps = kube.Resource{Version: "v1", Resource: "configmaps"}
	services   = kube.Resource{Version: "v1", Resource: "services"}
	endpoints  = kube.Resource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	instances  = kube.Resource{Group: "akri.sh", Version: "v0", Resource: "instances"}
)

func owns() []Own {
	return []Own{{Resource: pods, Fields: "spec.nodeName!=", By: "spec.nodeName"}, {Resource: nodes,
		By: "metadata.name"}}
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ fields, labels, wantFields, wantLabels string }{
		{"", "", "", ""},
		{"spec.clusterIP!=None", "", "spec.clusterIP!=None", ""},
		{"b=2,a=1", "z=1,a=2", "a=1,b=2", "a=2,z=1"},
		{"a==1,a=1", "a==2", "a=1", "a=2"},
		{"", "x in (b,a),!y,z", "", "x in (a,b),!y,z"},
	} {
		got, err := Canonical(Selection{Resource: pods, Fields: tt.fields, Labels: tt.labels})
		if err != nil || got.Fields != tt.wantFields || got.Labels != tt.wantLabels {
			t.Errorf("%q %q: %q %q %v", tt.fields, tt.labels, got.Fields, got.Labels, err)
		}
	}
	for _, bad := range []Selection{{Fields: "a"}, {Fields: "a=\\z"}, {Labels: "a in b"}, {Labels: "-="}} {
		if got, err := Canonical(bad); err == nil {
			t.Errorf("%+v is %+v", bad, got)
		}
	}
}

func TestCut(t *testing.T) {
	in := func(r kube.Resource, namespace string) kube.Resource {
		r.Namespace = namespace
		return r
	}
	bound := Selection{Resource: pods, Fields: "spec.nodeName!="}
	for _, tt := range []struct {
		name  string
		s     Selection
		whole Selection
		by    slicer
		slice string
		own   bool
	}{
		{"a node's Pods", Selection{Resource: pods, Fields: "spec.nodeName=n"}, bound, slicer{field: "spec.nodeName"},
			"n", true},
		{"all that are bound", bound, bound, slicer{field: "spec.nodeName"}, "", true},
		{"Pods of all nodes and none", Selection{Resource: pods}, Selection{Resource: pods}, slicer{}, "", false},
		{"all but a node's", Selection{Resource: pods, Fields: "spec.nodeName!=n"}, Selection{Resource: pods,
			Fields: "spec.nodeName!=n"}, slicer{}, "", false},
		{"none's", Selection{Resource: pods, Fields: "spec.nodeName="}, Selection{Resource: pods,
			Fields: "spec.nodeName="}, slicer{}, "", false},
		{"a node's Pods that are not done", Selection{Resource: pods, Fields: "spec.nodeName=n,status.phase!=Failed"},
			Selection{Resource: pods, Fields: "spec.nodeName=n,status.phase!=Failed"}, slicer{}, "", false},
		{"a node's Pods of a namespace", Selection{Resource: in(pods, "x"), Fields: "spec.nodeName=n"},
			Selection{Resource: in(pods, "x"), Fields: "spec.nodeName=n"}, slicer{}, "", false},
		{"two nodes' Pods in one", Selection{Resource: pods, Fields: `spec.nodeName=n\,m`}, Selection{Resource: pods,
			Fields: `spec.nodeName=n\,m`}, slicer{}, "", false},
		{"a Node", Selection{Resource: nodes, Fields: "metadata.name=n"}, Selection{Resource: nodes},
			slicer{field: "metadata.name"}, "n", true},
		{"all Nodes", Selection{Resource: nodes}, Selection{Resource: nodes}, slicer{field: "metadata.name"}, "", true},
		{"a ConfigMap", Selection{Resource: in(configMaps, "x"), Fields: "metadata.name=n"},
			Selection{Resource: in(configMaps, "x"), Fields: "metadata.name=n"}, slicer{}, "", false},
		{"Services", Selection{Resource: services, Labels: "!service.kubernetes.io/headless"},
			Selection{Resource: services, Labels: "!service.kubernetes.io/headless"}, slicer{}, "", false},
		{"EndpointSlices", Selection{Resource: endpoints, Labels: "!service.kubernetes.io/headless"},
			Selection{Resource: endpoints, Labels: "!service.kubernetes.io/headless"}, slicer{endpoints: true}, "n,m,*", false},
		{"by a label that is the node's name", Selection{Resource: instances, Labels: "akri.sh/node=n,x=y"},
			Selection{Resource: instances, Labels: "akri.sh/node,x=y"}, slicer{label: "akri.sh/node"}, "n", false},
		{"by a label that is another node's", Selection{Resource: instances, Labels: "akri.sh/node=m"},
			Selection{Resource: instances, Labels: "akri.sh/node=m"}, slicer{}, "", false},
		{"by a set of one", Selection{Resource: instances, Labels: "akri.sh/node in (n)"},
			Selection{Resource: instances, Labels: "akri.sh/node in (n)"}, slicer{}, "", false},
	} {
		s, err := Canonical(tt.s)
		if err != nil {
			t.Fatal(err)
		}
		got := cutOf(s, "n", []string{"n", "m"}, owns())
		if got.whole != tt.whole || got.by != tt.by || got.slice != tt.slice || (got.own != nil) != tt.own {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	if got := cutOf(Selection{Resource: instances, Labels: "akri.sh/node="}, "", nil, owns()); !got.by.none() {
		t.Errorf("no node: %+v", got)
	}
}

func TestCache(t *testing.T) {
	f := &feed{}
	c := newCache(3 * (objectOverhead + 10))
	object := []byte("0123456789")
	key := func(name string) Key { return Key{"x", name} }
	for _, name := range []string{"a", "b", "c"} {
		c.put(f, key(name), "1", object)
	}
	if c.get(f, key("a"), "1") == nil || c.get(f, key("a"), "2") != nil {
		t.Error("a is there in version 1")
	}
	c.put(f, key("d"), "1", object) // b was used longest ago
	for name, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got := c.get(f, key(name), "1") != nil; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	c.put(f, key("a"), "2", []byte("0"))
	if want := int64(3*objectOverhead + 21); c.used() != want {
		t.Errorf("%d bytes, want %d", c.used(), want)
	}
	c.put(f, key("a"), "3", make([]byte, 3000))
	if c.get(f, key("a"), "2") != nil || c.get(f, key("a"), "3") != nil {
		t.Error("what does not fit is not kept, nor what was before it")
	}
	c.drop(f, key("c"))
	c.drop(f, key("c"))
	c.drop(f, key("d"))
	if c.used() != 0 || c.order.Len() != 0 || len(c.items) != 0 {
		t.Errorf("empty: %d bytes, %d, %d", c.used(), c.order.Len(), len(c.items))
	}
}

// What an edge node selects is one text whoever wrote it how, and is cut without a
// panic; a cut selects nothing that the selection did not.
func FuzzSelection(f *testing.F) {
	f.Add("spec.nodeName=n", "a=b,!c", "n")
	f.Add("metadata.name=x,spec.nodeName!=y", "akri.sh/node=n,x in (a,b)", "n")
	f.Add(`a=\=\,\\`, "a==b", "")
	f.Fuzz(func(t *testing.T, fields, labels, node string) {
		for _, r := range []kube.Resource{pods, nodes, configMaps, endpoints} {
			s, err := Canonical(Selection{Resource: r, Fields: fields, Labels: labels})
			if err != nil {
				return
			}
			again, err := Canonical(s)
			if err != nil || again != s {
				t.Fatalf("%+v is %+v in canonical form (%v)", s, again, err)
			}
			c := cutOf(s, node, []string{node}, owns())
			if _, err := Canonical(c.whole); err != nil {
				t.Errorf("%+v is cut to %+v: %v", s, c, err)
			}
			if !c.by.endpoints && strings.Contains(c.slice, separator) {
				t.Errorf("%+v is cut to several slices, %q", s, c.slice)
			}
			if c.by.none() && c.whole != s {
				t.Errorf("%+v is served by %+v, without a slice", s, c.whole)
			}
		}
	})
}
