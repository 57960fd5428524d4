// Package kubebin builds the programs of a Kubernetes cluster from their Go
// modules and keeps them in the user's cache.
//
// A binary is one such program. Its recipe is in a nested module of this
// repository (tools/kube, tools/etcd, tools/containerd, tools/coredns), because
// Kubernetes needs replace directives, which work only in a main module. Each
// module has a folder in the cache whose name is a hash of everything that its
// binaries depend on. So worktrees and later runs share binaries, and a changed
// recipe never uses an old one.
//
// Kubernetes has several Versions. The default is that of tools/kube; the
// module of another version is made in the cache when it is needed. etcd,
// containerd and CoreDNS are the same for all.
package kubebin

import (
	"fmt"
	"slices"
	"strings"
)

// The names of the binaries.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Kubectl           = "kubectl"
	Proxy             = "kube-proxy"
	Pause             = "pause"
	Containerd        = "containerd"
	ContainerdShim    = "containerd-shim-runc-v2"
	Ctr               = "ctr"
	CoreDNS           = "coredns"
)

// recipe says how to build one binary.
type recipe struct {
	name   string
	module string // folder under tools
	pkg    string // package path or ./folder
	tags   string
	// versionOf is the module whose version in go.mod is written into the
	// variables of versionVars.
	versionOf   string
	versionVars []string
}

const (
	kubeModule       = "k8s.io/kubernetes"
	containerdModule = "github.com/containerd/containerd/v2"
)

// recipes lists all binaries in the order in which they are built: first those
// that an API server alone needs.
func recipes() []recipe {
	kube := func(name string) recipe {
		return recipe{
			name: name, module: "kube", pkg: kubeModule + "/cmd/" + name,
			versionOf:   kubeModule,
			versionVars: []string{"k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"},
		}
	}
	containerd := func(name string) recipe {
		return recipe{
			name: name, module: "containerd", pkg: containerdModule + "/cmd/" + name, tags: "no_btrfs,no_zfs",
			versionOf: containerdModule, versionVars: []string{containerdModule + "/version.Version"},
		}
	}
	return []recipe{
		{name: Etcd, module: "etcd", pkg: "."},
		kube(APIServer), kube(ControllerManager), kube(Scheduler), kube(Kubelet), kube(Kubectl), kube(Proxy),
		{name: Pause, module: "kube", pkg: "./pause"},
		containerd(Containerd), containerd(ContainerdShim), containerd(Ctr),
		{name: CoreDNS, module: "coredns", pkg: "."},
	}
}

// All returns the names of all binaries in the order of building.
func All() []string {
	var names []string
	for _, r := range recipes() {
		names = append(names, r.name)
	}
	return names
}

// selectRecipes returns the recipes of names in the order of building, or of
// all when names is empty.
func selectRecipes(names []string) ([]recipe, error) {
	all := recipes()
	for _, n := range names {
		if !slices.ContainsFunc(all, func(r recipe) bool { return r.name == n }) {
			return nil, fmt.Errorf("no binary is called %q; choose among %s", n, strings.Join(All(), ", "))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(r recipe) bool { return !slices.Contains(names, r.name) }), nil
}

// ldflags returns the linker flags of r, given the version of r.versionOf.
func (r recipe) ldflags(version string) string {
	flags := []string{"-s", "-w"}
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	for _, v := range r.versionVars {
		flags = append(flags, "-X", v+"="+version)
		if prefix, ok := strings.CutSuffix(v, ".gitVersion"); ok {
			flags = append(flags, "-X", prefix+".gitMajor="+major, "-X", prefix+".gitMinor="+minor)
		}
	}
	return strings.Join(flags, " ")
}

// requiredVersion finds the required version of module in the text of a go.mod,
// or "".
func requiredVersion(gomod, module string) string {
	for line := range strings.Lines(gomod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}
