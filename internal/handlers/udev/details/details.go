// Package details parses the discoveryDetails of the handler udev. It does not
// look at the machine, so that a Configuration can be checked where the handler
// does not run.
package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/handlers/udev/rule"
)

// What help texts and messages say of the handler.
const (
	// Name is what Configurations ask for.
	Name = "udev"
	// Summary says in one line what the handler finds.
	Summary = "devices that the kernel knows, chosen by udev rules"
	// About says what the handler needs and does.
	About = `Reads /sys, kernel uevents and, for rules on ENV or TAG, /run/udev.
Leaves out what the node itself needs: disks in use, consoles …`
)

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// Rules select the devices: those that one of them matches.
	Rules []*rule.Rule
	// GroupRecursive makes one Device of a device and all below it in sysfs.
	GroupRecursive bool
	// GroupByHardware makes one Device of all that belong to one piece of
	// hardware.
	GroupByHardware bool
	// ExtraNodes are device nodes that each Device gets besides its own.
	ExtraNodes []string
	// ContainerPath is the path of the device node in the container, "" for its
	// own path. %n in it is the node's number; without %n the path is for the
	// first node only.
	ContainerPath string
	// Links says what to do with udev's symbolic links to the device nodes.
	Links Links
	// IdentifyBy is what identifies a Device.
	IdentifyBy Identity
	// DescribeHardware adds what the hardware of a Device says of itself: vendor,
	// product and serial number.
	DescribeHardware bool
	// Permissions are those of the device nodes: r, w, m, rw, rm, wm or rwm.
	Permissions string
}

// Identity is what identifies a Device. It makes the Device's id, and with that
// the name of its Instance.
type Identity string

// The identities.
const (
	ByDevpath Identity = "devpath" // as upstream Akri does it
	ByPath    Identity = "path"    // its place
	BySerial  Identity = "serial"  // its serial number, or its place if that tells nothing
)

// Links says what to do with udev's symbolic links.
type Links string

// What to do with the links.
const (
	NoLinks          Links = ""
	LinksAsProperty  Links = "property"  // UDEV_DEVLINKS
	LinksInContainer Links = "container" // also in the container
)

var permissions = []string{"r", "w", "m", "rw", "rm", "wm", "rwm"}

const (
	maxDetailsBytes = rule.MaxRules*rule.MaxRuleBytes*2 + 4096
	defaultPerm     = "rwm"
)

// Parse parses discoveryDetails, a YAML mapping with the keys udevRules
// (a list of rules, see package rule; required), groupRecursive (a boolean),
// groupBy, identifyBy, describe, extraNodes, containerPath, links and permissions
// ("rwm" unless it is given). Errors name the key at fault.
func Parse(text string) (Details, error) {
	d := Details{Permissions: defaultPerm, IdentifyBy: ByDevpath}
	if len(text) > maxDetailsBytes {
		return d, fmt.Errorf("longer than %d bytes", maxDetailsBytes)
	}
	j, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return d, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(j, &fields); err != nil {
		return d, fmt.Errorf("not a mapping with the key udevRules")
	}
	var rules []string
	for key, value := range fields {
		var err error
		switch key {
		case "udevRules":
			if json.Unmarshal(value, &rules) != nil {
				err = fmt.Errorf("not a list of strings (a rule in YAML stands between single quotes)")
			}
		case "groupRecursive":
			if json.Unmarshal(value, &d.GroupRecursive) != nil {
				err = fmt.Errorf("neither true nor false")
			}
		case "permissions":
			if json.Unmarshal(value, &d.Permissions) != nil || !slices.Contains(permissions, d.Permissions) {
				err = fmt.Errorf("must be one of %s", strings.Join(permissions, ", "))
			}
		case "groupBy":
			d.GroupByHardware = true
			if string(value) != `"hardware"` {
				err = fmt.Errorf("must be hardware, or left out")
			}
		case "describe":
			d.DescribeHardware = true
			if string(value) != `"hardware"` {
				err = fmt.Errorf("must be hardware, or left out")
			}
		case "extraNodes":
			if json.Unmarshal(value, &d.ExtraNodes) != nil || len(d.ExtraNodes) > maxExtraNodes || slices.ContainsFunc(d.ExtraNodes, NotDevicePath) {
				err = fmt.Errorf("not a list of at most %d device nodes, such as /dev/snd/timer", maxExtraNodes)
			}
		case "containerPath":
			if json.Unmarshal(value, &d.ContainerPath) != nil || NotDevicePath(d.ContainerPath) {
				err = fmt.Errorf("not the path of a device node below /dev, such as /dev/zigbee")
			}
		case "links":
			if json.Unmarshal(value, &d.Links) != nil || !slices.Contains([]Links{LinksAsProperty, LinksInContainer}, d.Links) {
				err = fmt.Errorf("must be %s or %s, or left out", LinksAsProperty, LinksInContainer)
			}
		case "identifyBy":
			if json.Unmarshal(value, &d.IdentifyBy) != nil || !slices.Contains([]Identity{ByDevpath, ByPath, BySerial}, d.IdentifyBy) {
				err = fmt.Errorf("must be one of %s, %s, %s", ByPath, BySerial, ByDevpath)
			}
		default:
			err = fmt.Errorf("unknown key: the keys are udevRules, groupBy, groupRecursive, identifyBy, describe, containerPath, extraNodes, links and permissions")
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
	}
	if _, ok := fields["udevRules"]; !ok {
		return d, fmt.Errorf("the key udevRules is missing")
	}
	if d.GroupByHardware && d.GroupRecursive {
		return d, fmt.Errorf("groupBy: does not go with groupRecursive: choose one")
	}
	if d.Rules, err = rule.ParseAll(rules); err != nil {
		hint := ""
		if s := (*rule.SyntaxError)(nil); errors.As(err, &s) && s.Unclosed && strings.Contains(text, s.Rule+" #") {
			hint = " (YAML has cut it off: after a space, # begins a comment; put the rule between single quotes)"
		}
		return d, fmt.Errorf("udevRules: %w%s", err, hint)
	}
	return d, nil
}

// Check returns an error if discoveryDetails are invalid. Warnings say where
// rules find nothing, or mean something else than in upstream Akri.
func Check(text string) (warnings []string, err error) {
	d, err := Parse(text)
	if err != nil {
		return nil, err
	}
	for i, r := range d.Rules {
		for _, w := range append(r.Hints(), r.Warnings()...) {
			warnings = append(warnings, fmt.Sprintf("rule %d, column %d: %s", i+1, w.Column, w.Text))
		}
	}
	return warnings, nil
}

const maxExtraNodes = 16

// NotDevicePath tells whether a path is not that of something below /dev.
func NotDevicePath(p string) bool {
	rest, ok := strings.CutPrefix(p, "/dev/")
	return !ok || !fs.ValidPath(rest) || rest == "." || strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// UsesRecords tells whether udevd's records matter.
func (d *Details) UsesRecords() bool {
	return d.Links != NoLinks || slices.ContainsFunc(d.Rules, (*rule.Rule).UsesDatabase)
}

// WithoutRecords says what finds nothing if there are no records of udevd.
func (d *Details) WithoutRecords() string {
	for i, r := range d.Rules {
		if m := r.Recorded(); m != "" {
			return fmt.Sprintf("udev records nothing here (no /run/udev/data, or it is not mounted): %s of rule %d finds nothing", m, i+1)
		}
	}
	return ""
}
