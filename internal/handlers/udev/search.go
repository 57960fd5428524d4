package udev

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/udev/details"
	"github.com/akri-go/akri/internal/handlers/udev/identity"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

// search is what one request has found.
type search struct {
	details     details.Details
	passthrough passthrough
	matches     map[string]found // by devpath of the device that a rule matches
	extra       map[string]found // of extraNodes
	allow       []rule.Pattern
	reported    func(time.Duration)
	log         *slog.Logger
}

func newSearch(d details.Details, p passthrough, o Options) *search {
	return &search{details: d, passthrough: p, matches: map[string]found{}, extra: map[string]found{}, allow: o.Allow, reported: o.Reported, log: o.Log}
}

// reportDelay is how long to wait at least between a report of n devices and
// the next one. A report has all devices, so its cost grows with n: in a burst
// of events there must be fewer reports than events. A single event does not
// wait.
func reportDelay(n int) time.Duration {
	return min(time.Duration(n)*10*time.Microsecond, 20*time.Millisecond)
}

// run reports until ctx is done.
func (s *search) run(ctx context.Context, sub *subscription, report func(discovery.Report) error) error {
	var (
		last  []found
		extra []found
		note  string
		first = true
		next  time.Time // not before
	)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sub.wake:
		}
		if err := backoff.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
		c, err := sub.take()
		if err != nil {
			return err
		}
		if !s.update(sub.m.tree.View(), c) && !first {
			continue
		}
		now, more := sorted(s.matches), sorted(s.extra)
		if !first && slices.Equal(now, last) && slices.Equal(more, extra) {
			continue
		}
		r := plan(now, more, s.details, s.passthrough)
		if without := s.details.WithoutRecords(); without != "" && !sub.m.tree.Recorded() {
			r.Note = joined(without, r.Note)
		}
		if err := report(r); err != nil {
			return err
		}
		if r.Note != note {
			note = r.Note
			s.log.Info("note on devices", "rules", len(s.details.Rules), "note", note)
		}
		if !c.since.IsZero() {
			s.reported(time.Since(c.since))
		}
		last, extra, first, next = now, more, false, time.Now().Add(reportDelay(len(now)))
	}
}

// update looks at devices again, and tells whether anything has changed.
func (s *search) update(v *sysfs.View, c changes) (changed bool) {
	if c.all {
		changed = true
		clear(s.matches)
		clear(s.extra)
	}
	forget := func(from map[string]found, devpath string) {
		if _, ok := from[devpath]; ok {
			changed = true
			delete(from, devpath)
		}
	}
	note := func(in map[string]found, devpath string, f found) {
		if in[devpath] != f {
			changed = true
			in[devpath] = f
		}
	}
	for _, devpath := range c.gone {
		forget(s.matches, devpath)
		forget(s.extra, devpath)
	}
	for _, ref := range c.refs {
		d := v.Device(ref)
		if slices.ContainsFunc(s.details.Rules, func(r *rule.Rule) bool { return r.Matches(d) }) && s.recorded(d) {
			note(s.matches, ref.Devpath, s.locate(v, d, c.node))
		} else {
			forget(s.matches, ref.Devpath)
		}
		if len(s.details.ExtraNodes) == 0 {
			continue
		}
		if slices.Contains(s.details.ExtraNodes, d.Devnode()) {
			note(s.extra, ref.Devpath, s.judged(v, d, c.node))
		} else {
			forget(s.extra, ref.Devpath)
		}
	}
	return changed
}

// recorded tells whether udevd has recorded a device whose links are wanted.
func (s *search) recorded(d *sysfs.Device) bool {
	if s.details.Links == details.NoLinks {
		return true
	}
	_, known := d.Property("DEVLINKS")
	return known
}

// judged returns a device, with the reason if the node itself needs it.
func (s *search) judged(v *sysfs.View, d *sysfs.Device, node *vital.Node) found {
	f := found{devpath: d.Devpath(), devnode: d.Devnode()}
	if !slices.ContainsFunc(s.allow, func(p rule.Pattern) bool { return p.Matches(f.devnode) }) {
		f.vital = node.Why(v, d)
	}
	return f
}

// locate returns the device itself or, if it has no device node, the nearest
// ancestor that has one, if there is one.
func (s *search) locate(v *sysfs.View, d *sysfs.Device, node *vital.Node) found {
	at := d
	for at != nil && at.Devnode() == "" && !s.details.GroupByHardware {
		at = at.Ancestor()
	}
	if at == nil {
		at = d
	}
	f := s.judged(v, at, node)
	if s.details.Links != details.NoLinks {
		f.links, _ = at.Property("DEVLINKS")
	}
	if s.details.GroupByHardware {
		at = hardwareOf(at)
		f.hardware = at.Devpath()
	}
	if s.details.IdentifyBy != details.ByDevpath {
		f.place = identity.Place(v, at)
	}
	if s.details.IdentifyBy == details.BySerial {
		f.serial, f.owner = identity.Serial(v, at)
	}
	if s.details.DescribeHardware {
		f.says = identity.Describe(at)
	}
	if s.passthrough.vfio {
		f.iommuGroup = at.Link("iommu_group")
	}
	return f
}

// hardwareOf returns the USB device that a device is or belongs to. If there is
// none, it returns the nearest ancestor on another hardware bus, or the device
// itself.
func hardwareOf(d *sysfs.Device) *sysfs.Device {
	var nearest *sysfs.Device
	for at := d; at != nil; at = at.Ancestor() {
		if _, isUSB := at.Attr("idVendor"); isUSB {
			return at
		}
		switch at.Subsystem() {
		case "pci", "platform", "acpi", "pnp", "amba", "i2c", "spi", "mmc", "virtio", "vmbus":
			if nearest == nil {
				nearest = at
			}
		}
	}
	if nearest == nil {
		return d
	}
	return nearest
}

// sorted returns what to report: sorted, each devpath once.
func sorted(matches map[string]found) []found {
	all := make([]found, 0, len(matches))
	for _, f := range matches {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(compareDevpaths(a.devpath, b.devpath), strings.Compare(a.devnode, b.devnode))
	})
	return slices.CompactFunc(all, func(a, b found) bool { return a.devpath == b.devpath })
}
