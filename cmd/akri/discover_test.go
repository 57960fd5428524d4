package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// discover runs "akri discover" and returns what it writes.
func discover(stdin string, args ...string) (out, errs string, err error) {
	cmd := newDiscoverCommand()
	var o, e bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(context.Background())
	return o.String(), e.String(), err
}

const manifest = `
kind: ConfigMap
apiVersion: v1
metadata: {name: other}
---
apiVersion: akri.sh/v0
kind: Configuration
metadata: {name: echo}
spec:
  discoveryHandler:
    name: debugEcho
    discoveryDetails: |
      descriptions: [one]
---
apiVersion: akri.sh/v0
kind: Configuration
metadata: {name: null-device}
spec:
  discoveryHandler:
    name: udev
    discoveryDetails: |
      udevRules: ['KERNEL=="null"']
      permissions: r
---
apiVersion: akri.sh/v0
kind: Configuration
metadata: {name: camera}
spec:
  discoveryHandler:
    name: zigbee
---
apiVersion: akri.sh/v0
kind: Configuration
metadata: {name: secret}
spec:
  discoveryHandler:
    name: debugEcho
    discoveryDetails: |
      descriptions: [one]
    discoveryProperties:
    - name: key
      valueFrom: {secretKeyRef: {name: s, key: k}}
`

func TestDiscover(t *testing.T) {
	if _, err := os.Stat("/sys/class/mem/null"); err != nil {
		t.Skipf("this machine has no sysfs: %v", err)
	}
	credentials := filepath.Join(t.TempDir(), "credentials.yaml")
	if err := os.WriteFile(credentials, []byte("key: value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, stdin, args string
		out, errs, err    string // part of it
	}{
		{"table", "", `udev --rule KERNEL=="null" --node a`, "NODES       SUBSYSTEM   DRIVER   INSTANCE           ID\n/dev/null   mem         -        akri-udev-1d5baa   /devices/virtual/mem/null\n", "", ""},
		{"configuration", "", `udev --rule KERNEL=="null" --node b --configuration cam -o yaml`, "instance: cam-", "", ""},
		{"json", "", `udev -r KERNEL=="null" --permissions r -o json`, `"permissions": "r"`, "", ""},
		{"yaml", "", `udev -r KERNEL=="null" --group-recursive -o yaml`, "UDEV_DEVNODE_0: /dev/null", "", ""},
		{"none", "", `udev -r KERNEL=="no-such-device"`, "No device found.\n", "", ""},
		{"none in json", "", `udev -r KERNEL=="no-such-device" -o json`, "[]\n", "", ""},
		{"note", "", `udev -r KERNEL=="null",KERNEL!="x.*"`, "/dev/null", "Note on rule 1, column 16: KERNEL: \"x.*\" is a shell pattern", ""},
		{"syntax", "", `udev -r KERNEL="null"`, "", "", "column 7: KERNEL= assigns, and a rule here can only match: write KERNEL== or KERNEL!=\n  KERNEL=\"null\"\n        ^"},
		{"permissions", "", `udev -r KERNEL=="null" --permissions mw`, "", "", "must be one of"},
		{"no rule", "", `udev`, "", "", "at least one of the flags"},
		{"format", "", `udev -r KERNEL=="null" -o xml`, "", "", "choose table, json or yaml"},
		{"details", "udevRules: ['KERNEL==\"null\"']", `udev --details -`, "/dev/null", "", ""},
		{"details and rule", "", `udev --details - -r KERNEL=="null"`, "", "", "none of the others can be"},
		{"no file", "", `udev --details /no/such/file`, "", "", "no such file"},
		{"manifest", manifest, `-f - null-device -o json --node a`, `"instance": "null-device-1d5baa"`, "", ""},
		{"which", manifest, `-f -`, "", "", "several Configurations: name one of echo, null-device, camera, secret"},
		{"not there", manifest, `-f - other`, "", "", "no Configuration other"},
		{"other handler", manifest, `-f - camera`, "", "", `discovery handler "zigbee"`},
		{"from the cluster", manifest, `-f - secret`, "", "", "give its value with --credentials"},
		{"given", manifest, `-f - secret --credentials ` + credentials, "secret-d55c66", "", ""},
		{"credentials that are none", manifest, `-f - secret --credentials discover_test.go`, "", "", "not YAML that maps names"},
		{"details of onvif", "uuids: 7", `onvif --details -`, "", "", "discoveryDetails: "},
		{"onvif and details", "", `onvif --details - --address 10.0.0.1`, "", "", "none of the others can be"},
		{"onvif at nothing", "", `onvif --interface none --address nonsense`, "", "", `addresses[0]: "nonsense" is not an IP address`},
		{"no camera", "interfaces: []", `onvif --details -`, "No device found.\n", "Note on interfaces: none", ""},
		{"recording for another handler", manifest, `-f - echo --from discover_test.go`, "", "", "only the handler udev can use a recording"},
		{"no Configuration", "kind: Pod\n", `-f -`, "", "", "no Configuration of akri.sh"},
		{"wrong field", "apiVersion: akri.sh/v0\nkind: Configuration\nspec: {handler: {}}\n", `-f -`, "", "", "handler"},
	} {
		out, errs, err := discover(tt.stdin, strings.Fields(tt.args)...)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) || !strings.Contains(text, tt.err) || (err != nil) != (tt.err != "") {
			t.Errorf("%s: got %q, %q, %v", tt.name, out, errs, err)
		}
	}
}

