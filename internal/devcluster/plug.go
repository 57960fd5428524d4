package devcluster

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
)

const (
	zramControl = "/sys/class/zram-control"
	// maxPlugged keeps a runaway script from filling the machine with devices.
	maxPlugged = 1024
)

// plugged is the record of the devices that Plug made for one cluster.
type plugged struct {
	Devices []string `json:"devices"`
	BootID  string   `json:"bootID"`
}

func pluggedFile(dir string) string { return filepath.Join(dir, "plugged.json") }

func readPlugged(dir string) (plugged, error) {
	var p plugged
	if err := readJSON(pluggedFile(dir), &p); err != nil {
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
// as if somebody had plugged it in, and returns its name. All nodes see it.
// Down removes it.
func (c *Cluster) Plug(ctx context.Context) (string, error) {
	unlock, err := lockDir(ctx, c.dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	p, err := readPlugged(c.dir)
	if err != nil {
		return "", err
	}
	if len(p.Devices) >= maxPlugged {
		return "", fmt.Errorf("%d devices are plugged already; `akri dev unplug` some", len(p.Devices))
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
	return name, writeJSON(pluggedFile(c.dir), p)
}

// Unplug removes a device that Plug added: the named one, or the latest when
// name is empty. It returns the name.
func (c *Cluster) Unplug(ctx context.Context, name string) (string, error) {
	unlock, err := lockDir(ctx, c.dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	p, err := readPlugged(c.dir)
	if err != nil {
		return "", err
	}
	if len(p.Devices) == 0 {
		return "", errors.New("nothing is plugged; `akri dev plug` adds a device")
	}
	if name == "" {
		name = p.Devices[len(p.Devices)-1]
	}
	i := slices.Index(p.Devices, name)
	if i < 0 {
		return "", fmt.Errorf("%s was not added by `akri dev plug`; plugged are %s", name, strings.Join(p.Devices, ", "))
	}
	if err := removeZram(ctx, name); err != nil {
		return "", err
	}
	p.Devices = slices.Delete(p.Devices, i, i+1)
	return name, writeJSON(pluggedFile(c.dir), p)
}

// Plugged returns the names of the devices that Plug added.
func (c *Cluster) Plugged() ([]string, error) {
	p, err := readPlugged(c.dir)
	return p.Devices, err
}

func unplugAll(ctx context.Context, dir string) error {
	p, err := readPlugged(dir)
	if err != nil {
		return nil // an unreadable record must not stop Down
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
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return poll(ctx, name+" is free", 50*time.Millisecond, func(context.Context) error {
		if !exists(filepath.Join("/sys/block", name)) {
			return nil
		}
		err := os.WriteFile(filepath.Join(zramControl, "hot_remove"), []byte(number), 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
