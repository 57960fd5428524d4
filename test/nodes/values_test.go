//go:build e2e

package nodes

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigsyaml "sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/browsertest"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/samples"
)

// The samples for OPC UA on a cluster: servers are discovered, the sample's
// Configuration has a broker for each, and the page of the anomaly detection
// application shows their values, with the outliers marked. Another server joins,
// and one leaves, without a reload.
func TestValues(t *testing.T) {
	t.Parallel()
	dir := opcuatest.InstallNode(t)
	s := newPlot(t, 3)
	servers := opcuatest.StartNode(t, dir, "ip", "netns", "exec", s.Name)
	const port = 4840
	var urls []string
	for i := range 3 {
		urls = append(urls, fmt.Sprintf("opc.tcp://%s:%d", s.addr[i], port))
	}
	press := func(i int) string { return fmt.Sprintf("press%d", i) }
	start := func(i int) { servers.Thermometer(press(i), s.addr[i].String(), port, "None") }
	start(0)
	start(1)

	r := follow(t, bed.NewNamespace(t))
	manifest, err := samples.Manifest("configurations/opcua-monitoring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := &v0.Configuration{}
	if err := sigsyaml.UnmarshalStrict(manifest, c); err != nil {
		t.Fatal(err)
	}
	c.Namespace = r.ns
	c.Spec.DiscoveryHandler.DiscoveryDetails = fmt.Sprintf("opcuaDiscoveryMethod: {standard: {discoveryUrls: [%s, %s, %s]}}\ninterval: 2s\n", urls[0], urls[1], urls[2])
	c.Spec.DiscoveryHandler.OfflineGracePeriod = &metav1.Duration{Duration: time.Second}
	c.Spec.BrokerProperties["NAMESPACE_INDEX"] = "1"
	create(t, c)
	b := browsertest.Open(t, openApp(t, r.ns, "anomaly-detection"))
	browsertest.Ask[any](b, "window.kept = 1; null") // lost with a reload

	// What the page says of a server, which it calls by its URL without the scheme.
	says := func(i int, part, want string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("li[data-id]")].find(e => e.querySelector(".name").textContent.includes("%s:%d"))
			?.querySelector(%q)?.textContent.includes(%q)`, s.addr[i], port, part, want)
	}
	sum := func(want string) string {
		return fmt.Sprintf(`document.getElementById("sum").textContent === %q`, want)
	}
	b.Wait(sum("2 servers, 2 live"))
	r.await(waitTimeout, r.seen(c.Name, 2, all()...), r.brokers(c.Name, 1))
	for i := range 2 {
		b.Wait(says(i, ".value", "75"))
		b.Wait(says(i, ".verdict", "Usual"))
	}

	servers.Set(press(0), 120)
	b.Wait(says(0, ".verdict", "Outlier"))
	b.Wait(`[...document.querySelectorAll("#rows tr.outlier")].some(r => r.textContent.includes("120"))`)
	b.Wait(says(1, ".verdict", "Usual"))
	b.Photograph("opcua-cluster-desktop", 1280, 900, false)
	b.Photograph("opcua-cluster-phone", 390, 844, true)

	start(2)
	b.Wait(sum("3 servers, 3 live"))
	servers.Stop(press(1))
	r.await(waitTimeout, r.seen(c.Name, 2, all()...), r.brokers(c.Name, 1))
	b.Wait(sum("2 servers, 2 live"))
	servers.Set(press(0), 76)
	b.Wait(says(0, ".verdict", "Usual"))
	if browsertest.Ask[int](b, "window.kept") != 1 {
		t.Error("the page was loaded again")
	}
	b.Quiet()
}
