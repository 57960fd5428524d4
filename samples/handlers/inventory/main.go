// Command inventory is a discovery handler in less than 100 lines, for devices
// that nothing announces: somebody lists them in a file. For the discoveryDetails
// "list: workshop" the file workshop.txt has a line for each device, with its id
// and its properties, such as "saw-1 HOST=10.0.0.7 PORT=502".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
)

type inventory struct {
	folder string // of the lists
	every  time.Duration
}

func (inventory) Name() string { return "inventory" }
func (inventory) Shared() bool { return false } // each node has its own lists

func (h inventory) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	var details struct {
		List string `json:"list"`
	}
	if err := yaml.UnmarshalStrict([]byte(req.Details), &details); err != nil {
		return discovery.Invalid("discoveryDetails: %w", err)
	}
	if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(details.List) {
		return discovery.Invalid("discoveryDetails: list is %q: want the name of a list, such as workshop", details.List)
	}
	ticker := time.NewTicker(h.every)
	defer ticker.Stop()
	for {
		devices, err := read(filepath.Join(h.folder, details.List+".txt"))
		if err != nil {
			return err
		}
		if err := report(devices); err != nil { // the agent gets what differs
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// read reads a list. One that is not there is empty.
func read(path string) (devices []discovery.Device, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		d := discovery.Device{ID: fields[0], Properties: map[string]string{"INVENTORY_ID": fields[0]}}
		for _, f := range fields[1:] {
			name, value, ok := strings.Cut(f, "=")
			if !ok {
				return nil, fmt.Errorf("%s: %q: want NAME=value", path, f)
			}
			d.Properties[name] = value
		}
		devices = append(devices, d)
	}
	return devices, err
}

func main() {
	lists := flag.String("lists", "/etc/inventory", "`folder` of the lists")
	flag.Parse()
	bounded.Memory(os.Getenv) // the limit of its container
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opts := append(discovery.OptionsFromEnv(os.Getenv), discovery.WithLogger(slog.Default()))
	if err := discovery.Serve(ctx, inventory{*lists, time.Second}, opts...); err != nil {
		slog.Error("inventory ends", "error", err)
		os.Exit(1)
	}
}
