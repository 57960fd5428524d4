// Package uevent receives the kernel's uevents: messages that a device was
// added, removed or changed. They come by netlink to every process in a network
// namespace that belongs to the initial user namespace, so also to containers.
// No capability is needed.
package uevent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Event is one uevent. It only has the variables that say which device it is
// about; the rest is read from sysfs, which is up to date.
type Event struct {
	Action    string // add, remove, change, move, bind, unbind, online, offline
	Devpath   string // below /sys, such as "/devices/virtual/mem/null"
	Old       string // of a move: the devpath before it
	Subsystem string
	// Synthetic tells that a program caused the event by writing to the device's
	// file uevent: the device was neither added nor removed.
	Synthetic bool
}

// maxEventBytes is more than any uevent has: the variables have at most 2 KiB
// (UEVENT_BUFFER_SIZE), and a devpath at most a page.
const maxEventBytes = 16 << 10

var errNoUevent = errors.New("not a uevent of the kernel")

// Parse parses a message of the kernel: "action@devpath" and variables
// "KEY=value", each ended by a zero byte (lib/kobject_uevent.c).
func Parse(b []byte) (Event, error) {
	var e Event
	head, vars, ok := bytes.Cut(b, []byte{0})
	action, devpath, at := bytes.Cut(head, []byte{'@'})
	if !ok || !at || len(action) == 0 || len(devpath) < 2 || devpath[0] != '/' {
		return e, errNoUevent
	}
	e.Action, e.Devpath = string(action), string(devpath)
	for len(vars) > 0 {
		var v []byte
		v, vars, _ = bytes.Cut(vars, []byte{0})
		key, value, ok := bytes.Cut(v, []byte{'='})
		if !ok {
			continue
		}
		switch string(key) {
		case "ACTION":
			ok = string(value) == e.Action
		case "DEVPATH":
			ok = string(value) == e.Devpath
		case "DEVPATH_OLD":
			e.Old = string(value)
		case "SUBSYSTEM":
			e.Subsystem = string(value)
		case "SYNTH_UUID":
			e.Synthetic = true
		}
		if !ok {
			return Event{}, fmt.Errorf("%w: %s contradicts its first line", errNoUevent, key)
		}
	}
	if !valid(e.Devpath) || e.Old != "" && !valid(e.Old) {
		return Event{}, fmt.Errorf("%w: the devpath is no clean path", errNoUevent)
	}
	return e, nil
}

// valid tells whether a devpath is an absolute path without empty elements, "."
// and "..".
func valid(devpath string) bool {
	rest, ok := strings.CutPrefix(devpath, "/")
	for e := range strings.SplitSeq(rest, "/") {
		ok = ok && e != "" && e != "." && e != ".."
	}
	return ok
}