const recorded = "../../internal/handlers/udev/testdata/machine.txt"

// With a recording, the recorded machine's devices are found.
func TestRecorded(t *testing.T) {
	for _, tt := range []struct {
		name      string
		args      []string
		out, errs []string
		err       string
	}{
		{"a rule", []string{"udev", "--from", recorded, "--node", "a", "-r", `SUBSYSTEM=="tty", ATTRS{idVendor}=="0403"`, "--identify-by", "path"}, []string{
			"NODES          SUBSYSTEM   DRIVER   INSTANCE           ID\n",
			"/dev/ttyUSB0   tty         -        akri-udev-04ef61   path:pci0000:00/0000:00:14.0/usb2/3/1.0/port0/tty/ttyUSB\n"}, nil, ""},
		{"no serial number", []string{"udev", "--from", recorded, "-r", `SUBSYSTEM=="tty", ATTRS{idVendor}=="0403"`, "--identify-by", "serial"},
			[]string{"path:"}, []string{"Note: identified by place, since there is no serial number: /dev/ttyUSB0, /dev/ttyUSB1\n"}, ""},
		{"no node", []string{"udev", "--from", recorded, "-r", `SUBSYSTEM=="gpio"`}, []string{"gpiochip512"},
			[]string{"Note: 1 of 2 devices have no device node"}, ""},
		{"help", []string{"udev", "--from", recorded, "--rule-help", "/dev/ttyUSB4"}, []string{
			"\n  ENV{ID_USB_INTERFACE_NUM}==\"01\"\n", "\n  ATTRS{interface}==\"HubZ ZigBee Com Port\"\n",
			"# every device of this make: 2\n  SUBSYSTEM==\"tty\", ATTRS{idVendor}==\"10c4\", ATTRS{idProduct}==\"8a2a\"\n",
			"# only what belongs to this interface of it: 1\n  SUBSYSTEM==\"tty\", DEVPATH==\"*:1.1/*\", "}, nil, ""},
		{"help for nothing", []string{"udev", "--from", recorded, "--rule-help", "/dev/sdz"}, nil, nil, "neither a device node"},
		{"not a recording", []string{"udev", "--from", "discover_test.go", "-r", `KERNEL=="a"`}, nil, nil, "akri discover --record writes recordings"},
		{"help and a rule", []string{"udev", "--rule-help", "/dev/null", "-r", `KERNEL=="a"`}, nil, nil, "none of the others can be"},
		{"record and from", []string{"--record", "-", "--from", recorded}, nil, nil, "none of the others can be"},
		{"bad pattern", []string{"udev", "-r", `KERNEL=="a"`, "--allow-node-devices", "sda"}, nil, nil, "not the path of a device node"},
	} {
		out, errs, err := discover("", tt.args...)
		for _, want := range tt.out {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", tt.name, want, out)
			}
		}
		for _, want := range tt.errs {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: no %q in\n%s", tt.name, want, errs)
			}
		}
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A recording of this machine has the same devices as the machine.
func TestRecord(t *testing.T) {
	if _, err := os.Stat("/sys/class/mem/null"); err != nil {
		t.Skipf("this machine has no sysfs: %v", err)
	}
	file := filepath.Join(t.TempDir(), "machine.txt")
	if _, errs, err := discover("", "--record", file); err != nil || !strings.Contains(errs, "blanked; check it") {
		t.Fatalf("%q, %v", errs, err)
	}
	// Tests of other packages plug zram devices meanwhile.
	for _, rule := range []string{`SUBSYSTEM=="mem"`, `SUBSYSTEM=="block", KERNEL!="zram*"`, `SUBSYSTEM=="misc", ATTR{dev}=="10:*"`} {
		live, _, err := discover("", "udev", "-r", rule)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := discover("", "udev", "-r", rule, "--from", file)
		if err != nil || live != again {
			t.Errorf("%s: %v, live\n%s\nrecorded\n%s", rule, err, live, again)
		}
	}
}

