package preflight

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// good are the facts of a machine that can be an edge node.
func good() Facts {
	return Facts{
		Root: true, Network: true, Kubelet: Program{Path: "/usr/bin/kubelet", Version: "Kubernetes v1.37.1"},
		Edgecore: Program{Path: "/opt/edgecore", Version: "edgecore v1"}, Disk: DiskSpace{"/var/lib/kubelet", 50 << 30, 100 << 30},
	}
}

func TestJudge(t *testing.T) {
	bad := errors.New("it is bad")
	for _, c := range []struct {
		name   string
		change func(*Facts, *Wants)
		want   string // "check error" or "check warning", with blanks between
		says   string
	}{
		{"all is well", func(*Facts, *Wants) {}, "", ""},
		{"no root", func(f *Facts, _ *Wants) { f.Root = false }, "Root error", "with sudo"},
		{"no kubelet", func(f *Facts, _ *Wants) { f.Kubelet = Program{Err: bad} }, "Kubelet error", "pkgs.k8s.io"},
		{"a kubelet without a version", func(f *Facts, _ *Wants) { f.Kubelet.Version = "Kubernetes v0.0.0-master+$Format:%H$" }, "Kubelet warning", "does not say its version"},
		{"no kube-proxy", func(f *Facts, _ *Wants) { f.KubeProxy.Err = bad }, "KubeProxy warning", "--kube-proxy none"},
		{"a kubelet runs", func(f *Facts, _ *Wants) { f.Kubelets, f.KubeletUnit = []int{12}, true }, "KubeletRuns error", "process 12"},
		{"the package's kubelet.service", func(f *Facts, _ *Wants) { f.KubeletUnit = true }, "KubeletRuns error", "systemctl disable --now kubelet"},
		{"this node runs", func(f *Facts, _ *Wants) {
			f.Joined, f.Kubelets, f.Taken = true, []int{12}, []TakenPort{{"127.0.0.1:10550", "edgecore"}}
		}, "", ""},
		{"ports", func(f *Facts, _ *Wants) {
			f.Taken = []TakenPort{{":10250", "the kubelet"}, {"127.0.0.1:10550", "edgecore"}}
		}, "Port error Port error", ":10250 is taken, and the kubelet needs it"},
		{"no edgecore, and it is to be installed", func(f *Facts, w *Wants) { f.Edgecore, w.Install = Program{Err: bad}, true }, "Edgecore error", "beside keadm"},
		{"no edgecore", func(f *Facts, _ *Wants) { f.Edgecore = Program{Err: bad} }, "Edgecore warning", "--edgecore"},
		{"another edgecore", func(f *Facts, _ *Wants) { f.Edgecore.Version = "edgecore v2" }, "Edgecore warning", "another version"},
		{"no container runtime", func(f *Facts, _ *Wants) { f.Runtime = bad }, "ContainerRuntime error", "start containerd"},
		{"no cgroups", func(f *Facts, _ *Wants) { f.Cgroups = bad }, "Cgroups error", "it is bad"},
		{"no network for Pods", func(f *Facts, _ *Wants) { f.Network = false }, "Network warning", "/etc/cni/net.d"},
		{"swap", func(f *Facts, _ *Wants) { f.Swap = []string{"/dev/zram0"} }, "Swap error", "swapoff -a"},
		{"swap that is wanted", func(f *Facts, w *Wants) { f.Swap, w.Swap = []string{"/dev/zram0"}, true }, "", ""},
		{"a full disk", func(f *Facts, _ *Wants) { f.Disk.Free = 10 << 30 }, "Disk warning", "10240 of 102400 MiB"},
		{"no cloudcore, so no clock", func(f *Facts, _ *Wants) { f.Cloudcore, f.Ahead = bad, time.Hour }, "Cloudcore error", "firewall"},
		{"a clock ahead", func(f *Facts, _ *Wants) { f.Ahead = time.Hour }, "Clock error", "1h0m0s ahead of cloudcore's"},
		{"a clock behind", func(f *Facts, _ *Wants) { f.Ahead = -time.Hour }, "Clock error", "1h0m0s behind cloudcore's"},
		{"a clock nearly right", func(f *Facts, _ *Wants) { f.Ahead = time.Minute }, "", ""},
		{"errors that do not matter", func(f *Facts, w *Wants) {
			f.Root, f.Swap, w.Ignore = false, []string{"/swap"}, []string{"Swap"}
		}, "Root error Swap warning", "swapoff"},
		{"no errors matter", func(f *Facts, w *Wants) {
			f.Root, f.Swap, w.Ignore = false, []string{"/swap"}, []string{"all"}
		}, "Root warning Swap warning", "swapoff"},
	} {
		f, w := good(), Wants{Version: "v1"}
		c.change(&f, &w)
		var got []string
		text := ""
		for _, finding := range Judge(f, w) {
			kind := "error"
			if finding.Warning {
				kind = "warning"
			}
			got = append(got, finding.Check, kind)
			text += finding.Text + "\n"
			if !slices.Contains(Checks(), finding.Check) {
				t.Errorf("%s: %s is no check", c.name, finding.Check)
			}
		}
		if strings.Join(got, " ") != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s: %q, want %q with %q:\n%s", c.name, got, c.want, c.says, text)
		}
	}
}

