package charts

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The dashboard reads what it shows, and changes nothing. In particular it reads no
// Secret.
func TestDashboardRights(t *testing.T) {
	role := render(t, "dashboard.enabled=true").clusterRole(t, "akri-dashboard-role")
	var got []string
	for _, r := range role.Rules {
		if !slices.Equal(r.Verbs, []string{"list", "watch"}) || len(r.NonResourceURLs) > 0 {
			t.Errorf("it may %v %v", r.Verbs, r.Resources)
		}
		got = append(got, r.Resources...)
	}
	slices.Sort(got)
	want := []string{"configurations", "daemonsets", "deployments", "events", "instances", "jobs", "leases", "nodes", "pods", "services",
		"validatingwebhookconfigurations"}
	if !slices.Equal(got, want) {
		t.Errorf("it reads %v, want %v", got, want)
	}
}

// Without a token nobody reaches it but through the API server; with one there is a
// Service.
func TestDashboardAccess(t *testing.T) {
	for _, tt := range []struct {
		set     []string
		listen  string
		service corev1.ServiceType // "" for none
	}{
		{nil, "--listen=127.0.0.1:8080", ""},
		{[]string{"dashboard.service.type=NodePort"}, "--listen=127.0.0.1:8080", ""},
		{[]string{"dashboard.token.secretName=word"}, "--listen=:8080", "ClusterIP"},
		{[]string{"dashboard.token.secretName=word", "dashboard.service.type=NodePort", "dashboard.service.port=81"}, "--listen=:8080", "NodePort"},
	} {
		r := render(t, append(tt.set, "dashboard.enabled=true")...)
		d := r.deployment(t, "akri-dashboard")
		pod := d.Spec.Template.Spec
		c := pod.Containers[0]
		confined(t, pod, c)
		if c.Args[0] != tt.listen || pod.ServiceAccountName != "akri-dashboard-sa" || c.Image != "ghcr.io/akri-go/akri/dashboard:v0.1.0" {
			t.Errorf("%v: %v, %s, image %s", tt.set, c.Args, pod.ServiceAccountName, c.Image)
		}
		if c.ReadinessProbe.HTTPGet.Port.StrVal != "probes" || c.LivenessProbe.HTTPGet.Port.StrVal != "probes" {
			t.Errorf("%v: the kubelet would ask a port that it cannot reach", tt.set)
		}
		_, there := r.objects["Service/akri-dashboard"]
		if there != (tt.service != "") {
			t.Errorf("%v: there is a Service: %v", tt.set, there)
		}
		if !there {
			if len(c.Args) > 1 || len(pod.Volumes) > 0 {
				t.Errorf("%v: %v, volumes %v", tt.set, c.Args, pod.Volumes)
			}
			continue
		}
		s := decode[corev1.Service](t, r, "Service/akri-dashboard")
		for key, value := range s.Spec.Selector {
			if d.Spec.Template.Labels[key] != value {
				t.Errorf("the Service selects %s=%s", key, value)
			}
		}
		if s.Spec.Type != tt.service || s.Spec.Ports[0].TargetPort.StrVal != c.Ports[0].Name {
			t.Errorf("%v: Service %+v", tt.set, s.Spec)
		}
		if v := pod.Volumes[0].Secret; v == nil || v.SecretName != "word" || c.Args[1] != "--token-file="+c.VolumeMounts[0].MountPath+"/token" {
			t.Errorf("%v: volumes %+v, %v", tt.set, pod.Volumes, c.Args)
		}
	}
	notes := render(t, "dashboard.enabled=true").notes
	if !strings.Contains(notes, "port-forward deployment/akri-dashboard 8080") {
		t.Errorf("the notes do not say how to look:\n%s", notes)
	}
}

// Values of an earlier release have no dashboard.
func TestDashboardAbsent(t *testing.T) {
	if _, there := renderValues(t, map[string]any{"dashboard": nil}).objects["Deployment/akri-dashboard"]; there {
		t.Error("there is a dashboard")
	}
}
