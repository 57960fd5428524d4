package rulehelp

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers/udev/recording"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

func machine(t *testing.T) Machine {
	t.Helper()
	text, err := os.ReadFile("../testdata/machine.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := recording.Read(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return Machine{sysfs.New(r.Sys(), r.Records())}
}

// Each rule that is proposed for a device selects it, and all that is said of a
// device or of one ancestor holds together.
func TestOfEveryDevice(t *testing.T) {
	m := machine(t)
	v := m.Tree.View()
	n := 0
	err := m.Tree.Devices(func(ref sysfs.Ref) {
		n++
		d := v.Device(ref)
		for _, s := range Suggest(d) {
			r, err := rule.Parse(s.Rule)
			if err != nil {
				t.Errorf("%s: %v", d.Devpath(), err)
			} else if !r.Matches(d) {
				t.Errorf("%s: is not selected by %s", d.Devpath(), s.Rule)
			}
		}
		var b strings.Builder
		Describe(&b, d)
		blocks := strings.Split(b.String(), "\n\n")
		for _, ancestor := range blocks[1:] {
			text := strings.Join(slices.Concat(matches(blocks[0]), matches(ancestor)), ", ")
			r, err := rule.Parse(text)
			if len(text) > rule.MaxRuleBytes {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v in %s", d.Devpath(), err, text)
			} else if !r.Matches(d) {
				t.Errorf("%s: is not selected by %s", d.Devpath(), text)
			}
		}
	})
	if err != nil || n < 90 {
		t.Errorf("%d devices, %v", n, err)
	}
}

// matches are the lines of a block without its title.
func matches(block string) (all []string) {
	for line := range strings.Lines(block) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "Of ") {
			all = append(all, line)
		}
	}
	return all
}

func TestSuggest(t *testing.T) {
	m := machine(t)
	for name, want := range map[string]struct {
		last string
		n    int
	}{
		"/dev/ttyUSB1":                  {`SUBSYSTEM=="tty", DEVPATH=="*:1.0/*", DEVPATH=="*/1-4/*"`, 1},
		"/dev/ttyUSB3":                  {`SUBSYSTEM=="tty", DEVPATH=="*:1.0/*", ATTRS{idVendor}=="10c4", ATTRS{idProduct}=="8a2a", ATTRS{serial}=="blanked4"`, 1},
		"/dev/ttyUSB7":                  {`SUBSYSTEM=="tty", DEVPATH=="*:1.2/*", DEVPATH=="*/1-7/*"`, 1},
		"/dev/video6":                   {`SUBSYSTEM=="video4linux", ATTR{index}=="0", DEVPATH=="*:1.3/*", ATTRS{idVendor}=="8086", ATTRS{idProduct}=="0b07", ATTRS{serial}=="blanked1"`, 1},
		"/dev/bus/usb/002/002":          {`SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", DEVPATH=="*/2-1"`, 1},
		"/dev/dri/renderD128":           {`SUBSYSTEM=="drm", KERNEL=="renderD*", DEVPATH=="*/0000:00:02.0/*"`, 1},
		"/dev/snd/pcmC1D0c":             {`SUBSYSTEM=="sound", KERNEL=="pcmC*D*c", DEVPATH=="*:1.2/*", ATTRS{idVendor}=="046d", ATTRS{idProduct}=="0843", ATTRS{serial}=="blanked2"`, 1},
		"/sys/class/tty/ttyACM0/":       {`SUBSYSTEM=="tty", DEVPATH=="*:1.0/*", ATTRS{idVendor}=="1366", ATTRS{idProduct}=="0105", ATTRS{serial}=="blanked5"`, 1},
		"/sys/bus/usb/devices/1-8":      {`SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", DEVPATH=="*/1-8"`, 1},
		"/devices/virtual/sound/timer":  {`SUBSYSTEM=="sound", KERNEL=="timer"`, 1},
		"/sys/devices/virtual/misc/kvm": {`SUBSYSTEM=="misc", KERNEL=="kvm"`, 1},
	} {
		v := m.Tree.View()
		d, err := m.Find(v, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		all := Suggest(d)
		last := all[len(all)-1]
		r, err := rule.Parse(last.Rule)
		if err != nil {
			t.Fatal(err)
		}
		selected, err := m.Select(v, r)
		if last.Rule != want.last || len(selected) != want.n || err != nil {
			t.Errorf("%s: %s selects %d, %v; want %s, %d", name, last.Rule, len(selected), err, want.last, want.n)
		}
	}
	if _, err := m.Find(m.Tree.View(), "/dev/nothing"); !errors.Is(err, ErrNoDevice) {
		t.Errorf("got %v", err)
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"plain", "with \"quotes\"", `a\b`, "a*b", "[x]", "what?", `\*`, "a|b", "#1: x"} {
		r, err := rule.Parse("KERNEL==" + quote(s))
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if !r.Matches(named(s)) {
			t.Errorf("%s does not match %q", r, s)
		}
	}
}

// named is a device that has a name alone.
type named string

func (n named) Devpath() string                { return "" }
func (n named) Kernel() string                 { return string(n) }
func (n named) Subsystem() string              { return "" }
func (n named) Driver() string                 { return "" }
func (n named) Attr(string) (string, bool)     { return "", false }
func (n named) Property(string) (string, bool) { return "", true }
func (n named) Tags() ([]string, bool)         { return nil, true }
func (n named) Parent() (rule.Device, bool)    { return nil, false }