func TestJudgeSkew(t *testing.T) {
	for _, c := range []struct{ kubelet, cluster, says string }{
		{"Kubernetes v1.37.1", "v1.37.0", ""},
		{"Kubernetes v1.34.9", "v1.37.1", ""},
		{"Kubernetes v1.37.1", "v1.36.2+k3s1", "newer than the cluster, v1.36.2: install a kubelet of version 1.36"},
		{"Kubernetes v1.33.0", "v1.37.1", "too old for the cluster"},
		{"", "v1.37.1", ""},
		{"Kubernetes v1.37.1", "", ""},
		{"Kubernetes v1.37.1", "soon", ""},
		{"Kubernetes v0.0.0-master+$Format:%H$", "v1.37.1", ""},
	} {
		_, err := Split(JudgeSkew(c.kubelet, c.cluster, nil))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q in %q: %v, want %q", c.kubelet, c.cluster, err, c.says)
		}
	}
	if warnings, err := Split(JudgeSkew("v1.38.0", "v1.37.0", []string{KubeletSkew})); err != nil || len(warnings) != 1 {
		t.Errorf("one that does not matter: %q, %v", warnings, err)
	}
}

func TestCgroups(t *testing.T) {
	for _, c := range []struct{ mounts, controllers, err string }{
		{"cgroup /sys/fs/cgroup cgroup2 rw 0 0\n", "cpuset cpu io memory pids", ""},
		{"cgroup /sys/fs/cgroup cgroup2 rw 0 0\n", "cpuset cpu io pids", "cgroup_enable=memory"},
		{"cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n", "", ""},
		{"proc /proc proc rw 0 0\n", "", "no memory controller"},
	} {
		err := cgroups(func(path string) ([]byte, error) {
			if path == "/proc/self/mounts" {
				return []byte(c.mounts), nil
			}
			return []byte(c.controllers), nil
		})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q with %q: %v, want %q", c.mounts, c.controllers, err, c.err)
		}
	}
}

func TestSwap(t *testing.T) {
	text := "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0  partition\t1\t0\t100\n/swap file 1 0 1\n"
	got := swap(func(string) ([]byte, error) { return []byte(text), nil })
	if !slices.Equal(got, []string{"/dev/zram0", "/swap"}) {
		t.Errorf("%q", got)
	}
	if got := swap(func(string) ([]byte, error) { return []byte("Filename\tType\n"), nil }); got != nil {
		t.Errorf("none: %q", got)
	}
	if got := swap(os.ReadFile); len(got) > 20 {
		t.Errorf("this machine: %q", got)
	}
}

// What is looked at is really there, or is not.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	place := Place{
		Kubelet: script("kubelet", "echo Kubernetes v1.37.1; echo more"), Edgecore: filepath.Join(dir, "none"),
		RuntimeEndpoint: "unix://" + dir + "/none.sock", Ports: map[string]string{l.Addr().String(): "a test", "127.0.0.1:0": "nobody"},
		Data: filepath.Join(dir, "not", "there", "yet"), Hub: "127.0.0.1:1", Join: "127.0.0.1:1",
		Systemctl: script("systemctl", `[ "$1" = is-active ] && echo activating; exit 3`),
	}
	f := Look(t.Context(), place)
	if f.Kubelet.Version != "Kubernetes v1.37.1" || f.Kubelet.Err != nil || f.Edgecore.Err == nil {
		t.Errorf("programs: %+v, %+v", f.Kubelet, f.Edgecore)
	}
	if f.Runtime == nil || f.Cloudcore == nil || !strings.Contains(f.Cloudcore.Error(), "port of certificates") || !f.KubeletUnit {
		t.Errorf("runtime %v, cloudcore %v, unit %v", f.Runtime, f.Cloudcore, f.KubeletUnit)
	}
	if len(f.Taken) != 1 || f.Taken[0].For != "a test" {
		t.Errorf("ports: %+v", f.Taken)
	}
	if f.Disk.Size == 0 || f.Disk.Free > f.Disk.Size {
		t.Errorf("disk: %+v", f.Disk)
	}
	place.Kubelet, place.Systemctl = dir, script("systemctl", "echo disabled; exit 1")
	if f = Look(t.Context(), place); f.Kubelet.Err == nil || f.KubeletUnit {
		t.Errorf("%+v, %v", f.Kubelet, f.KubeletUnit)
	}
}

func TestNetworks(t *testing.T) {
	dir := t.TempDir()
	if networks(dir) || networks(filepath.Join(dir, "none")) {
		t.Error("an empty folder has a network")
	}
	if err := os.WriteFile(filepath.Join(dir, "10-bridge.conflist"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !networks(dir) {
		t.Error("a conflist is not seen")
	}
}

func TestProcesses(t *testing.T) {
	proc := t.TempDir()
	nets := map[string]string{"9": "net:[1]", "12": "net:[1]", "7": "net:[1]", "13": "net:[2]", "self": "net:[1]"}
	for pid, comm := range map[string]string{"12": "kubelet", "7": "kubelet", "13": "kubelet", "9": "kubelet-helper", "self": "keadm"} {
		if err := os.MkdirAll(filepath.Join(proc, pid, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(nets[pid], filepath.Join(proc, pid, "ns", "net")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "comm"), []byte(comm+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := processes(proc, "kubelet"); !slices.Equal(got, []int{7, 12}) {
		t.Errorf("%v", got)
	}
}
