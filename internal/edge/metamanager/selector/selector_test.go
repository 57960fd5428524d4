package selector

import (
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	pod := `{"metadata":{"name":"a","namespace":"n","labels":{"app":"x","tier":""}},
		"spec":{"nodeName":"edge-1","restartPolicy":"Always"},"status":{"phase":"Running","podIPs":[{"ip":"10.0.0.1"}]}}`
	for _, c := range []struct {
		group, resource, label, field, object string
		want                                  bool
	}{
		{"", "pods", "", "", pod, true},
		{"", "pods", "", "spec.nodeName=edge-1", pod, true},
		{"", "pods", "", "spec.nodeName==edge-1", pod, true},
		{"", "pods", "", "spec.nodeName=edge-2", pod, false},
		{"", "pods", "", "spec.nodeName!=edge-1", pod, false},
		{"", "pods", "", "spec.nodeName=edge-1,status.phase!=Succeeded,status.phase!=Failed", pod, true},
		{"", "pods", "", "status.phase!=Running", pod, false},
		{"", "pods", "", "spec.nodeName=", pod, false},
		{"", "pods", "", "status.nominatedNodeName=", pod, true},
		{"", "pods", "", "spec.hostNetwork=false", pod, true},
		{"", "pods", "", "status.podIP=10.0.0.1", pod, true},
		{"", "pods", "", "metadata.name=a,metadata.namespace=n", pod, true},
		{"", "pods", "app=x", "", pod, true},
		{"", "pods", "app!=x", "", pod, false},
		{"", "pods", "app in (x,y),tier", "spec.nodeName=edge-1", pod, true},
		{"", "pods", "!none", "", pod, true},
		{"", "pods", "!app", "", pod, false},
		{"", "pods", "app=x", "spec.nodeName=edge-2", pod, false},
		{"", "services", "", "spec.clusterIP!=None", `{"spec":{"clusterIP":"None"}}`, false},
		{"", "services", "", "spec.clusterIP!=None", `{"spec":{}}`, true},
		{"", "services", "!service.kubernetes.io/headless", "", `{"metadata":{"labels":{"service.kubernetes.io/headless":""}}}`, false},
		{"", "nodes", "", "spec.unschedulable=false", `{}`, true},
		{"", "nodes", "", "spec.unschedulable=true", `{"spec":{"unschedulable":true}}`, true},
		{"batch", "jobs", "", "status.successful=2", `{"status":{"succeeded":2}}`, true},
		{"batch", "jobs", "", "status.successful=0", `{}`, true},
		{"apps", "replicasets", "", "status.replicas=0", `{}`, true},
		{"", "events", "", "source=kubelet,involvedObject.name=x", `{"reportingComponent":"kubelet","involvedObject":{"name":"x"}}`, true},
		{"example.org", "things", "", "spec.color=red", `{"spec":{"color":"red"}}`, true},
		{"", "pods", "", "a.b=1", `{"a":"x"}`, false},
		{"", "pods", "", "a.b!=1", `["no object"]`, false},
	} {
		s, err := Parse(c.group, c.resource, c.label, c.field)
		if err != nil {
			t.Errorf("%q %q: %v", c.label, c.field, err)
			continue
		}
		if got := s.Matches([]byte(c.object)); got != c.want {
			t.Errorf("%s: labels %q, fields %q match %s: %v", c.resource, c.label, c.field, c.object, got)
		}
	}
}

func TestParse(t *testing.T) {
	a, errA := Parse("", "pods", "b in (2,1), a=1", "z!=1,metadata.name=x")
	b, errB := Parse("", "pods", "a==1,b in (1,2)", "metadata.name==x,z!=1")
	if errA != nil || errB != nil || a.Labels() != b.Labels() || a.Fields() != b.Fields() {
		t.Errorf("%q %q, %q %q: %v, %v", a.Labels(), b.Labels(), a.Fields(), b.Fields(), errA, errB)
	}
	if name, ok := a.Name(); name != "x" || !ok || a.OnlyName() || a.All() {
		t.Errorf("name %q, %v", name, ok)
	}
	if only, err := Parse("", "pods", "", "metadata.name=x"); err != nil || !only.OnlyName() {
		t.Error("it asks for more than the name", err)
	}
	for _, bad := range [][2]string{{"a in", ""}, {"", "a"}, {"", `a=\x`}, {strings.Repeat("a", 9000), ""}, {"", "a=" + strings.Repeat("a", 9000)}} {
		if _, err := Parse("", "pods", bad[0], bad[1]); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

// What was parsed can be parsed again and means the same.
func FuzzParse(f *testing.F) {
	f.Add("app=x,tier in (a,b),!c", "spec.nodeName=n,status.phase!=Failed", `{"metadata":{"labels":{"app":"x"}},"spec":{"nodeName":"n"}}`)
	f.Add("", `a=\,b\\`, `{"a":",b\\"}`)
	f.Add("a>5", "a=,b!=", `[]`)
	f.Fuzz(func(t *testing.T, label, field, object string) {
		s, err := Parse("", "pods", label, field)
		if err != nil {
			return
		}
		again, err := Parse("", "pods", s.Labels(), s.Fields())
		if err != nil {
			t.Fatalf("%q, %q became %q, %q: %v", label, field, s.Labels(), s.Fields(), err)
		}
		if s.Labels() != again.Labels() || s.Fields() != again.Fields() {
			t.Fatalf("%q, %q: %q, %q became %q, %q", label, field, s.Labels(), s.Fields(), again.Labels(), again.Fields())
		}
		if s.Matches([]byte(object)) != again.Matches([]byte(object)) {
			t.Fatalf("%q, %q: two answers about %q", label, field, object)
		}
	})
}
