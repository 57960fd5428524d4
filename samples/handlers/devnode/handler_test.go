package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
)

func TestConformance(t *testing.T) { conforms(t, fsnotify.NewWatcher) }

// Root's inotify instances may be used up.
func TestWithoutInotify(t *testing.T) {
	conforms(t, func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE })
}

func conforms(t *testing.T, inotify func() (*fsnotify.Watcher, error)) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		dir := t.TempDir()
		// Links to a device node stand for device nodes, which only root makes.
		plug := func(name string) {
			if err := os.Symlink("/dev/null", filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		plug("ttyUSB0")
		plug("ttyUSB1")
		plug("other0")
		if err := os.WriteFile(filepath.Join(dir, "ttyUSB-readme"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		both := []string{"/dev/ttyUSB0", "/dev/ttyUSB1"}
		return discoverytest.Fixture{
			Handler: devnode{dir: dir, inotify: inotify},
			Request: discovery.Request{Details: "names: ['ttyUSB*', ttyACM0]"},
			Present: both,
			Unplug: func() []string {
				if err := os.Remove(filepath.Join(dir, "ttyUSB1")); err != nil {
					t.Fatal(err)
				}
				return both[:1]
			},
			Plug:        func() []string { plug("ttyUSB1"); return both },
			Invalid:     discovery.Request{Details: "names: ['tty[']"},
			AlsoInvalid: []discovery.Request{{}, {Details: "name: [a]"}, {Details: "names: []"}},
			Nothing:     &discovery.Request{Details: "names: [nothing]"},
		}
	})
}
