package main

import (
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
)

// The servers of a URL are a table that a person can read, and what is wrong with
// a URL is said.
func TestDiscoverOpcua(t *testing.T) {
	s := opcuatest.Start(t)
	uri := "urn:server:" + s.URL
	manifest := "apiVersion: akri.sh/v0\nkind: Configuration\nmetadata: {name: plc}\nspec:\n  discoveryHandler:\n    name: opcua\n" +
		"    discoveryDetails: 'discoveryUrls: [" + s.URL + "]'\n"
	for _, tt := range []struct {
		name, stdin, args string
		out, errs, err    string // part of it
	}{
		{"table", "", "opcua --url " + s.URL + " --configuration plc", "NAME     SECURITY              APPLICATION URI", "", ""},
		{"row", "", "opcua --url " + s.URL, "Server   None,SignAndEncrypt   " + uri + "   akri-opcua-", "", ""},
		{"yaml", "", "opcua --url " + s.URL + " -o yaml", "OPCUA_APPLICATION_URI: " + uri, "", ""},
		{"json", "", "opcua --url " + s.URL + " -o json", `"OPCUA_SECURITY_POLICIES": "Basic256Sha256,None"`, "", ""},
		{"details", "productUris: {items: [other]}\ndiscoveryUrls: [" + s.URL + "]", "opcua --details -", "No device found.", "", ""},
		{"Configuration", manifest, "-f - -o json", `"instance": "plc-`, "", ""},
		{"two, one of them dead", "", "opcua --url opc.tcp://127.0.0.1:1 --url " + s.URL, uri,
			"Note: opc.tcp://127.0.0.1:1: connection refused: does an OPC UA server run there", ""},
		{"localhost", "", "opcua --url opc.tcp://localhost:1", "No device found.", "localhost is its own Pod", ""},
		{"not a URL", "", "opcua --url plc", "", "", `discoveryUrls[0]: "plc": does not begin with opc.tcp://`},
		{"nothing", "", "opcua", "", "", "at least one of the flags"},
		{"no protocol", "", "", "Needs the discovery URLs of servers", "", ""},
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
