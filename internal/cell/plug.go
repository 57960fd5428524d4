package cell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/poll"
)

const (
	zramControl = "/sys/class/zram-control"
	// maxPlugged keeps a script from filling the machine with devices.
	maxPlugged = 1024
)

// ErrNothingPlugged says that there is nothing to unplug.
var ErrNothingPlugged = errors.New("nothing is plugged")

// plugged is the record of the devices that Plug made for one lab.
type plugged struct {
	Devices []string `json:"devices"`
	BootID  string   `json:"bootID"`
}

const pluggedName = "plugged.json"

func pluggedFile(dir string) string { return filepath.Join(dir, pluggedName) }

func readPlugged(dir string) (plugged, error) {
	var p plugged
	if err := atomicfile.ReadJSON(pluggedFile(dir), &p); err != nil {
		return plugged{}, err
	}
	boot, err := bootID()
	if err != nil {
		return plugged{}, err
	}
	if p.BootID != boot {
		p = plugged{BootID: boot} // they went with the machine's last run
	}
	return p, nil
}

// Plug adds a zram device, a compressed block device in memory, to the machine,
// as if it was plugged in. It returns the device's name. All cells see the
// device.
func (l Lab) Plug(ctx context.Context) (string, error) {
	unlock, err := Lock(ctx, l.Dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	p, err := readPlugged(l.Dir)
	if err != nil {
		return "", err
	}
	if len(p.Devices) >= maxPlugged {
		return "", fmt.Errorf("%d devices are plugged already; unplug some", len(p.Devices))
	}
	data, err := os.ReadFile(filepath.Join(zramControl, "hot_add"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the kernel has no zram; `modprobe zram` loads it where it is a module")
	}
	if err != nil {
		return "", fmt.Errorf("add a zram device: %w", err)
	}
	name := "zram" + strings.TrimSpace(string(data))
	p.Devices = append(p.Devices, name)
	return name, atomicfile.WriteJSON(pluggedFile(l.Dir), p)
}

// Unplug removes a device that Plug added: the named one, or the latest if name
// is "". It returns the name.
func (l Lab) Unplug(ctx context.Context, name string) (string, error) {
	unlock, err := Lock(ctx, l.Dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	p, err := readPlugged(l.Dir)
	if err != nil {
		return "", err
	}
	if len(p.Devices) == 0 {
		return "", ErrNothingPlugged
	}
	if name == "" {
		name = p.Devices[len(p.Devices)-1]
	}
	i := slices.Index(p.Devices, name)
	if i < 0 {
		return "", fmt.Errorf("%s was not plugged here; plugged are %s", name, strings.Join(p.Devices, ", "))
	}
	if err := removeZram(ctx, name); err != nil {
		return "", err
	}
	p.Devices = slices.Delete(p.Devices, i, i+1)
	return name, atomicfile.WriteJSON(pluggedFile(l.Dir), p)
}

// Plugged returns the names of the devices that Plug added.
func (l Lab) Plugged() ([]string, error) {
	p, err := readPlugged(l.Dir)
	return p.Devices, err
}

// UnplugAll removes all devices that Plug added; the record of them stays.
func (l Lab) UnplugAll(ctx context.Context) error {
	p, err := readPlugged(l.Dir)
	if err != nil {
		return nil // an unreadable record must not keep a lab from being removed
	}
	for _, name := range p.Devices {
		if err := removeZram(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// removeZram removes a zram device. Somebody may hold it open for a moment.
func removeZram(ctx context.Context, name string) error {
	number, ok := strings.CutPrefix(name, "zram")
	if _, err := strconv.Atoi(number); !ok || err != nil {
		return fmt.Errorf("%q is not the name of a zram device", name)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return poll.Until(ctx, name+" is free", 50*time.Millisecond, func(context.Context) error {
		if _, err := os.Stat(filepath.Join("/sys/block", name)); err != nil {
			return nil
		}
		err := os.WriteFile(filepath.Join(zramControl, "hot_remove"), []byte(number), 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
