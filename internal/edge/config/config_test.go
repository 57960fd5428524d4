package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// What is printed can be read, and says what is meant.
func TestPrinted(t *testing.T) {
	full, err := Full()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Modules.EdgeHub.WebSocket.Server = example
	for name, text := range map[string]string{"--minconfig": Minimal(), "--defaultconfig": full} {
		got, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestParse(t *testing.T) {
	const head = "apiVersion: " + APIVersion + "\nkind: EdgeCore\n"
	const good = "modules: {edgeHub: {websocket: {server: 'c:1'}}, edged: {hostnameOverride: edge-1}}\n"
	for text, says := range map[string]string{
		"":                 "want kind EdgeCore",
		good:               "want kind EdgeCore",
		head:               `modules.edgeHub.websocket.server ""`,
		head + "modul: {}": `unknown field "modul"`,
		head + "modules: {edgeHub: {websocket: {server: c}}}":                       "want host:port",
		head + "modules: {edgeHub: {websocket: {server: 'c:1', enable: true}}}":     `unknown field "modules.edgeHub.websocket.enable"`,
		head + "modules: {edged: {hostnameOverride: A_B}}":                          "no name of a node",
		head + "modules: {edged: {nodeIP: x}}":                                      "no IP address",
		head + "modules: {edged: {kubelet: kubelet}}":                               "want an absolute path",
		head + "modules: {metaManager: {metaServer: {server: '0.0.0.0:10550'}}}":    "want an address of the loopback",
		head + "modules: {metaManager: {metaServer: {podServer: '127.0.0.1:1'}}}":   "where Pods reach this machine",
		head + "modules: {metaManager: {metaServer: {podServer: '0.0.0.0:1'}}}":     "where Pods reach this machine",
		head + "modules: {metaManager: {metaServer: {podServer: 'shop-1:10550'}}}":  "where Pods reach this machine",
		head + "modules: {dns: {address: '127.0.0.1'}}":                             "modules.dns.address",
		head + "modules: {dns: {address: '10.0.0.1:53'}}":                           "modules.dns.address",
		head + "modules: {edged: {kubeProxy: {program: kube-proxy}}}":               "modules.edged.kubeProxy.program",
		head + "metrics: {server: '0.0.0.0:10551'}":                                 "metrics.server \"0.0.0.0:10551\": want an address of the loopback",
		head + "modules: {edgeHub: {httpServer: 'http://c:1'}}":                     "want https://host:port",
		head + "database: {maxMiB: 0}":                                              "want 1 to 4096",
		head + "modules: [":                                                         "yaml",
		"apiVersion: edgecore.config.kubeedge.io/v1alpha2\nkind: EdgeCore\n" + good: "want kind EdgeCore of apiVersion",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	if c, err := Parse([]byte(head + good)); err != nil || c.Modules.Edged.HostnameOverride != "edge-1" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, given := range []string{"''", "'192.0.2.7:10550'", "'[fd00::1]:1'"} {
		if _, err := Parse([]byte(head + strings.Replace(good, "modules: {", "modules: {metaManager: {metaServer: {podServer: "+given+"}}, ", 1))); err != nil {
			t.Errorf("podServer %s: %v", given, err)
		}
	}
	for given, want := range map[string]string{"": "c:10002", "https://j:1/": "j:1"} {
		if got := (EdgeHub{WebSocket: WebSocket{"c:10000"}, HTTPServer: given}).JoinAddress(); got != want {
			t.Errorf("%q: %q", given, got)
		}
	}
	if _, err := Load("/no/such/file"); err == nil || !strings.Contains(err.Error(), "--minconfig") {
		t.Error(err)
	}
	if _, err := Load(t.TempDir()); err == nil || strings.Contains(err.Error(), "--minconfig") { // it is there
		t.Error(err)
	}
}

var key = regexp.MustCompile(`\b(?:modules|database)\.[a-zA-Z]+(?:\.[a-zA-Z]+)*`)

// TestDocs sees that the keys exist that the pages about edge nodes name. In tables
// about KubeEdge the first column is KubeEdge's.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/edge/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if cells := strings.Split(line, "|"); filepath.Base(page) == "from-kubeedge.md" && len(cells) > 2 {
				line = cells[2]
			}
			for _, k := range key.FindAllString(line, -1) {
				found++
				var value any
				for _, part := range slices.Backward(strings.Split(k, ".")) {
					value = map[string]any{part: value}
				}
				file, err := yaml.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Parse(file); err != nil && strings.Contains(err.Error(), "unknown field") {
					t.Errorf("%s names %s: %v", filepath.Base(page), k, err)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("%d keys", found)
	}
}
