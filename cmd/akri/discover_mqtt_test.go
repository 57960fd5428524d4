package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
)

// The devices of a broker are a table that a person can read, and what is wrong
// with the broker is said.
func TestDiscoverMQTT(t *testing.T) {
	b := mqtttest.Start(t)
	b.Be(mqtttest.Faults{Password: "secret"})
	b.Retain("homie/5/relay/$description", `{"homie": "5.0", "name": "Pump relay", "type": "relay"}`)
	b.Retain("homie/5/relay/$state", "ready")
	b.Retain("homeassistant/sensor/a/config", `{"dev": {"ids": "a", "name": "Cellar", "mf": "Maker", "mdl": "T1", "sa": "Hall"}}`)
	secret := filepath.Join(t.TempDir(), "broker.yaml")
	if err := os.WriteFile(secret, []byte("username: user\npassword: secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broker := "mqtt --credentials " + secret + " --broker " + b.URL
	manifest := "apiVersion: akri.sh/v0\nkind: Configuration\nmetadata: {name: things}\nspec:\n  discoveryHandler:\n    name: mqtt\n" +
		"    discoveryDetails: '{broker: \"" + b.URL + "\", homie: {}}'\n" +
		"    discoveryProperties: [{name: username}, {name: password}]\n"
	for _, tt := range []struct {
		name, stdin, args string
		out, errs, err    string // part of it
	}{
		{"table", "", broker, "NAME         CONVENTION      MANUFACTURER   MODEL   LOCATION   INSTANCE", "", ""},
		{"row", "", broker, "Cellar       homeassistant   Maker          T1      Hall       akri-mqtt-", "", ""},
		{"the other", "", broker, "Pump relay   homie5", "", ""},
		{"yaml", "", broker + " -o yaml", "MQTT_TOPIC: homie/5/relay", "", ""},
		{"json", "", broker + " -o json", `"MQTT_DISCOVERY_TOPICS": "homeassistant/sensor/a/config"`, "", ""},
		{"details", "broker: " + b.URL + "\nhomie: {}\nids: {items: [other]}", "mqtt --details - --credentials " + secret, "No device found.", "no device passes the filters", ""},
		{"Configuration", manifest, "-f - -o json --credentials " + secret, `"instance": "things-`, "", ""},
		{"no password", "", "mqtt --broker " + b.URL, "No device found.", "give username and password in discoveryProperties", ""},
		{"how", "", "mqtt --broker " + b.URL, "No device found.", "Note: give discoveryProperties in a YAML file: --credentials FILE", ""},
		{"dead", "", "mqtt --broker mqtt://127.0.0.1:1", "No device found.", "Note: mqtt://127.0.0.1:1: connection refused: does an MQTT broker run there", ""},
		{"silent", "", broker + " --topic a/+ --listen 10ms", "No device found.", "its own Pod", ""},
		{"not a pattern", "", broker + " --topic a", "", "", "topics: [0]: pattern: \"a\" has no +"},
		{"not a URL", "", "mqtt --broker b", "", "", `broker: "b": does not begin with mqtt://`},
		{"nothing", "", "mqtt", "", "", "at least one of the flags"},
		{"no protocol", "", "", "Needs the URL of a broker", "", ""},
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
