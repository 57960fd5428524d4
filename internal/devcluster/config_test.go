package devcluster

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/atomicfile"
)

func TestCheckInotify(t *testing.T) {
	left := func(n int) func(int) (int, error) {
		return func(int) (int, error) {
			if n--; n < 0 {
				return -1, unix.EMFILE
			}
			return unix.Open(os.DevNull, unix.O_CLOEXEC, 0)
		}
	}
	if err := checkInotify(2, left(1000)); err != nil {
		t.Error(err)
	}
	if err := checkInotify(2, left(20)); err == nil || !strings.Contains(err.Error(), "has 20 inotify instances left") ||
		!strings.Contains(err.Error(), "fs.inotify.max_user_instances") {
		t.Errorf("with 20: %v", err)
	}
}

func testCluster() *Cluster {
	return &Cluster{dir: "/c", network: network(2), state: state{Nodes: 2, CNIDir: "/usr/lib/cni"}}
}

func TestRenderNode(t *testing.T) {
	files, err := renderNode(testCluster().nodeConfig(2))
	if err != nil {
		t.Fatal(err)
	}
	var kubelet map[string]any
	if err := yaml.UnmarshalStrict(files["node2-kubelet.yaml"], &kubelet); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"address": "10.210.0.12", "cgroupRoot": "/akri-dev-2/node2", "cgroupDriver": "cgroupfs",
		"nodeStatusUpdateFrequency": "1s", "nodeStatusReportFrequency": "5m",
		"failCgroupV1": false, "failSwapOn": false,
	} {
		if kubelet[key] != want {
			t.Errorf("kubelet %s: %v, want %v", key, kubelet[key], want)
		}
	}
	var proxy map[string]any
	if err := yaml.UnmarshalStrict(files["node2-proxy.yaml"], &proxy); err != nil {
		t.Fatal(err)
	}
	if proxy["hostnameOverride"] != "akri-dev-2" || proxy["clusterCIDR"] != "10.210.64.0/18" {
		t.Errorf("kube-proxy: %v", proxy)
	}
	var cni struct {
		Plugins []struct {
			Type string
			IPAM struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(files["node2-cni/10-akri-dev.conflist"], &cni); err != nil {
		t.Fatal(err)
	}
	if cni.Plugins[0].IPAM.Ranges[0][0].Subnet != "10.210.66.0/24" || cni.Plugins[1].Type != "portmap" {
		t.Errorf("CNI: %+v", cni)
	}
	var containerd struct {
		Version int
		Plugins map[string]map[string]any
	}
	if err := toml.Unmarshal(files["node2-containerd.toml"], &containerd); err != nil {
		t.Fatal(err)
	}
	if got := containerd.Plugins["io.containerd.cri.v1.images"]["pinned_images"]; got.(map[string]any)["sandbox"] != testCluster().ownImage("pause") {
		t.Errorf("containerd's sandbox image: %v", got)
	}
}

func TestRestartPeriodOfContainers(t *testing.T) {
	c := testCluster()
	for period, want := range map[time.Duration]string{0: "", 2 * time.Second: "2s"} {
		c.maxRestart = period
		files, err := renderNode(c.nodeConfig(1))
		if err != nil {
			t.Fatal(err)
		}
		var kubelet struct {
			CrashLoopBackOff struct{ MaxContainerRestartPeriod string }
		}
		if err := yaml.Unmarshal(files["node1-kubelet.yaml"], &kubelet); err != nil {
			t.Fatal(err)
		}
		if got := kubelet.CrashLoopBackOff.MaxContainerRestartPeriod; got != want {
			t.Errorf("for %v the kubelet has %q, want %q", period, got, want)
		}
	}
}

func TestEveryComponentHasArguments(t *testing.T) {
	c := testCluster()
	for _, cell := range c.lab().Cells() {
		for _, component := range c.componentsOf(cell.Name) {
			args := c.arguments(cell.Name, component)
			if len(args) == 0 {
				t.Errorf("%s in %s has none", component, cell.Name)
			}
			for _, a := range args {
				// The cluster's folder may be hidden in a cell.
				if strings.Contains(a, "=/c/") {
					t.Errorf("%s in %s gets a path of the machine: %s", component, cell.Name, a)
				}
			}
		}
	}
	if c.arguments("node1", "nonsense") != nil {
		t.Error("an unknown component has arguments")
	}
}

func TestManifest(t *testing.T) {
	objects, err := renderManifest(coreDNSManifest, map[string]string{"IP": "10.1.2.3", "Image": "img"})
	if err != nil {
		t.Fatal(err)
	}
	known := addonResources()
	for _, o := range objects {
		if _, ok := known[o.GetKind()]; !ok {
			t.Errorf("kind %s is not known", o.GetKind())
		}
	}
	if len(objects) != 6 {
		t.Errorf("%d objects", len(objects))
	}
	if _, err := renderManifest(coreDNSManifest, map[string]string{}); err == nil {
		t.Error("a manifest without its values was rendered")
	}
}

func TestCheckKernel(t *testing.T) {
	good := map[string]string{
		"/proc/filesystems":                            "nodev\toverlay\n",
		"/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
		"/proc/mounts":                                 "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
	}
	read := func(files map[string]string) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		}
	}
	if err := checkKernel(read(good)); err != nil {
		t.Error(err)
	}
	for file, remedy := range map[string]string{
		"/proc/filesystems":                            "modprobe overlay",
		"/proc/sys/net/bridge/bridge-nf-call-iptables": "modprobe br_netfilter",
		"/proc/mounts":                                 "mount -t cgroup2",
	} {
		bad := map[string]string{}
		for k, v := range good {
			bad[k] = v
		}
		if strings.HasSuffix(file, "iptables") {
			delete(bad, file)
		} else {
			bad[file] = ""
		}
		if err := checkKernel(read(bad)); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("without %s: %v, want the remedy %q", file, err, remedy)
		}
	}
}

