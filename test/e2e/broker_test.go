//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// brokerImage is the sample broker, as `make images` names it.
var brokerImage = "ghcr.io/akri-go/akri/show-broker:v" + appVersion()

func appVersion() string {
	var chart struct {
		AppVersion string `json:"appVersion"`
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "charts", "akri", "Chart.yaml"))
	if err == nil {
		err = yaml.Unmarshal(b, &chart)
	}
	if err != nil {
		return err.Error() // shows in the name of the image that is not found
	}
	return chart.AppVersion
}

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
	eventually(t, soon, func(ctx context.Context) error {
		page, err := fetch(ctx, p, "/api/devices")
		if err != nil {
			return err
		}
		return json.Unmarshal(page, &g)
	})
	pids := processesOf(t, "show", string(p.UID))
	if len(pids) != 1 {
		t.Fatalf("%d processes of Pod %s, want 1", len(pids), p.Name)
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil {
		t.Fatalf("environment of Pod %s: %v", p.Name, err)
	}
	g.Env = map[string]string{}
	for _, variable := range strings.Split(string(raw), "\x00") {
		if name, value, ok := strings.Cut(variable, "="); ok {
			g.Env[name] = value
		}
	}
	return g
}

// processesOf returns the processes of Pods, by the start of their names and
// the Pods' UIDs, which the names of their cgroups hold.
func processesOf(t *testing.T, name string, uids ...string) []int {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range groups {
		group, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		if err != nil || !strings.HasPrefix(string(comm), name) {
			continue
		}
		for _, uid := range uids {
			if !strings.Contains(string(group), uid) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}