func TestProperties(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	write := func(property string) {
		err := os.WriteFile(file, []byte("apiVersion: akri.sh/v0\nkind: Configuration\nmetadata: {name: x}\nspec:\n  discoveryHandler:\n    name: udev\n    discoveryProperties:\n    - "+property), 0o600)
		if err != nil {
			t.Fatal(err)
		}
	}
	write("{name: a, value: b}")
	req, kind, _, err := fromManifest(file, nil, nil, nil)
	if err != nil || kind.Name != "udev" || string(req.Properties["a"]) != "b" {
		t.Errorf("got %+v, %v", req, err)
	}
	write("{name: a}")
	if req, _, _, err := fromManifest(file, nil, nil, nil); err != nil || len(req.Properties) != 1 || req.Properties["a"] != nil {
		t.Errorf("got %+v, %v", req, err)
	}
	write("{name: a, valueFrom: {secretKeyRef: {name: s, key: k}}}")
	if _, _, _, err := fromManifest(file, nil, nil, nil); err == nil || !strings.Contains(err.Error(), "from the cluster") {
		t.Errorf("got %v", err)
	}
}

func TestChanges(t *testing.T) {
	node := func(id, node string) discovery.Device {
		return discovery.Device{ID: id, Properties: map[string]string{"N": node}, DeviceSpecs: []discovery.DeviceSpec{{HostPath: node}}}
	}
	reports := [][]discovery.Device{
		{node("/devices/a", "/dev/a")},
		{node("/devices/a", "/dev/a"), node("/devices/b\x1b[2J", "/dev/b")},
		{node("/devices/a", "/dev/a1")},
	}
	tree := sysfs.New(fstest.MapFS{"devices/a/subsystem": {Data: []byte("../class/x"), Mode: os.ModeSymlink}}, nil)
	for format, want := range map[string]string{
		"table": `1 device now; waiting for changes (Ctrl-C ends)
01:02:03.000  present  /dev/a           x            -                -                    /devices/a
01:02:03.000  added    /dev/b           -            -                -                    "/devices/b\x1b[2J"
01:02:03.000  changed  /dev/a1          x            -                -                    /devices/a
01:02:03.000  removed  /dev/b           -            -                -                    "/devices/b\x1b[2J"
`,
		"json": `{"time":"2030-01-01T01:02:03Z","event":"present","device":{"id":"/devices/a","properties":{"N":"/dev/a"},"deviceSpecs":[{"containerPath":"","hostPath":"/dev/a","permissions":""}]}}
{"time":"2030-01-01T01:02:03Z","event":"added","device":{"id":"/devices/b\u001b[2J","properties":{"N":"/dev/b"},"deviceSpecs":[{"containerPath":"","hostPath":"/dev/b","permissions":""}]}}
{"time":"2030-01-01T01:02:03Z","event":"changed","device":{"id":"/devices/a","properties":{"N":"/dev/a1"},"deviceSpecs":[{"containerPath":"","hostPath":"/dev/a1","permissions":""}]}}
{"time":"2030-01-01T01:02:03Z","event":"removed","device":{"id":"/devices/b\u001b[2J","properties":{"N":"/dev/b"},"deviceSpecs":[{"containerPath":"","hostPath":"/dev/b","permissions":""}]}}
`,
	} {
		var out bytes.Buffer
		p, err := newPrinter(&out, format, udevColumns(tree))
		if err != nil {
			t.Fatal(err)
		}
		p.now = func() time.Time { return time.Date(2030, 1, 1, 1, 2, 3, 0, time.UTC) }
		for i, r := range reports {
			if err := p.changes(r, i == 0); err != nil {
				t.Fatal(err)
			}
		}
		if got := out.String(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got, want)
		}
	}
}

