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
	tree   *sysfs.Tree // for the columns that reports do not have; may be nil
	last   map[string]discovery.Device
	// columns are those of the table.
	columns []column
	rows    map[string][]string // of the devices in last
	now     func() time.Time

	configuration, node string // of which Instances would be
	shared              bool
}

// instance returns the name that the device's Instance would have.
func (p *printer) instance(d discovery.Device) string {
	if p.configuration == "" {
		return ""
	}
	return v0.InstanceName(p.configuration, v0.DeviceHash(d.ID, p.node, p.shared))
}

// newPrinter makes a printer for the devices of a kind of handler.
func newPrinter(out io.Writer, format, kind string, tree *sysfs.Tree) (*printer, error) {
	if !slices.Contains([]string{"table", "json", "yaml"}, format) {
		return nil, fmt.Errorf("unknown format %q: choose table, json or yaml", format)
	}
	p := &printer{out: out, format: format, tree: tree, rows: map[string][]string{}, now: time.Now}
	p.columns = p.columnsOf(kind)
	return p, nil
}

// row returns the columns of a device. Those of a removed device are as they were.
func (p *printer) row(d discovery.Device) []string {
	row := make([]string, len(p.columns))
	for i, c := range p.columns {
		row[i] = printable(cmp.Or(c.of(d), "-"))
	}
	return row
}

// titles returns those of the columns.
func (p *printer) titles() []string {
	titles := make([]string, len(p.columns))
	for i, c := range p.columns {
		titles[i] = c.title
	}
	return titles
}

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
	fmt.Fprintln(w, strings.Join(p.titles(), "\t"))
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
	line := fmt.Sprintf("%s  %-8s", c.Time.Format("15:04:05.000"), c.Event)
	for i, cell := range p.rows[c.Device.ID] {
		line += fmt.Sprintf(" %-*s", p.columns[i].width, cell)
	}
	_, err := fmt.Fprintln(p.out, strings.TrimRight(line, " "))
	return err
}
