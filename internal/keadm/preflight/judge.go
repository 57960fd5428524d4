package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// The names of the checks, by which a person can say that one does not matter.
const (
	Root        = "Root"
	Kubelet     = "Kubelet"
	KubeletRuns = "KubeletRuns"
	KubeletSkew = "KubeletSkew"
	KubeProxy   = "KubeProxy"
	Edgecore    = "Edgecore"
	Runtime     = "ContainerRuntime"
	Cgroups     = "Cgroups"
	Network     = "Network"
	Port        = "Port"
	Swap        = "Swap"
	Disk        = "Disk"
	Clock       = "Clock"
	Cloudcore   = "Cloudcore"

	allChecks = "all"
)

const (
	maxClockSkew  = 2 * time.Minute
	minFreePart   = 0.15 // below it the kubelet reports disk pressure (imagefs.available)
	maxMinorsBack = 3    // how much older than the API server a kubelet may be
)

// Checks are all names.
func Checks() []string {
	return []string{Root, Kubelet, KubeletRuns, KubeletSkew, KubeProxy, Edgecore, Runtime, Cgroups, Network, Port, Swap, Disk, Clock, Cloudcore}
}

// Facts are what is known of a machine.
type Facts struct {
	Root bool
	// Joined is whether edgecore runs here already: then its ports and its kubelet
	// are no obstacle.
	Joined            bool
	Kubelet, Edgecore Program
	KubeProxy         Program // the zero value if there is to be none
	// Kubelets are kubelets that run, by their process number, and KubeletUnit is
	// whether systemd starts one.
	Kubelets    []int
	KubeletUnit bool
	// Runtime is why the container runtime does not answer, and Cgroups what the
	// kernel's lack.
	Runtime, Cgroups error
	// Network is whether the Pods' network is configured.
	Network bool
	// Taken are ports that the node needs and somebody has.
	Taken []TakenPort
	Swap  []string
	// Disk is where Pods and images are.
	Disk DiskSpace
	// Cloudcore is why it cannot be reached, and Ahead how far the machine's clock
	// is ahead of its.
	Cloudcore error
	Ahead     time.Duration
}

// Program is a program that is needed.
type Program struct {
	Path    string
	Version string // as it says
	Err     error  // why it cannot be used
}

// TakenPort is a port that somebody has.
type TakenPort struct {
	Address string
	For     string // what needs it here
}

// DiskSpace is the room on a file system. The zero value is not known.
type DiskSpace struct {
	Path       string
	Free, Size uint64 // bytes
}

// Wants is what the machine is to be.
type Wants struct {
	// Version is that of this program, as it says.
	Version string
	// Install is whether edgecore is installed and started here.
	Install bool
	// Swap is whether the kubelet is configured to run with swap.
	Swap bool
	// Ignore are checks whose errors are warnings; "all" are all.
	Ignore []string
}

// Finding is what a check has found.
type Finding struct {
	Check   string
	Warning bool // it does not stand in the way
	Text    string
}

// Judge returns the findings, the most important first.
func Judge(f Facts, w Wants) []Finding {
	var out []Finding
	add := func(check string, warning bool, format string, args ...any) {
		out = append(out, Finding{check, warning, fmt.Sprintf(format, args...)})
	}
	if !f.Root {
		add(Root, false, "the kubelet needs root: run this as root, with sudo for instance")
	}
	switch {
	case f.Kubelet.Err != nil:
		add(Kubelet, false, "the kubelet: %v; install it in the minor version of the cluster, or up to three older "+
			"(Debian and RPM packages: https://pkgs.k8s.io), or say where it is with --kubelet", f.Kubelet.Err)
	case minor(f.Kubelet.Version) == nil:
		add(Kubelet, true, "%s does not say its version: %q", f.Kubelet.Path, f.Kubelet.Version)
	}
	if f.KubeProxy.Err != nil {
		add(KubeProxy, true, "kube-proxy: %v; Services do not work on this node until it has one: install it in the version of the cluster, "+
			"say where it is with --kube-proxy, or that there is to be none with --kube-proxy none", f.KubeProxy.Err)
	}
	if !f.Joined {
		out = append(out, others(f)...)
	}
	switch {
	case f.Edgecore.Err != nil:
		add(Edgecore, !w.Install, "edgecore: %v; put it beside keadm, or say where it is with --edgecore", f.Edgecore.Err)
	case strings.TrimPrefix(f.Edgecore.Version, "edgecore ") != w.Version:
		add(Edgecore, true, "%s is another version than this keadm: %s", f.Edgecore.Path, f.Edgecore.Version)
	}
	if f.Runtime != nil {
		add(Runtime, false, "the container runtime: %v; start containerd, or say where it listens with --remote-runtime-endpoint", f.Runtime)
	}
	if f.Cgroups != nil {
		add(Cgroups, false, "%v", f.Cgroups)
	}
	if !f.Network {
		add(Network, true, "there is no CNI configuration in /etc/cni/net.d: the node is not ready until there is one, of the cluster's network or of the machine's own")
	}
	if len(f.Swap) > 0 && !w.Swap {
		add(Swap, false, "there is swap (%s), and the kubelet does not start with it: switch it off with swapoff -a, "+
			"and in /etc/fstab for good, or let the kubelet have it with --set modules.edged.tailoredKubeletConfig.failSwapOn=false",
			strings.Join(f.Swap, ", "))
	}
	if d := f.Disk; d.Size > 0 && float64(d.Free) < minFreePart*float64(d.Size) {
		add(Disk, true, "only %d of %d MiB are free at %s: the kubelet starts no Pods on a full disk", d.Free>>20, d.Size>>20, d.Path)
	}
	if f.Cloudcore != nil {
		add(Cloudcore, false, "cloudcore: %v; are --cloudcore-ipport and --certport right, and does a firewall pass both ports?", f.Cloudcore)
	} else if f.Ahead.Abs() > maxClockSkew {
		add(Clock, false, "the clock is %s: certificates would not be good; set it, with timedatectl set-ntp true for instance", ahead(f.Ahead))
	}
	return ignore(out, w.Ignore)
}