// A handler without its own command here gets one that takes details.
func TestDetailsCommand(t *testing.T) {
	kind, _ := all.Find("debugEcho")
	kind.Name = "ownName"
	kind.Columns = []handlers.Column{{Title: "TEXT", Property: "DEBUG_ECHO_DESCRIPTION"}, {Title: "MODEL", Property: "NONE"}}
	for _, tt := range []struct{ args, out, err string }{
		{"--details - --shared --node a -o json", `"instance": "akri-ownname-`, ""},
		{"--details - --shared --configuration c", "TEXT   MODEL   INSTANCE   ID\nfoo    -       c-", ""},
		{"", "", "at least one of the flags"},
		{"--details /no/such/file", "", "no such file"},
	} {
		cmd := newDiscoverDetailsCommand(kind)
		var out, errs bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&errs)
		cmd.SetIn(strings.NewReader("descriptions: [foo]"))
		cmd.SetArgs(strings.Fields(tt.args))
		err := cmd.ExecuteContext(t.Context())
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || !strings.Contains(out.String(), tt.out) {
			t.Errorf("%s: %v\n%s", tt.args, err, out.String())
		}
	}
}

// What a note does not say, or says in the words of a cluster, is said as for a
// terminal.
func TestHint(t *testing.T) {
	one := []discovery.Device{{ID: "a"}}
	wants := "it wants a user name and a password: give them in discoveryProperties"
	for _, tt := range []struct {
		handler string
		given   bool
		report  discovery.Report
		want    string
	}{
		{"onvif", false, discovery.Report{}, "no camera has answered: is ONVIF switched on"},
		{"onvif", false, discovery.Report{Note: "no suitable network interface"}, ""},
		{"onvif", false, discovery.Report{Devices: one}, ""},
		{"onvif", false, discovery.Report{Devices: one, Note: wants}, "--credentials FILE"},
		{"onvif", true, discovery.Report{Devices: one, Note: wants}, ""},
		{"mqtt", false, discovery.Report{}, "no device has announced itself on the broker"},
		{"mqtt", false, discovery.Report{Note: "give username and password in discoveryProperties"}, "--credentials FILE"},
		{"udev", false, discovery.Report{}, ""},
	} {
		if got := hint(tt.handler, tt.given, tt.report); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s, %t, %+v: %q, want %q", tt.handler, tt.given, tt.report, got, tt.want)
		}
	}
}
