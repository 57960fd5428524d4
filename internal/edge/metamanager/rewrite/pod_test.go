package rewrite

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPodOf(t *testing.T) {
	for object, want := range map[string]Pod{
		`{"metadata":{"uid":"u"},"status":{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],"conditions":[{"type":"Initialized","status":"True"},{"type":"Ready","status":"True"}]}}`: {"u", []string{"10.0.0.1", "fd00::1"}, true},
		`{"metadata":{"uid":"u"},"status":{"podIP":"10.0.0.1","conditions":[{"type":"Ready","status":"False"}]}}`:                                                                                     {"u", []string{"10.0.0.1"}, false},
		`{"metadata":{"uid":"u"}}`: {UID: "u"},
		`x`:                        {},
	} {
		if d := cmp.Diff(want, PodOf([]byte(object))); d != "" {
			t.Errorf("%s: %s", object, d)
		}
	}
}

func TestPresent(t *testing.T) {
	const yes, no = `"ready":true,"serving":true,"terminating":false`, `"ready":false,"serving":false,"terminating":false`
	pod := func(ready bool, addresses ...string) Pod { return Pod{"u", addresses, ready} }
	for name, c := range map[string]struct {
		conditions, want string // of the endpoint; want empty: as it is
		address          string // that is wanted
		pod              Pod
	}{
		"as it is":                    {yes, "", "", pod(true, "10.0.0.1")},
		"another address":             {yes, yes, "10.0.0.9", pod(true, "10.0.0.9", "fd00::9")},
		"no longer ready":             {yes, no, "10.0.0.1", pod(false, "10.0.0.1")},
		"ready":                       {no, yes, "10.0.0.1", pod(true, "10.0.0.1")},
		"ready at another address":    {no, yes, "10.0.0.9", pod(true, "10.0.0.9")},
		"no address":                  {yes, no, "10.0.0.1", pod(false)},
		"no address, and yet ready":   {yes, no, "10.0.0.1", pod(true)},
		"of the other family":         {yes, no, "10.0.0.1", pod(true, "fd00::9")},
		"published though not ready":  {`"ready":true,"serving":false`, `"ready":true,"serving":true`, "10.0.0.1", pod(true, "10.0.0.1")},
		"published, with new address": {`"ready":true,"serving":false`, `"ready":true,"serving":false`, "10.0.0.9", pod(false, "10.0.0.9")},
		"ending":                      {`"ready":false,"serving":true,"terminating":true`, "", "", pod(true, "10.0.0.1")},
		"ending, not ready":           {`"ready":false,"serving":true,"terminating":true`, `"ready":false,"serving":false,"terminating":true`, "10.0.0.1", pod(false, "10.0.0.1")},
		"without conditions":          {"", `"ready":false,"serving":false`, "10.0.0.1", pod(false, "10.0.0.1")},
		"another Pod of the name":     {yes, "", "", Pod{"v", []string{"10.0.0.9"}, true}},
	} {
		r := Rules{Node: "edge-1", Pods: map[PodName]Pod{{"a", "p"}: c.pod}}
		const slice = `{"metadata":{},"addressType":"IPv4","endpoints":[{"addresses":[%q],"conditions":{%s},"nodeName":"edge-1","zone":"z","targetRef":{"kind":"Pod","namespace":"a","name":"p","uid":"u"}}]}`
		object := fmt.Sprintf(slice, "10.0.0.1", c.conditions)
		got, differs := r.Show(Key{Resource: EndpointSlices, Namespace: "a", Name: "s"}, []byte(object))
		want := object
		if c.want != "" {
			want = fmt.Sprintf(slice, c.address, c.want)
		}
		if differs != (c.want != "") {
			t.Errorf("%s: differs is %v", name, differs)
		}
		var g, w any
		if err := json.Unmarshal(got, &g); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &w); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, g); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
