package devcluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

func TestChooseNodeGrace(t *testing.T) {
	has := func(d time.Duration) *state { return &state{NodeGrace: d} }
	for _, tt := range []struct {
		name       string
		old        *state
		wish, want time.Duration
		err        string
	}{
		{name: "new"},
		{name: "new, asked for", wish: 12 * time.Second, want: 12 * time.Second},
		{name: "too short", wish: 3 * time.Second, err: "at least 4s"},
		{name: "negative", wish: -time.Minute, err: "at least 4s"},
		{name: "no whole seconds", wish: 4500 * time.Millisecond, err: "whole seconds"},
		{name: "stays", old: has(12 * time.Second), want: 12 * time.Second},
		{name: "stays, as asked for", old: has(12 * time.Second), wish: 12 * time.Second, want: 12 * time.Second},
		{name: "another", old: has(12 * time.Second), wish: 20 * time.Second, err: "akri dev down"},
		{name: "another than Kubernetes' own", old: has(0), wish: 20 * time.Second, err: "akri dev down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chooseNodeGrace(tt.old, tt.wish)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// The kubelet renews its Lease, and the controller-manager looks, four times
// within the grace.
func TestNodeGrace(t *testing.T) {
	for grace, want := range map[time.Duration]struct {
		lease any
		args  []string
	}{
		0:                {},
		12 * time.Second: {12.0, []string{"--node-monitor-grace-period=12s", "--node-monitor-period=3s"}},
		50 * time.Second: {50.0, []string{"--node-monitor-grace-period=50s", "--node-monitor-period=5s"}},
	} {
		c := testCluster()
		c.state.NodeGrace = grace
		var args []string
		for _, a := range c.arguments(controlCell, ControllerManager) {
			if strings.HasPrefix(a, "--node-monitor") {
				args = append(args, a)
			}
		}
		if !slices.Equal(args, want.args) {
			t.Errorf("%v: the controller-manager has %v, want %v", grace, args, want.args)
		}
		files, err := renderNode(c.nodeConfig(1))
		if err != nil {
			t.Fatal(err)
		}
		var kubelet map[string]any
		if err := yaml.UnmarshalStrict(files["node1-kubelet.yaml"], &kubelet); err != nil {
			t.Fatal(err)
		}
		if got := kubelet["nodeLeaseDurationSeconds"]; got != want.lease {
			t.Errorf("%v: the node's Lease is good for %v, want %v", grace, got, want.lease)
		}
	}
}
