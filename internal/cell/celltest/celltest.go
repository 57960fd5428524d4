// Package celltest helps tests of what runs in cells.
package celltest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cell"
)

// Remains notes what belongs to a lab now. It returns a function that fails the
// test if any of it is left.
func Remains(t *testing.T, lab cell.Lab) func() {
	t.Helper()
	members, err := processes(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d processes, %d network namespaces", len(members), len(namespaces(lab)))
	return func() {
		t.Helper()
		for _, p := range members {
			if p.Alive() {
				t.Errorf("process %d is left", p.PID)
			}
		}
		owner, err := cell.Owner(lab.Network.Index)
		if err != nil {
			t.Error(err)
		}
		if owner == lab.Dir {
			t.Errorf("the registry still has %s", lab.Dir)
		}
		left := []string{lab.Dir}
		if owner == "" || owner == lab.Dir { // else they are another lab's by now
			left = append(left, named(t, lab)...)
		}
		for _, path := range left {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s is left", path)
			}
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(mounts), lab.Dir) {
			t.Errorf("mounts are left:\n%s", mounts)
		}
	}
}

// named lists what is named after a lab's index.
func named(t *testing.T, lab cell.Lab) []string {
	t.Helper()
	trees, err := cell.Trees()
	if err != nil {
		t.Error(err)
	}
	list := append(namespaces(lab), "/sys/class/net/"+lab.Network.Interface())
	for _, tree := range trees {
		list = append(list, filepath.Join(tree.Mount, lab.Network.Cgroup()))
	}
	return list
}

func namespaces(lab cell.Lab) []string {
	names, _ := filepath.Glob(filepath.Join("/run/netns", lab.Network.NetNS("*"))) // the pattern is right
	return names
}

// processes lists what runs in a lab's cells. Processes of containers are in
// process namespaces below the cell's.
func processes(lab cell.Lab) ([]cell.Process, error) {
	all, err := cell.PIDs()
	if err != nil {
		return nil, err
	}
	var found []cell.Process
	for _, c := range lab.Cells() {
		h, err := c.Holder()
		if err != nil || !h.Alive() {
			continue
		}
		for _, pid := range all {
			if !below(pid, h.PID) {
				continue
			}
			if p, err := cell.Identify(pid); err == nil {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// below says whether pid is ancestor or descends from it.
func below(pid, ancestor int) bool {
	for pid > 1 {
		if pid == ancestor {
			return true
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		rest := data[bytes.LastIndexByte(data, ')')+1:]
		var state string
		if _, err := fmt.Sscan(string(rest), &state, &pid); err != nil {
			return false
		}
	}
	return false
}
