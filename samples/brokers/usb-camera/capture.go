package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// capturer gets pictures from a camera. Each time that it is asked it opens the
// device node anew, so a camera that was unplugged and is there again goes on.
type capturer struct {
	settings settings
	open     func(path string) (device, error)
	log      *slog.Logger
}

// source is a [camera.Source].
func (c *capturer) source(ctx context.Context, put func([]byte) error) (err error) {
	d, err := c.open(c.settings.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	convert, err := c.agree(d)
	if err != nil {
		return fmt.Errorf("%s: %w", c.settings.path, err)
	}
	c.log.Info("the camera gives pictures", "node", c.settings.path, "format", convert.mode.String(), "wanted", c.settings.want.String())
	if err := d.Start(); err != nil {
		return fmt.Errorf("%s: %w", c.settings.path, err)
	}
	// The camera may give more than is wanted, and encoding costs.
	interval := time.Second / time.Duration(c.settings.perSecond)
	var last time.Time
	for {
		err := d.Next(ctx, func(raw []byte) error {
			now := time.Now()
			if now.Sub(last) < interval*9/10 {
				return nil
			}
			last = now
			jpeg, err := convert.jpeg(raw)
			if err == nil {
				err = put(jpeg)
			}
			if err != nil { // half a picture, as after it was plugged in: the next one comes
				c.log.Debug("a picture is not taken", "error", err)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", c.settings.path, err)
		}
	}
}

// agree finds a mode that the camera takes.
func (c *capturer) agree(d device) (*converter, error) {
	modes, err := negotiate(d.Offers(), c.settings.want)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, m := range modes {
		got, err := d.Set(m, c.settings.perSecond)
		if err == nil {
			var convert *converter
			if convert, err = newConverter(got); err == nil {
				return convert, nil
			}
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}
