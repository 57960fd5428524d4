package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
)

// write replaces a list as a whole.
func write(t *testing.T, folder, name, text string) {
	t.Helper()
	temporary := filepath.Join(folder, ".new")
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(folder, name+".txt")); err != nil {
		t.Fatal(err)
	}
}

const (
	both = "saw-1 HOST=10.0.0.7 PORT=502\n\nlathe-1 HOST=10.0.0.8\n"
	one  = "saw-1 HOST=10.0.0.7 PORT=502\n"
)

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		folder := t.TempDir()
		write(t, folder, "workshop", both)
		return discoverytest.Fixture{
			Handler:     inventory{folder, 10 * time.Millisecond},
			Request:     discovery.Request{Details: "list: workshop"},
			Present:     []string{"saw-1", "lathe-1"},
			Unplug:      func() []string { write(t, folder, "workshop", one); return []string{"saw-1"} },
			Plug:        func() []string { write(t, folder, "workshop", both); return []string{"saw-1", "lathe-1"} },
			Invalid:     discovery.Request{Details: "list: ../../etc/passwd"},
			AlsoInvalid: []discovery.Request{{}, {Details: "lists: workshop"}, {Details: "list: ["}},
			Nothing:     &discovery.Request{Details: "list: attic"},
		}
	})
}

func TestRead(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "bad", "saw-1 HOST\n")
	if _, err := read(filepath.Join(folder, "bad.txt")); err == nil {
		t.Error("a list that is not one was read")
	}
	write(t, folder, "good", both)
	devices, err := read(filepath.Join(folder, "good.txt"))
	want := []discovery.Device{
		{ID: "saw-1", Properties: map[string]string{"INVENTORY_ID": "saw-1", "HOST": "10.0.0.7", "PORT": "502"}},
		{ID: "lathe-1", Properties: map[string]string{"INVENTORY_ID": "lathe-1", "HOST": "10.0.0.8"}},
	}
	if err != nil || !discovery.Same(devices, want) {
		t.Errorf("got %+v, %v", devices, err)
	}
}
