package main

import (
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers/modbus/modbustest"
)

// The devices of servers are a table that a person can read, and what is wrong
// with a server or unit is said.
func TestDiscoverModbus(t *testing.T) {
	s := modbustest.Start(t, nil)
	s.Set(11, map[byte]modbustest.Unit{
		1: {Objects: map[byte]string{0: "Pumps Inc", 1: "P-7", 2: "1.2", 6: "pump-3", 0x80: "S-1"}}, 2: {}, 3: {Read: 2},
		4: {Objects: map[byte]string{0: strings.Repeat("x", 100)}},
	})
	at := s.Address()
	manifest := "apiVersion: akri.sh/v0\nkind: Configuration\nmetadata: {name: pumps}\nspec:\n  discoveryHandler:\n    name: modbus\n" +
		"    discoveryDetails: 'servers: [\"" + at + "\"]'\n"
	for _, tt := range []struct {
		name, stdin, args string
		out, errs, err    string // part of it
	}{
		{"table", "", "modbus --server " + at + " --configuration plc", "VENDOR      PRODUCT   NAME     FOUND BY", "", ""},
		{"row", "", "modbus --server " + at, "Pumps Inc   P-7       pump-3   identification   akri-modbus-", "", ""},
		{"units", "", "modbus --unit 3 --unit 1-2 --server " + at, at + "/3", "", ""},
		{"no answer", "", "modbus --unit 1-5 --server " + at, at + "/1",
			"Note: " + at + ": unit 5: exception 11 (gateway target device failed to respond)", ""},
		{"many", "", "modbus --unit 1-5 --timeout 1s --server " + at, at + "/1",
			"Note: 5 units of a server are asked one after the other, and one that does not answer takes 1s. --watch shows", ""},
		{"much", "", "modbus --unit 4 --server " + at, strings.Repeat("x", maxCellRunes-1) + "…   -         -      identification", "", ""},
		{"much, all of it", "", "modbus --unit 4 --server " + at + " -o yaml", strings.Repeat("x", 100), "", ""},
		{"by name", "", "modbus --identity userApplicationName --server " + at + " -o yaml", "id: pump-3", "", ""},
		{"by a private object", "", "modbus --identity 128 --server " + at + " -o yaml", "id: S-1", "", ""},
		{"yaml", "", "modbus --server " + at + " -o yaml", "MODBUS_PRODUCT_CODE: P-7", "", ""},
		{"json", "", "modbus --unit 3 --server " + at + " -o json", `"MODBUS_FOUND_BY": "exception 2"`, "", ""},
		{"details", "identity: 128\nservers: ['" + at + "']", "modbus --details - -o yaml", "id: S-1", "", ""},
		{"filter", "vendorNames: {items: [other]}\nservers: ['" + at + "']", "modbus --details -", "No device found.", "", ""},
		{"Configuration", manifest, "-f - -o json", `"instance": "pumps-`, "", ""},
		{"two, one of them dead", "", "modbus --server 127.0.0.1:1 --server " + at, at + "/1",
			"Note: 127.0.0.1:1: connection refused: does a Modbus TCP server run there", ""},
		{"localhost", "", "modbus --server localhost:1", "No device found.", "localhost is its own Pod", ""},
		{"not a server", "", "modbus --server http://plc", "", "", `servers[0]: "http://plc": is a URL; give a host`},
		{"not a unit", "", "modbus --server plc --unit 300", "", "", `units: [0]: "300" is not a unit id from 0 to 255`},
		{"nothing", "", "modbus", "", "", "at least one of the flags"},
		{"a whole Configuration", manifest, "modbus --details -", "", "", "standard input is a whole Configuration, not its discoveryDetails: akri discover -f -"},
		{"none passes", "vendorNames: {items: [Other]}\nservers: ['" + at + "']", "modbus --details -", "No device found.", "no device passes the filters", ""},
		{"both", "", "modbus --details - --unit 1", "", "", "[details unit]"},
		{"no protocol", "", "", "Needs the addresses of servers or a small network", "", ""},
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
