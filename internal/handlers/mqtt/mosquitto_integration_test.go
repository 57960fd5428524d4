//go:build integration

package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
	"github.com/akri-go/akri/internal/handlers/mqtt/wire"
)

// folder tells the tests that run in the namespace where mosquitto is.
const folder = "AKRI_TEST_MOSQUITTO"

// inside runs a test again in a network namespace of its own, where mosquitto has
// its usual ports. There it returns the folder with mosquitto.
func inside(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(folder); dir != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("ip: %v: %s", err, out)
		}
		runtime.LockOSThread() // a child ends with the thread that has started it
		return dir
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	again := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), folder+"="+mqtttest.UnpackMosquitto(t))
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	return ""
}

// Devices of all conventions on a broker that wants TLS, a password and a
// certificate.
func TestMosquitto(t *testing.T) {
	dir := inside(t)
	if dir == "" {
		return
	}
	authority, files := mqtttest.NewAuthority(t), t.TempDir()
	certificate, key := authority.Certificate("127.0.0.1", time.Now().Add(time.Hour))
	for name, content := range map[string][]byte{"ca": authority.PEM, "certificate": certificate, "key": key} {
		if err := os.WriteFile(filepath.Join(files, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := mqtttest.StartMosquitto(t, dir, "127.0.0.1:1883", fmt.Sprintf(
		"listener 8883 127.0.0.1\ncafile %[1]s/ca\ncertfile %[1]s/certificate\nkeyfile %[1]s/key\nrequire_certificate true\n"+
			"allow_anonymous false\npassword_file %[2]s", files, mqtttest.Passwords(t, dir, "akri", "secret")))

	m.Retain("homie/relay/$homie", "4.0.0")
	m.Retain("homie/relay/$state", "ready")
	kill := m.Device("homie/relay/$state", "lost")
	m.Retain("homie/5/probe/$description", `{"homie":"5.0","version":1,"name":"Probe","nodes":{}}`)
	m.Retain("homie/5/probe/$state", "ready")
	m.Retain("zigbee2mqtt/bridge/state", `{"state":"online"}`)
	m.Retain("homeassistant/sensor/0x00158d/temperature/config", `{"availability":[{"topic":"zigbee2mqtt/bridge/state",`+
		`"value_template":"{{ value_json.state }}"}],"availability_mode":"all","device":{"identifiers":["zigbee2mqtt_0x00158d"],`+
		`"manufacturer":"Aqara","model":"Temperature sensor (WSDCGQ11LM)","name":"cellar","sw_version":"3000-0001"},"state_topic":"zigbee2mqtt/cellar"}`)
	m.Retain("sensors/old/state", "17")

	text := "broker: mqtts://127.0.0.1\nhomie: {}\nhomeAssistant: {}\ntopics: [{pattern: sensors/+/state}]\nbrokerGracePeriod: 1h"
	properties := map[string]string{"ca_certificates": string(authority.PEM), "client_certificate": string(certificate), "client_key": string(key)}
	note(t, asking(t, Options{}, text, map[string]string{"ca_certificates": string(authority.PEM)}), "it refuses TLS (tls: certificate required)")
	note(t, asking(t, Options{}, text, properties), "give username and password in discoveryProperties")
	properties["username"], properties["password"] = "akri", "wrong"
	note(t, asking(t, Options{}, text, properties), "compare username and password in discoveryProperties with the broker's")
	properties["password"] = "secret"
	reports := asking(t, Options{}, text, properties)
	const zigbee = "homeassistant/zigbee2mqtt_0x00158d"
	r := wait(t, reports, zigbee+" homie/probe homie/relay")
	if p := r.Devices[0].Properties; p[details.PropertyModel] != "Temperature sensor (WSDCGQ11LM)" || p[details.PropertyFirmware] != "3000-0001" ||
		p[details.PropertyBroker] != "mqtts://127.0.0.1:8883" {
		t.Errorf("%v", p)
	}
	m.Publish("sensors/new/state", "18")
	wait(t, reports, zigbee+" homie/probe homie/relay sensors/new/state")
	kill()
	wait(t, reports, zigbee+" homie/probe sensors/new/state")
	m.Retain("zigbee2mqtt/bridge/state", `{"state":"offline"}`)
	wait(t, reports, "homie/probe sensors/new/state")

	// It has forgotten what it retained; devices announce themselves again, and those
	// that only speak stay.
	m.Stop()
	m.Start()
	m.Retain("homie/5/probe/$description", `{"homie":"5.0","version":1,"name":"Probe","nodes":{}}`)
	m.Retain("homie/5/probe/$state", "ready")
	m.Retain("homie/relay/$homie", "4.0.0")
	m.Retain("homie/relay/$state", "ready")
	wait(t, reports, "homie/probe homie/relay sensors/new/state")
}

// A broker that retains more than there can be devices tells all of it.
func TestMosquittoWithMany(t *testing.T) {
	dir := inside(t)
	if dir == "" {
		return
	}
	mqtttest.StartMosquitto(t, dir, "127.0.0.1:1883", "")
	conn, err := net.Dial("tcp", "127.0.0.1:1883")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// MQTT 3.1.1: CONNECT, then PUBLISH with the flag RETAIN, then DISCONNECT.
	all := bytes.NewBufferString("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01p")
	for i := range 2000 {
		for attribute, payload := range map[string]string{"$homie": "4.0.0", "$state": "ready", "$name": "A device with a name"} {
			topic := fmt.Sprintf("homie/device-%04d/%s", i, attribute)
			fmt.Fprintf(all, "\x31%c\x00%c%s%s", 2+len(topic)+len(payload), len(topic), topic, payload)
		}
	}
	all.WriteString("\xe0\x00")
	if _, err := conn.Write(all.Bytes()); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 4)) // CONNACK
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes more", n)
	}
	reports := asking(t, Options{Patience: time.Minute}, "broker: mqtt://127.0.0.1\nhomie: {}", nil)
	r := note(t, reports, "1000 devices are left out")
	if len(r.Devices) != maxDevices {
		t.Errorf("%d devices", len(r.Devices))
	}
}

// Both versions are what mosquitto takes them for.
func TestMosquittoVersions(t *testing.T) {
	dir := inside(t)
	if dir == "" {
		return
	}
	m := mqtttest.StartMosquitto(t, dir, "127.0.0.1:1883", "")
	m.Retain("a/b", "c")
	for _, v := range []wire.Version{wire.V311, wire.V5} {
		conn, err := net.Dial("tcp", "127.0.0.1:1883")
		if err != nil {
			t.Fatal(err)
		}
		c, err := wire.Open(t.Context(), conn, wire.Hello{Version: v, ClientID: "akri-test", KeepAlive: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Subscribe("a/+", "x"); err != nil {
			t.Fatal(err)
		}
		if err := c.Unsubscribe("x"); err != nil {
			t.Fatal(err)
		}
		var got []string
		for len(got) < 3 {
			e, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d %s=%s %v %d", e.Kind, e.Topic, e.Payload, e.Retained, len(e.Refused)))
		}
		if want := "2 = false 0, 0 a/b=c true 0, 3 = false 0"; strings.Join(got, ", ") != want {
			t.Errorf("version %d: %q, want %s", v, got, want)
		}
		c.Close()
	}
}
