package sysfs

import (
	"bytes"
	"strings"
)

// Record is udevd's record of a device.
type Record struct {
	Properties map[string]string
	Tags       []string // those of the last event, as TAG of udev(7) means them
	Links      []string // below /dev
}

const (
	// maxRecordBytes is how much of a record is read; a usual one has some KiB.
	maxRecordBytes = 64 << 10
	maxValues      = 4096
)

// ParseRecord parses a file of /run/udev/data. Its lines have a letter, a colon
// and a value. It reads the letters E (property), G (tag of any event), Q (tag
// of the last event), S (link) and V (version, which tells whether there are Q
// lines). Only udevd's source documents the format (sd-device.c,
// handle_db_line).
func ParseRecord(b []byte) Record {
	var (
		r       = Record{Properties: map[string]string{}}
		ever    []string
		current bool
		n       int
	)
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) < 2 || line[1] != ':' || bytes.IndexByte(line, 0) >= 0 {
			continue
		}
		if n++; n > maxValues {
			break
		}
		switch value := string(line[2:]); line[0] {
		case 'E':
			if k, v, ok := strings.Cut(value, "="); ok && k != "" {
				r.Properties[k] = v
			}
		case 'G':
			ever = append(ever, value)
		case 'Q':
			r.Tags = append(r.Tags, value)
		case 'S':
			r.Links = append(r.Links, value)
		case 'V':
			current = value != "0"
		}
	}
	if !current { // a record from before systemd 247
		r.Tags = ever
	}
	return r
}
