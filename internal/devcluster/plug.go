package devcluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/akri-go/akri/internal/cell"
)

// Plug adds a zram device, a compressed block device in memory, to the machine,
// as if somebody had plugged it in, and returns its name. All nodes see it.
// Down removes it.
func (c *Cluster) Plug(ctx context.Context) (string, error) { return c.lab().Plug(ctx) }

// Unplug removes a device that Plug added, by default the latest, and returns
// its name.
func (c *Cluster) Unplug(ctx context.Context, name string) (string, error) {
	name, err := c.lab().Unplug(ctx, name)
	if errors.Is(err, cell.ErrNothingPlugged) {
		err = fmt.Errorf("%w; `akri dev plug` adds a device", err)
	}
	return name, err
}

// Plugged returns the names of the devices that Plug added.
func (c *Cluster) Plugged() ([]string, error) { return c.lab().Plugged() }
