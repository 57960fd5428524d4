package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// shown is a device as JSON and YAML show it.
type shown struct {
	ID          string            `json:"id"`
	Instance    string            `json:"instance,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
	Mounts      []shownMount      `json:"mounts,omitempty"`
	DeviceSpecs []shownSpec       `json:"deviceSpecs,omitempty"`
}

type shownMount struct {
	ContainerPath string `json:"containerPath"`
	HostPath      string `json:"hostPath"`
	ReadOnly      bool   `json:"readOnly"`
}

type shownSpec struct {
	ContainerPath string `json:"containerPath"`
	HostPath      string `json:"hostPath"`
	Permissions   string `json:"permissions"`
}

// change is a line of --watch in JSON, a document in YAML.
type change struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"` // present (at the start), added, changed or removed
	Device shown     `json:"device"`
}

func (p *printer) show(d discovery.Device) shown {
	s := shown{ID: d.ID, Instance: p.instance(d), Properties: d.Properties}
	for _, m := range d.Mounts {
		s.Mounts = append(s.Mounts, shownMount(m))
	}
	for _, n := range d.DeviceSpecs {
		s.DeviceSpecs = append(s.DeviceSpecs, shownSpec(n))
	}
	return s
}

// printer shows devices in one format.
type printer struct {
	out    io.Writer
	format string
	// columns are the handler's: they come before Instances and ids.
	columns []column
	last    map[string]discovery.Device
	rows    map[string][]string // of the devices in last
	now     func() time.Time

	configuration, node string // of which Instances would be
	shared              bool
}

// column is a column of the table.
type column struct {
	title string
	width int // in the lines of --watch
	value func(discovery.Device) string
}

// columnsOf returns the columns that a kind of handler has.
func columnsOf(k handlers.Kind) []column {
	var all []column
	for _, c := range k.Columns {
		all = append(all, column{c.Title, 16, func(d discovery.Device) string { return d.Properties[c.Property] }})
	}
	return all
}

// udevColumns are those of the handler udev. The tree knows what reports do not
// say.
func udevColumns(tree *sysfs.Tree) []column {
	sysfsDevice := func(d discovery.Device, value func(*sysfs.Device) string) string {
		devpath := cmp.Or(d.Properties["UDEV_DEVPATH"], d.ID)
		if !strings.HasPrefix(devpath, "/devices/") {
			return ""
		}
		return value(tree.View().At(devpath))
	}
	return []column{
		{"NODES", 16, nodes},
		{"SUBSYSTEM", 12, func(d discovery.Device) string { return sysfsDevice(d, (*sysfs.Device).Subsystem) }},
		{"DRIVER", 16, func(d discovery.Device) string { return sysfsDevice(d, (*sysfs.Device).Driver) }},
	}
}

// nodes returns a device's nodes, as "/dev/a,/dev/b".
func nodes(d discovery.Device) string {
	var paths []string
	for _, s := range d.DeviceSpecs {
		paths = append(paths, s.HostPath)
	}
	return strings.Join(paths, ",")
}

// instance returns the name that the device's Instance would have.
func (p *printer) instance(d discovery.Device) string {
	if p.configuration == "" {
		return ""
	}
	return v0.InstanceName(p.configuration, v0.DeviceHash(d.ID, p.node, p.shared))
}

func newPrinter(out io.Writer, format string, columns []column) (*printer, error) {
	if !slices.Contains([]string{"table", "json", "yaml"}, format) {
		return nil, fmt.Errorf("unknown format %q: choose table, json or yaml", format)
	}
	return &printer{out: out, format: format, columns: columns, rows: map[string][]string{}, now: time.Now}, nil
}

// header returns the titles of the columns.
func (p *printer) header() []string {
	var titles []string
	for _, c := range p.columns {
		titles = append(titles, c.title)
	}
	return append(titles, "INSTANCE", "ID")
}

// row returns what the columns show of a device.
func (p *printer) row(d discovery.Device) []string {
	var row []string
	for _, c := range p.columns {
		row = append(row, c.value(d))
	}
	row = append(row, p.instance(d), d.ID)
	for i, c := range row {
		row[i] = printable(cmp.Or(c, "-"))
		if text := []rune(row[i]); i < len(p.columns) && len(text) > maxCellRunes {
			row[i] = string(text[:maxCellRunes-1]) + "…" // -o yaml shows all of it
		}
	}
	return row
}

// maxCellRunes is how much is shown of what a device says of itself: one that says
// much must not spoil the table of the others.
const maxCellRunes = 60

// printable keeps names from controlling the terminal.
func printable(s string) string {
	if q := strconv.Quote(s); len(q) != len(s)+2 && strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return q
	}
	return s
}

// list shows all devices.
func (p *printer) list(devices []discovery.Device) error {
	if p.format != "table" {
		all := make([]shown, 0, len(devices))
		for _, d := range devices {
			all = append(all, p.show(d))
		}
		if p.format == "yaml" {
			return p.yaml(all)
		}
		e := json.NewEncoder(p.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	if len(devices) == 0 {
		_, err := fmt.Fprintln(p.out, "No device found.")
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, strings.Join(p.header(), "\t"))
	for _, d := range devices {
		fmt.Fprintln(w, strings.Join(p.row(d), "\t"))
	}
	return w.Flush()
}

func (p *printer) yaml(v any) error {
	b, err := yaml.Marshal(v)
	if err == nil {
		_, err = p.out.Write(b)
	}
	return err
}

// changes shows how a report differs from the one before it.
func (p *printer) changes(devices []discovery.Device, first bool) error {
	now := map[string]discovery.Device{}
	var todo []change
	for _, d := range devices {
		now[d.ID] = d
		switch old, known := p.last[d.ID]; {
		case first:
			todo = append(todo, change{p.now(), "present", p.show(d)})
		case !known:
			todo = append(todo, change{p.now(), "added", p.show(d)})
		case !reflect.DeepEqual(old, d):
			todo = append(todo, change{p.now(), "changed", p.show(d)})
		default:
			continue
		}
		p.rows[d.ID] = p.row(d)
	}
	for _, id := range slices.Sorted(maps.Keys(p.last)) {
		if _, still := now[id]; !still {
			todo = append(todo, change{p.now(), "removed", p.show(p.last[id])})
		}
	}
	if first && p.format == "table" {
		found := fmt.Sprintf("%d devices", len(devices))
		if len(devices) == 1 {
			found = "1 device"
		}
		fmt.Fprintf(p.out, "%s now; waiting for changes (Ctrl-C ends)\n", found)
	}
	p.last = now
	for _, c := range todo {
		if err := p.change(c); err != nil {
			return err
		}
		if c.Event == "removed" {
			delete(p.rows, c.Device.ID)
		}
	}
	return nil
}

func (p *printer) change(c change) error {
	switch p.format {
	case "json":
		e := json.NewEncoder(p.out)
		e.SetEscapeHTML(false)
		return e.Encode(c)
	case "yaml":
		if _, err := fmt.Fprintln(p.out, "---"); err != nil {
			return err
		}
		return p.yaml(c)
	}
	row := p.rows[c.Device.ID] // of a removed device as it was
	var line strings.Builder
	fmt.Fprintf(&line, "%s  %-8s", c.Time.Format("15:04:05.000"), c.Event)
	for i, column := range p.columns {
		fmt.Fprintf(&line, " %-*s", column.width, row[i])
	}
	n := len(p.columns)
	_, err := fmt.Fprintf(p.out, "%s %-20s %s\n", &line, row[n], row[n+1])
	return err
}