// ignore makes warnings of errors that a person says do not matter.
func ignore(all []Finding, names []string) []Finding {
	for i, f := range all {
		all[i].Warning = f.Warning || slices.Contains(names, f.Check) || slices.Contains(names, allChecks)
	}
	return all
}

// others are findings about what else runs on the machine.
func others(f Facts) []Finding {
	var out []Finding
	switch {
	case len(f.Kubelets) > 0:
		out = append(out, Finding{KubeletRuns, false, fmt.Sprintf("a kubelet runs already (process %d): edgecore starts its own; "+
			"stop that one, with systemctl disable --now kubelet for instance, and if this is a node of a cluster, take it out of it before", f.Kubelets[0])})
	case f.KubeletUnit:
		out = append(out, Finding{KubeletRuns, false, "systemd starts a kubelet of its own (kubelet.service): edgecore starts one itself; systemctl disable --now kubelet"})
	}
	for _, p := range f.Taken {
		out = append(out, Finding{Port, false, fmt.Sprintf("%s is taken, and %s needs it: ss -ltnp shows by whom", p.Address, p.For)})
	}
	return out
}

func ahead(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%s behind cloudcore's", (-d).Round(time.Second))
	}
	return fmt.Sprintf("%s ahead of cloudcore's", d.Round(time.Second))
}

// JudgeSkew compares the kubelet's version with the cluster's, which is known only
// after joining. Kubernetes' rule is that a kubelet may be up to three minor
// versions older than the API server, and never newer.
func JudgeSkew(kubelet, cluster string, ignored []string) []Finding {
	k, c := minor(kubelet), minor(cluster)
	if k == nil || c == nil || k.Major() != c.Major() {
		return nil // there is nothing to compare
	}
	var wrong string
	switch {
	case k.Minor() > c.Minor():
		wrong = "newer than"
	case k.Minor()+maxMinorsBack < c.Minor():
		wrong = "too old for"
	default:
		return nil
	}
	return ignore([]Finding{{KubeletSkew, false, fmt.Sprintf("the kubelet is v%s, which is %s the cluster, v%s: install a kubelet of version %d.%d",
		k, wrong, c, c.Major(), c.Minor())}}, ignored)
}

// minor is a version of Kubernetes, such as "Kubernetes v1.37.1" or
// "v1.36.2+k3s1"; nil if it is none.
func minor(text string) *version.Version {
	v, err := version.ParseGeneric(strings.TrimSpace(strings.TrimPrefix(text, "Kubernetes ")))
	if err != nil || v.Major() == 0 { // a build without a version says v0.0.0
		return nil
	}
	return v
}

// Split returns the warnings, and what stands in the way as one error.
func Split(all []Finding) (warnings []string, err error) {
	var errs []error
	for _, f := range all {
		if f.Warning {
			warnings = append(warnings, fmt.Sprintf("[%s] %s", f.Check, f.Text))
		} else {
			errs = append(errs, fmt.Errorf("  [%s] %s", f.Check, f.Text))
		}
	}
	if len(errs) == 0 {
		return warnings, nil
	}
	return warnings, fmt.Errorf("this machine cannot be an edge node yet:\n%w", errors.Join(errs...))
}
