//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/akri-go/akri/test/testcluster"
)

// given is what a container was given.
type given struct {
	// Env is the environment of its process, as the kernel has it.
	Env map[string]string
	// Devices are what the broker says of them.
	Devices []struct {
		Nodes []struct {
			Path   string
			Kind   string
			Opened bool
			Error  string
		}
	}
}

// opened complains unless the container could open a device node.
func (g given) opened(path string) error {
	for _, d := range g.Devices {
		for _, n := range d.Nodes {
			if n.Path == path && n.Opened && n.Kind != "other" {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not open: %+v", path, g.Devices)
}

// show returns what the first container of a running broker was given.
func show(t *testing.T, p *corev1.Pod) given {
	t.Helper()
	var g given
	eventually(t, waitTimeout, func(ctx context.Context) error {
		page, err := fetch(ctx, p, "/api/devices")
		if err != nil {
			return err
		}
		return json.Unmarshal(page, &g)
	})
	var err error
	if g.Env, err = testcluster.EnvironmentOf("show", string(p.UID)); err != nil {
		t.Fatalf("Pod %s: %v", p.Name, err)
	}
	return g
}

// processesOf returns the processes of Pods.
func processesOf(t *testing.T, name string, uids ...string) []int {
	t.Helper()
	pids, err := testcluster.ProcessesOf(name, uids...)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}
