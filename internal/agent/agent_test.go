package agent

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/hostpath"
	"github.com/akri-go/akri/internal/agent/checkpoint/checkpointtest"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/agent/requests"
	"github.com/akri-go/akri/internal/eventually"
)

type nobody struct{}

func (nobody) Reported(registry.Report) error                                            { return nil }
func (nobody) Failed(registry.Failure)                                                   {}
func (nobody) Lost(registry.Loss)                                                        {}
func (nobody) Retain(map[types.NamespacedName]bool)                                      {}
func (nobody) SetConfiguration(inventory.Configuration)                                  {}
func (nobody) DropConfiguration(types.NamespacedName)                                    {}
func (nobody) ConfigurationStatus(types.NamespacedName, types.UID, v0.ConfigurationNode) {}
func (nobody) Read(context.Context, string, string, string) (map[string][]byte, bool, error) {
	return nil, false, nil
}
func (nobody) Watch(context.Context, string, string, string, func(map[string][]byte, bool)) error {
	return nil
}

// An agent that is cut off from the API server is ready if it has a checkpoint.
func TestReady(t *testing.T) {
	dir, err := os.MkdirTemp("", "akri") // short: it is part of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	handlers, err := registry.New(registry.Options{Dir: dir, Observer: nobody{}, SocketGID: -1})
	if err != nil {
		t.Fatal(err)
	}
	options := requests.Options{Node: "n", API: nobody{}, Registry: handlers, Inventory: nobody{}, Statuses: nobody{},
		Logger: slog.New(slog.DiscardHandler)}
	fresh := requests.New(options)
	fresh.Restore()
	options.Store = checkpointtest.Holding(requests.State{}) // of an agent that knew its Configurations: none
	restarted := requests.New(options)
	restarted.Restore()

	if err := ready(handlers, restarted); err == nil || !strings.Contains(err.Error(), "register") {
		t.Errorf("before handlers can register: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- handlers.Run(ctx) }()
	deadline := time.After(eventually.Patience)
	for handlers.Serving() != nil {
		select {
		case err := <-done:
			t.Fatal(err)
		case <-deadline:
			t.Fatal("handlers cannot register")
		case <-time.After(time.Millisecond):
		}
	}
	if err := ready(handlers, fresh); err == nil || !strings.Contains(err.Error(), "Configurations") {
		t.Errorf("without Configurations and checkpoint: %v", err)
	}
	if err := ready(handlers, restarted); err != nil {
		t.Errorf("with a checkpoint: %v", err)
	}
	go func() { _ = fresh.Run(ctx) }()
	fresh.Set(nil)
	<-fresh.Synced
	if err := ready(handlers, fresh); err != nil {
		t.Errorf("with Configurations: %v", err)
	}
	handlers.Beat(ctx)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := ready(handlers, fresh); err == nil {
		t.Error("ready, though handlers cannot register any more")
	}
}

// restored notes what is there after a start, and what the status says.
type restored struct {
	devices []string
	says    string
}

func (*restored) DeviceGone(inventory.Device)        {}
func (r *restored) DeviceChanged(d inventory.Device) { r.devices = append(r.devices, d.Reported.ID) }
func (r *restored) ConfigurationStatus(_ types.NamespacedName, _ types.UID, entry v0.ConfigurationNode) {
	r.says = entry.Message
}

// An agent that starts with a shorter list of host paths has it hold for what its
// checkpoint says, before a handler has reported anything.
func TestRestoredByTheRulesOfToday(t *testing.T) {
	node := func(path string) discovery.Device {
		return discovery.Device{ID: path, DeviceSpecs: []discovery.DeviceSpec{{HostPath: path, ContainerPath: path, Permissions: "rw"}}}
	}
	shm := discovery.Device{ID: "shm", Mounts: []discovery.Mount{{HostPath: "/dev/shm", ContainerPath: "/data"}}}
	paths, err := hostpath.New(hostpath.Options{Devices: []string{"/dev/bus/usb"}})
	if err != nil {
		t.Fatal(err)
	}
	handlers, err := registry.New(registry.Options{Dir: t.TempDir(), Observer: nobody{}, SocketGID: -1, HostPaths: paths})
	if err != nil {
		t.Fatal(err)
	}
	r, up := &restored{}, &inventory.UpTime{}
	inv := inventory.New(inventory.Options{
		Node: "n", Consumers: []inventory.Consumer{r}, Statuses: r, Vet: handlers.Vet, UpTime: up, Logger: slog.New(slog.DiscardHandler),
		Store: checkpointtest.Holding(inventory.State{Configurations: []inventory.StoredConfiguration{{
			Name: types.NamespacedName{Namespace: "ns", Name: "c"}, Handler: "h", RequestID: "q",
			Lists: []inventory.List{{Endpoint: "e", Devices: []discovery.Device{node("/dev/bus/usb/001/099"), node("/dev/sda"), shm}}},
		}}}),
	})
	inv.Restore()
	if len(r.devices) != 1 || r.devices[0] != "/dev/bus/usb/001/099" {
		t.Errorf("restored %q, want what is below /dev/bus/usb", r.devices)
	}
	for _, part := range []string{`"/dev/sda" is not in an allowed folder`, `"/dev/shm" is not in an allowed folder`} {
		if !strings.Contains(r.says, part) {
			t.Errorf("the status says %q, want %q in it", r.says, part)
		}
	}
}
