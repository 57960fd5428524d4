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
	const at1, at2, at9 = `{"ip":"10.0.1.1","nodeName":"edge-1"}`, `{"ip":"10.0.2.1","nodeName":"edge-2"}`, `{"ip":"10.0.9.1","nodeName":"cloud-1"}`
	const nobody = `{"ip":"192.0.2.1"}`
	const podP = `"nodeName":"edge-1","targetRef":{"kind":"Pod","namespace":"a","name":"p","uid":"u"}`
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
		{name: "Endpoints", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"},
			object: `{"metadata":{},"subsets":[{"addresses":[` + at1 + "," + at9 + "," + at2 + "," + nobody + `],"notReadyAddresses":[` + at9 + `],"ports":[{"port":80}]}]}`,
			want:   `{"metadata":{},"subsets":[{"addresses":[` + at1 + "," + at2 + "," + nobody + `],"ports":[{"port":80}]}]}`},
		{name: "Endpoints, not ready", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"},
			object: `{"metadata":{},"subsets":[{"addresses":[` + at9 + `],"notReadyAddresses":[` + at1 + "," + at9 + `]},{"addresses":[` + at9 + `]}]}`,
			want:   `{"metadata":{},"subsets":[{"notReadyAddresses":[` + at1 + `]}]}`},
		{name: "Endpoints, none is left", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"},
			object: `{"metadata":{},"subsets":[{"addresses":[` + at9 + `]}]}`, want: `{"metadata":{},"subsets":[]}`},
		{name: "Endpoints within reach", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"}, object: `{"metadata":{},"subsets":[{"addresses":[` + at1 + `]}]}`},
		{name: "Endpoints without any", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"}, object: `{"metadata":{"annotations":{"control-plane.alpha.kubernetes.io/leader":"x"}}}`},
		{name: "Endpoints, all wanted", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"},
			object: `{"metadata":{"labels":{"edge.akri.sh/endpoints":"all"}},"subsets":[{"addresses":[` + at9 + `]}]}`},
		{name: "Endpoints of another shape", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"}, object: `{"metadata":{},"subsets":[{"addresses":{"a":1}}]}`},
		{name: "Endpoints of a Pod with another address", key: Key{Resource: Endpoints, Namespace: "a", Name: "s"},
			rules:  &Rules{Node: "edge-1", Pods: map[PodName]Pod{{"a", "p"}: {"u", []string{"10.0.0.9", "fd00::9"}, true}}},
			object: `{"metadata":{},"subsets":[{"addresses":[{"ip":"10.0.0.1","hostname":"h",` + podP + `},{"ip":"fd00::1",` + podP + `},{"ip":"10.0.0.9",` + podP + `}]}]}`,
			want:   `{"metadata":{},"subsets":[{"addresses":[{"ip":"10.0.0.9","hostname":"h",` + podP + `},{"ip":"fd00::9",` + podP + `},{"ip":"10.0.0.9",` + podP + `}]}]}`},
		{name: "Endpoints of the API server", key: Key{Resource: Endpoints, Namespace: "default", Name: "kubernetes"},
			object: `{"metadata":{},"subsets":[{"addresses":[{"ip":"10.1.1.1"},{"ip":"10.1.1.2"}],"ports":[{"name":"https","port":6443}]}]}`,
			want:   `{"metadata":{},"subsets":[{"addresses":[{"ip":"169.254.30.10"}],"ports":[{"name":"https","port":10550}]}]}`},
		{name: "Endpoints of the API server, which Pods do not reach here", key: Key{Resource: Endpoints, Namespace: "default", Name: "kubernetes"}, rules: &Rules{Node: "edge-1"},
			object: `{"metadata":{},"subsets":[{"addresses":[{"ip":"10.1.1.1"}],"ports":[{"port":6443}]}]}`},
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
		`{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","ports":[null,{"port":1}]}`, `null`,
		`{"metadata":{},"subsets":[null,{"addresses":[null,1,{"nodeName":"x"}],"notReadyAddresses":{}}]}`} {
		for which := range byte(4) {
			f.Add(seed, which)
		}
	}
	f.Fuzz(func(t *testing.T, object string, which byte) {
		if !json.Valid([]byte(object)) || strings.TrimSpace(object) == "" {
			return
		}
		key := Key{Resource: EndpointSlices, Namespace: "default", Name: "kubernetes"}
		switch which {
		case 1:
			key = Key{Resource: configMaps, Namespace: "a", Name: rootCA}
		case 2:
			key = Key{Resource: Endpoints, Namespace: "default", Name: "kubernetes"}
		case 3:
			key = Key{Resource: Endpoints, Namespace: "a", Name: "s"}
		}
		if shown, _ := rules.Show(key, []byte(object)); !json.Valid(shown) {
			t.Errorf("%s: %s", object, shown)
		}
	})
}
