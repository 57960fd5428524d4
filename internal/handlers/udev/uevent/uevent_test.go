package uevent

import (
	"strings"
	"testing"
)

func msg(lines ...string) []byte { return []byte(strings.Join(lines, "\x00") + "\x00") }

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		msg  []byte
		want Event
		ok   bool
	}{
		{"add", msg("add@/devices/virtual/block/zram1", "ACTION=add", "DEVPATH=/devices/virtual/block/zram1", "SUBSYSTEM=block",
			"MAJOR=253", "MINOR=1", "DEVNAME=zram1", "DEVTYPE=disk", "SEQNUM=1234"),
			Event{Action: "add", Devpath: "/devices/virtual/block/zram1", Subsystem: "block"}, true},
		{"synthetic", msg("change@/devices/virtual/mem/null", "ACTION=change", "SYNTH_UUID=0"),
			Event{Action: "change", Devpath: "/devices/virtual/mem/null", Synthetic: true}, true},
		{"move", msg("move@/devices/a/net/lan", "DEVPATH_OLD=/devices/a/net/eth0", "SUBSYSTEM=net"),
			Event{Action: "move", Devpath: "/devices/a/net/lan", Old: "/devices/a/net/eth0", Subsystem: "net"}, true},
		{"= and @ in values", msg("add@/devices/x/a@b=c", "FOO=a=b", "junk", ""),
			Event{Action: "add", Devpath: "/devices/x/a@b=c"}, true},
		{"no end", []byte("add@/devices/x"), Event{}, false},
		{"udevd", msg("libudev", "x"), Event{}, false},
		{"empty", nil, Event{}, false},
		{"no action", msg("@/devices/x"), Event{}, false},
		{"no path", msg("add@"), Event{}, false},
		{"root", msg("add@/"), Event{}, false},
		{"relative", msg("add@devices/x"), Event{}, false},
		{"dots", msg("add@/devices/../etc/x"), Event{}, false},
		{"old dots", msg("move@/devices/x", "DEVPATH_OLD=/devices/./x"), Event{}, false},
		{"double slash", msg("add@/devices//x"), Event{}, false},
		{"other action", msg("add@/devices/x", "ACTION=remove"), Event{}, false},
		{"other path", msg("add@/devices/x", "DEVPATH=/devices/y"), Event{}, false},
	} {
		got, err := Parse(tt.msg)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("%s: got %+v, %v", tt.name, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(msg("add@/devices/x", "ACTION=add", "DEVPATH=/devices/x", "SUBSYSTEM=s"))
	f.Add(msg("move@/devices/x", "DEVPATH_OLD=/devices/y", "SYNTH_UUID=0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if e != (Event{}) {
				t.Errorf("%q: %+v with an error", b, e)
			}
			return
		}
		if e.Action == "" || !valid(e.Devpath) || strings.Contains(e.Devpath, "/../") {
			t.Errorf("%q: %+v", b, e)
		}
	})
}