func TestMissingRequirements(t *testing.T) {
	cni := t.TempDir()
	for _, name := range []string{"bridge", "portmap", "host-local", "loopback"} {
		if err := os.WriteFile(cni+"/"+name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	look := func(name string) (string, error) {
		if name == "runc" {
			return "", exec.ErrNotFound
		}
		return "/bin/" + name, nil
	}
	if got := missingRequirements(look, cni); len(got) != 1 || got[0].pkg != "runc" {
		t.Errorf("got %+v", got)
	}
	if got := missingRequirements(look, t.TempDir()); len(got) != 5 {
		t.Errorf("without CNI plug-ins: %+v", got)
	}
}

func TestInstallIsRefused(t *testing.T) {
	err := installPackages(t.Context(), newProgress(nil), []requirement{{program: "runc", pkg: "runc"}, {program: "portmap", pkg: "plugins"}, {program: "bridge", pkg: "plugins"}}, false)
	if err == nil || !strings.Contains(err.Error(), "runc plugins") {
		t.Errorf("got %v, want an error that names each package once", err)
	}
}

func TestForArchitecture(t *testing.T) {
	for file, want := range map[string]bool{
		"akri-agent-amd64.tar": true, "akri-agent-arm64.tar": false, "akri-agent-armv7.tar": false,
		"akri-agent-arm-v7.tar": false, "broker.tar": true, "swarm.tar": true,
	} {
		if got := forArchitecture(file, "amd64"); got != want {
			t.Errorf("%s on amd64: %v", file, got)
		}
	}
	if !forArchitecture("a-armv7.tar", "arm") {
		t.Error("armv7 image is not for arm")
	}
}

func TestRemoveFilesLeavesWhatOthersMade(t *testing.T) {
	dir := t.TempDir() + "/c"
	for _, name := range ownFiles() {
		if err := atomicfile.Write(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := atomicfile.Write(dir+"/mine", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeFiles(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "mine" {
		t.Errorf("left: %v, %v", entries, err)
	}
	if err := os.Remove(dir + "/mine"); err != nil {
		t.Fatal(err)
	}
	if err := removeFiles(dir); err != nil || exists(dir) {
		t.Errorf("empty folder: %v", err)
	}
	if err := removeFiles(dir); err != nil {
		t.Errorf("no folder: %v", err)
	}
}

func TestReadState(t *testing.T) {
	dir := t.TempDir()
	if s, err := readState(dir); s != nil || err != nil {
		t.Errorf("no cluster: %v, %v", s, err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNoCluster) {
		t.Errorf("open: %v", err)
	}
	for _, bad := range []string{"{", `{"format":99}`, `{"format":1,"index":16,"nodes":1}`, `{"format":1,"index":0,"nodes":0}`} {
		if err := os.WriteFile(stateFile(dir), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readState(dir); err == nil || !strings.Contains(err.Error(), "akri dev down") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := os.WriteFile(stateFile(dir), []byte(`{"format":1,"index":3,"nodes":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil || c.NodeCount() != 2 || c.Network().Index != 3 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// A path is no pattern.
func TestImageArchives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my [images]")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ImageArchives(dir); err == nil || !strings.Contains(err.Error(), "make images") {
		t.Errorf("an empty folder: error %v", err)
	}
	archive := filepath.Join(dir, "agent-"+runtime.GOARCH+".tar")
	for _, f := range []string{archive, archive + ".json", filepath.Join(dir, "agent-other-armv7.tar")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ImageArchives(dir)
	if err != nil || !slices.Contains(got, archive) || slices.Contains(got, archive+".json") {
		t.Errorf("%v, %v, want %s", got, err, archive)
	}
}

func TestFailedChecks(t *testing.T) {
	for answer, want := range map[string]string{
		`an error ("[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed\nreadyz check failed")`: "etcd, poststarthook/x",
		"[+]ping ok\n[-]etcd failed: reason withheld\n":                                                            "etcd",
		"connection refused": "",
	} {
		if got := failedChecks(answer); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}

func TestCommand(t *testing.T) {
	for dir, want := range map[string]string{"": "akri dev", DefaultDir: "akri dev", "/srv/c": "akri dev --dir /srv/c"} {
		if got := Command(dir); got != want {
			t.Errorf("of %q: %q, want %q", dir, got, want)
		}
	}
}
