//go:build integration

package modbus

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/modbus/modbustest"
)

// folders tells the test that runs in the namespace where the servers are.
const folders = "AKRI_TEST_MODBUS_PEERS"

// Real servers have port 502, on addresses of a network that is scanned, so the
// test runs itself again in a network namespace of its own.
func TestPeers(t *testing.T) {
	if dirs := os.Getenv(folders); dirs != "" {
		python, npm, _ := strings.Cut(dirs, ":")
		testPeers(t, python, npm)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	dirs := modbustest.InstallPymodbus(t) + ":" + modbustest.InstallSerial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	again := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestPeers$", "-test.v")
	again.Env = append(os.Environ(), folders+"="+dirs)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPeers") {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
}

// testPeers has devices and a gateway in a plant's network.
func testPeers(t *testing.T, python, npm string) {
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	ip("link set lo up")
	ip("link add plant0 type veth peer name plant1")
	ip("link set plant0 up")
	ip("link set plant1 up")
	ip("route add unreachable 192.0.2.4/30") // where nobody is, which one learns at once
	for host := 1; host <= 3; host++ {
		ip(fmt.Sprintf("address add 192.0.2.%d/29 dev plant0", host))
	}
	gateway := modbustest.Peer{Host: "192.0.2.1", Port: 502, Units: []int{1, 2}, Objects: map[int]string{
		0: "Pumps Inc", 1: "P-7", 2: "1.2", 3: "https://pumps.example", 4: "Pump", 5: "P7x", 6: "pump-3", 0x80: "S-1"}}
	stopGateway := gateway.Pymodbus(t, python)
	// One that takes two answers for what it says, and is all units.
	modbustest.Peer{Host: "192.0.2.2", Port: 502, Units: []int{255}, Objects: map[int]string{
		0: "Valves GmbH " + strings.Repeat("x", 100), 1: "V-3", 2: "3", 3: strings.Repeat("y", 120), 5: "V", 6: "valve-1", 0x80: "S-2"},
	}.Serial(t, npm)
	// One that does not identify itself.
	modbustest.Peer{Host: "192.0.2.3", Port: 502, Units: []int{1}}.Serial(t, npm)

	const network = "servers: [192.0.2.0/29]\nunits: [1-3]\ntimeout: 300ms\n"
	reports := handlertest.Ask(t, handler(Options{Patience: time.Minute}), network)
	all := "192.0.2.1:502/1 192.0.2.1:502/2 192.0.2.2:502/1 192.0.2.2:502/2 192.0.2.2:502/3 192.0.2.3:502/1"
	r := handlertest.Until(t, reports, "all are there", are(all))
	for i, want := range map[int]string{
		0: "identification Pumps Inc P-7 1.2 https://pumps.example Pump P7x pump-3 0x83",
		2: "identification Valves GmbH " + strings.Repeat("x", 100) + " V-3 3 " + strings.Repeat("y", 120) + "  V valve-1 0x82",
		5: "register        ",
	} {
		var got []string
		for _, name := range []string{details.PropertyFoundBy, details.PropertyVendor, details.PropertyCode, details.PropertyRevision, details.PropertyURL,
			details.PropertyProduct, details.PropertyModel, details.PropertyApplication, details.PropertyConformity} {
			got = append(got, r.Devices[i].Properties[name])
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %q, want %q", r.Devices[i].ID, text, want)
		}
	}
	if !strings.Contains(r.Note, "192.0.2.1:502: unit 3: no answer") || !strings.Contains(r.Note, "192.0.2.3:502: units 2-3: no answer") {
		t.Errorf("note %s", r.Note)
	}

	// By a register that pymodbus does not have, and by objects.
	for text, want := range map[string]string{
		"servers: [192.0.2.3]\nprobe: {address: 5}":                                                         "192.0.2.3:502/1 register",
		"servers: [192.0.2.0/29]\nidentity: 128":                                                            "S-1 identification S-2 identification",
		"servers: [192.0.2.0/29]\nidentity: userApplicationName\nmodelNames: {action: Exclude, items: [V]}": "pump-3 identification",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		err := handler(Options{Patience: time.Minute}).Explain(ctx, discovery.Request{Details: text + "\ntimeout: 300ms"}, func(r discovery.Report) error {
			for _, d := range r.Devices {
				got = append(got, d.ID, d.Properties[details.PropertyFoundBy])
			}
			return context.Canceled
		})
		cancel()
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}

	stopGateway()
	handlertest.Until(t, reports, "the gateway is gone", are("192.0.2.2:502/1 192.0.2.2:502/2 192.0.2.2:502/3 192.0.2.3:502/1"))
	gateway.Objects[6] = "pump-4"
	gateway.Pymodbus(t, python)
	r = handlertest.Until(t, reports, "it is back", are(all))
	if name := r.Devices[0].Properties[details.PropertyApplication]; name != "pump-4" {
		t.Errorf("it is called %s", name)
	}
}
