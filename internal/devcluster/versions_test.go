package devcluster

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
)

func TestChooseKubernetes(t *testing.T) {
	has := func(v string) *state { return &state{Kubernetes: v} }
	for _, tt := range []struct {
		name      string
		old       *state
		wish      string
		want, err string
	}{
		{name: "new", want: kubebin.DefaultVersion()},
		{name: "new, asked for", wish: "1.35", want: "v1.35.4"},
		{name: "new, not there", wish: "1.12", err: "choose among 1.37.1"},
		{name: "stays", old: has("v1.34.5"), want: "v1.34.5"},
		{name: "stays, of an earlier patch", old: has("v1.34.1"), want: "v1.34.5"},
		{name: "stays, as asked for", old: has("v1.34.5"), wish: "1.34", want: "v1.34.5"},
		{name: "stays, from before there was a choice", old: &state{}, want: kubebin.DefaultVersion()},
		{name: "another", old: has("v1.34.5"), wish: "1.35", err: "has Kubernetes v1.34.5, not v1.35.4"},
		{name: "another, from before there was a choice", old: &state{}, wish: "1.35", err: "akri dev down"},
		{name: "not there any more", old: has("v1.20.0"), err: "akri dev down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chooseKubernetes(tt.old, tt.wish)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestKubeletGates(t *testing.T) {
	for _, tt := range []struct {
		version string
		period  time.Duration
		want    bool
	}{
		{"v1.34.5", 2 * time.Second, true}, {"v1.34.5", 0, false}, {"v1.35.4", 2 * time.Second, false}, {"", 2 * time.Second, false},
	} {
		c := testCluster()
		c.state.Kubernetes, c.maxRestart = tt.version, tt.period
		files, err := renderNode(c.nodeConfig(1))
		if err != nil {
			t.Fatal(err)
		}
		var kubelet struct{ FeatureGates map[string]bool }
		if err := yaml.Unmarshal(files["node1-kubelet.yaml"], &kubelet); err != nil {
			t.Fatal(err)
		}
		if got := kubelet.FeatureGates["KubeletCrashLoopBackOffMax"]; got != tt.want {
			t.Errorf("%s with %v: feature gates %v", tt.version, tt.period, kubelet.FeatureGates)
		}
	}
}
