package rewrite

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rules = Rules{
	Node: "edge-1", API: netip.MustParseAddrPort("169.254.30.10:10550"), CA: []byte("OWN\n"),
	Neighbours: map[string]bool{"edge-2": true},
}

func TestShow(t *testing.T) {
	slices := EndpointSlices
	maps := configMaps
	const one = `{"addresses":["10.0.1.1"],"nodeName":"edge-1","targetRef":{"kind":"Pod","x":[1]}}`
	const two = `{"addresses":["10.0.2.1"],"nodeName":"edge-2"}`
	const far = `{"addresses":["10.0.9.1"],"nodeName":"cloud-1"}`
	const none = `{"addresses":["192.0.2.1"]}`
	for _, c := range []struct {
		name         string
		key          Key
		object, want string // want empty: it is shown as it is
		rules        *Rules
	}{
		{name: "another object", key: Key{Resource: maps, Namespace: "a", Name: "b"}, object: `{"data":{"ca.crt":"C"}}`},
		{name: "own, neighbour's, nobody's", key: Key{Resource: slices, Namespace: "a", Name: "s"},
			object: `{"metadata":{"name":"s","labels":{"kubernetes.io/service-name":"s"}},"new":{"field":1},"endpoints":[` + one + "," + far + "," + two + "," + none + `]}`,
			want:   `{"metadata":{"name":"s","labels":{"kubernetes.io/service-name":"s"}},"new":{"field":1},"endpoints":[` + one + "," + two + "," + none + `]}`},
		{name: "alone", key: Key{Resource: slices, Namespace: "a", Name: "s"}, rules: &Rules{Node: "edge-2"},
			object: `{"metadata":{},"endpoints":[` + one + "," + two + `]}`, want: `{"metadata":{},"endpoints":[` + two + `]}`},
		{name: "none is left", key: Key{Resource: slices, Namespace: "a", Name: "s"},
			object: `{"metadata":{},"endpoints":[` + far + `]}`, want: `{"metadata":{},"endpoints":[]}`},
		{name: "all within reach", key: Key{Resource: slices, Namespace: "a", Name: "s"}, object: `{"metadata":{},"endpoints":[` + one + "," + two + `]}`},
		{name: "no endpoints", key: Key{Resource: slices, Namespace: "a", Name: "s"}, object: `{"metadata":{},"endpoints":null}`},
		{name: "all wanted", key: Key{Resource: slices, Namespace: "a", Name: "s"},
			object: `{"metadata":{"labels":{"edge.akri.sh/endpoints":"all"}},"endpoints":[` + far + `]}`},
		{name: "another value", key: Key{Resource: slices, Namespace: "a", Name: "s"},
			object: `{"metadata":{"labels":{"edge.akri.sh/endpoints":"x"}},"endpoints":[` + far + `]}`,
			want:   `{"metadata":{"labels":{"edge.akri.sh/endpoints":"x"}},"endpoints":[]}`},
		{name: "an older version of the API", key: Key{Resource: Resource{Group: "discovery.k8s.io", Version: "v1beta1", Name: "endpointslices"}, Namespace: "a", Name: "s"},
			object: `{"metadata":{},"endpoints":[` + far + `]}`},
		{name: "the API server", key: Key{Resource: slices, Namespace: "default", Name: "kubernetes"},
			object: `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","ports":[{"name":"https","port":6443,"protocol":"TCP"}],"endpoints":[{"addresses":["10.1.1.1","10.1.1.2"]}]}`,
			want:   `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","ports":[{"name":"https","port":10550,"protocol":"TCP"}],"endpoints":[{"addresses":["169.254.30.10"],"conditions":{"ready":true}}]}`},
		{name: "the API server, of the other family", key: Key{Resource: slices, Namespace: "default", Name: "kubernetes"},
			object: `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv6","ports":[{"port":6443}],"endpoints":[{"addresses":["fd00::1"]}]}`,
			want:   `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv6","ports":[{"port":10550}],"endpoints":[]}`},
		{name: "the API server of somebody else", key: Key{Resource: slices, Namespace: "a", Name: "kubernetes"},
			object: `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","ports":[{"port":6443}],"endpoints":[{"addresses":["10.1.1.1"]}]}`},
		{name: "Pods do not reach the local API", key: Key{Resource: slices, Namespace: "default", Name: "kubernetes"}, rules: &Rules{Node: "edge-1"},
			object: `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","ports":[{"port":6443}],"endpoints":[{"addresses":["10.1.1.1"]}]}`},
		{name: "authorities", key: Key{Resource: maps, Namespace: "a", Name: "kube-root-ca.crt"},
			object: `{"metadata":{"name":"kube-root-ca.crt"},"data":{"ca.crt":"CLUSTER\n\n","other":"x"}}`,
			want:   `{"metadata":{"name":"kube-root-ca.crt"},"data":{"ca.crt":"CLUSTER\nOWN\n","other":"x"}}`},
		{name: "authorities without an end of line", key: Key{Resource: maps, Namespace: "a", Name: "kube-root-ca.crt"},
			object: `{"data":{"ca.crt":"CLUSTER"}}`, want: `{"data":{"ca.crt":"CLUSTER\nOWN\n"}}`},
		{name: "no authority", key: Key{Resource: maps, Namespace: "a", Name: "kube-root-ca.crt"}, object: `{"data":{"x":"y"}}`},
		{name: "no own authority", key: Key{Resource: maps, Namespace: "a", Name: "kube-root-ca.crt"}, rules: &Rules{}, object: `{"data":{"ca.crt":"C"}}`},
		{name: "another shape", key: Key{Resource: slices, Namespace: "a", Name: "s"}, object: `{"metadata":{},"endpoints":{"a":1}}`},
		{name: "no metadata", key: Key{Resource: slices, Namespace: "a", Name: "s"}, object: `{"endpoints":[` + far + `]}`},
		{name: "nonsense", key: Key{Resource: slices, Namespace: "a", Name: "s"}, object: `[1`},
	} {
		r := rules
		if c.rules != nil {
			r = *c.rules
		}
		got, differs := r.Show(c.key, []byte(c.object))
		if differs != (c.want != "") {
			t.Errorf("%s: differs is %v: %s", c.name, differs, got)
		}
		if !differs {
			if string(got) != c.object {
				t.Errorf("%s: %s", c.name, got)
			}
			continue
		}
		var g, w any
		if err := json.Unmarshal(got, &g); err != nil {
			t.Fatalf("%s: %v: %s", c.name, err, got)
		}
		if err := json.Unmarshal([]byte(c.want), &w); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, g); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if again, _ := r.Show(c.key, []byte(c.object)); string(again) != string(got) {
			t.Errorf("%s: shown in two ways", c.name)
		}
	}
}

