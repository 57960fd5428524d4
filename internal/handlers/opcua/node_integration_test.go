//go:build integration

package opcua

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
)

// folder tells the test that runs in the namespace where node-opcua is.
const folder = "AKRI_TEST_NODE_OPCUA"

// node-opcua's discovery server speaks multicast, so the test runs itself again
// in a network namespace of its own.
func TestNodeOPCUA(t *testing.T) {
	if dir := os.Getenv(folder); dir != "" {
		testNode(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	dir := opcuatest.InstallNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	again := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestNodeOPCUA$", "-test.v")
	again.Env = append(os.Environ(), folder+"="+dir)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestNodeOPCUA") {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
}

// testNode has a discovery server and servers on one host, as on a plant's
// gateway.
func testNode(t *testing.T, dir string) {
	const host = "192.0.2.1"
	for _, args := range []string{
		"link set lo up", "link add veth0 type veth peer name veth1", "address add " + host + "/24 dev veth0",
		"link set veth0 up", "link set veth1 up", "route add 224.0.0.0/4 dev veth0",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	node := opcuatest.StartNode(t, dir)
	node.Discovery("lds", 4840)
	node.Server("one", "", 4841, "opc.tcp://127.0.0.1:4840")
	node.Server("alone", "", 4842, "")

	wait := func(reports <-chan discovery.Report, want string) discovery.Report {
		t.Helper()
		return handlertest.Until(t, reports, want+" are there", func(r discovery.Report) bool {
			var uris []string
			for _, d := range r.Devices {
				uris = append(uris, d.Properties[details.PropertyURI])
			}
			slices.Sort(uris)
			return strings.Join(uris, " ") == want && r.Note == ""
		})
	}
	// Asked over the network, so what the servers call themselves (this machine's
	// name, which is an address of the loopback in most tables of hosts, or nobody's)
	// is replaced.
	reports := asking(t, Options{Patience: time.Minute}, "discoveryUrls: [opc.tcp://"+host+", opc.tcp://"+host+":4842]")
	r := wait(reports, "urn:test:alone urn:test:one")
	for _, d := range r.Devices {
		p := d.Properties
		if !strings.HasPrefix(d.ID, "opc.tcp://"+host+":484") || p[details.PropertyURL] != d.ID || p[details.PropertyProduct] != "urn:test:product" ||
			p[details.PropertyModes] != "None,Sign,SignAndEncrypt" || !strings.Contains(p[details.PropertyPolicies], "Basic256Sha256,None") ||
			p[details.PropertyName] != strings.TrimPrefix(p[details.PropertyURI], "urn:test:") {
			t.Errorf("%+v", d)
		}
	}
	node.Server("two", "", 4843, "opc.tcp://127.0.0.1:4840")
	wait(reports, "urn:test:alone urn:test:one urn:test:two")
	node.Stop("one")
	wait(reports, "urn:test:alone urn:test:two")

	// A discovery server that was away knows nobody when it is back.
	node.Stop("lds")
	handlertest.Until(t, reports, "the discovery server is away", func(r discovery.Report) bool { return r.Note != "" })
	node.Discovery("lds", 4840)
	wait(reports, "urn:test:alone urn:test:two")

	// The discovery server answers FindServersOnNetwork too.
	answer, err := New(Options{}).asker.ask(t.Context(), mustURL(t, "opc.tcp://"+host), true)
	if err != nil || answer.network != heardAll || len(answer.heard) == 0 {
		t.Errorf("%+v, %v", answer, err)
	}
}