func TestSiteOf(t *testing.T) {
	for node, want := range map[string]string{
		`{"metadata":{"labels":{"edge.akri.sh/site":"shop-1"}}}`: "shop-1",
		`{"metadata":{"labels":{"a":"b"}}}`:                      "",
		`{"metadata":{"labels":[]}}`:                             "",
		`x`:                                                      "",
	} {
		if got := SiteOf([]byte(node)); got != want {
			t.Errorf("%s: %q", node, got)
		}
	}
}

// Whatever the cloud sends, what is shown is JSON.
func FuzzShow(f *testing.F) {
	for _, seed := range []string{`{"metadata":{},"endpoints":[{"nodeName":"x"},{"nodeName":1},null]}`, `{"data":{"ca.crt":"x"}}`,
		`{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","ports":[null,{"port":1}]}`, `null`} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, object string, slice bool) {
		if !json.Valid([]byte(object)) || strings.TrimSpace(object) == "" {
			return
		}
		key := Key{Resource: EndpointSlices, Namespace: "default", Name: "kubernetes"}
		if !slice {
			key = Key{Resource: configMaps, Namespace: "a", Name: rootCA}
		}
		if shown, _ := rules.Show(key, []byte(object)); !json.Valid(shown) {
			t.Errorf("%s: %s", object, shown)
		}
	})
}
