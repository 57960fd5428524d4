package devcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/aptget"
	"github.com/akri-go/akri/internal/cell"
)

// requirement is a program that the cluster needs from the machine.
type requirement struct {
	program string // on PATH, or the name of a CNI plug-in
	pkg     string // Debian package that has it
	cni     bool
}

func requirements() []requirement {
	return []requirement{
		{program: "ip", pkg: "iproute2"},
		{program: "nsenter", pkg: "util-linux"},
		{program: "setpriv", pkg: "util-linux"},
		{program: "mount", pkg: "mount"},
		{program: "runc", pkg: "runc"},
		{program: "iptables", pkg: "iptables"},
		{program: "conntrack", pkg: "conntrack"},
		{program: "bridge", pkg: "containernetworking-plugins", cni: true},
		{program: "portmap", pkg: "containernetworking-plugins", cni: true},
		{program: "host-local", pkg: "containernetworking-plugins", cni: true},
		{program: "loopback", pkg: "containernetworking-plugins", cni: true},
	}
}

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root for namespaces, mounts and cgroups; run this as root, with sudo for instance")
	}
	return nil
}

// cniDirs is where distributions put the CNI plug-ins.
func cniDirs() []string { return []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} }

// missingRequirements returns the missing ones, given the folder of CNI
// plug-ins.
func missingRequirements(lookPath func(string) (string, error), cniDir string) []requirement {
	var missing []requirement
	for _, r := range requirements() {
		var err error
		if r.cni {
			_, err = os.Stat(filepath.Join(cniDir, r.program))
		} else {
			_, err = lookPath(r.program)
		}
		if err != nil {
			missing = append(missing, r)
		}
	}
	return missing
}

func findCNIDir() string {
	for _, dir := range cniDirs() {
		if exists(filepath.Join(dir, "bridge")) && exists(filepath.Join(dir, "host-local")) {
			return dir
		}
	}
	return cniDirs()[0]
}

// lookSystem finds a program on root's usual PATH, which includes the sbin
// folders.
func lookSystem(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// prepareHost checks what the cluster needs from the machine and, with install,
// installs the missing packages. It returns the folder of the CNI plug-ins.
func prepareHost(ctx context.Context, out *progress, install bool) (string, error) {
	if missing := missingRequirements(lookSystem, findCNIDir()); len(missing) > 0 {
		if err := installPackages(ctx, out, missing, install); err != nil {
			return "", err
		}
		if still := missingRequirements(lookSystem, findCNIDir()); len(still) > 0 {
			return "", fmt.Errorf("%s is still missing after the installation of %s", still[0].program, still[0].pkg)
		}
	}
	if err := loadModules(ctx); err != nil {
		return "", err
	}
	return findCNIDir(), checkKernel(os.ReadFile)
}

const bridgeFilter = "/proc/sys/net/bridge"

// loadModules loads kernel modules, which may be built in or loaded already;
// checkKernel reports what is missing afterwards.
func loadModules(ctx context.Context) error {
	modprobe, err := lookSystem("modprobe")
	if err != nil {
		return nil
	}
	filtered := exists(bridgeFilter)
	for _, module := range []string{"overlay", "br_netfilter", "veth", "nf_conntrack"} {
		_ = exec.CommandContext(ctx, modprobe, module).Run()
	}
	if filtered || !exists(bridgeFilter) {
		return nil
	}
	// When the module is loaded, this is on in every network namespace. The
	// cells need it, but the machine's own bridges must work as before.
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"} {
		if err := os.WriteFile(filepath.Join(bridgeFilter, name), []byte("0"), 0); err != nil {
			return fmt.Errorf("keep the machine's bridges unfiltered: %w", err)
		}
	}
	return nil
}

func checkKernel(readFile func(string) ([]byte, error)) error {
	filesystems, err := readFile("/proc/filesystems")
	if err != nil {
		return err
	}
	if !strings.Contains(string(filesystems), "\toverlay\n") {
		return errors.New("the kernel has no overlay file system; `modprobe overlay` loads it where it is a module")
	}
	if _, err := readFile(bridgeFilter + "/bridge-nf-call-iptables"); err != nil {
		return errors.New("the kernel does not filter bridged packets, so Services would not work on one node; `modprobe br_netfilter` loads what it needs")
	}
	mounts, err := readFile("/proc/mounts")
	if err != nil {
		return err
	}
	if len(cell.ParseTrees(string(mounts))) == 0 {
		return errors.New("no cgroup tree is mounted; `mount -t cgroup2 none /sys/fs/cgroup` mounts one")
	}
	return nil
}

// inotifyInstances is about how many a cluster needs: kubelet, containerd,
// kube-proxy and the agent of each node, and the control plane.
func inotifyInstances(nodes int) int { return 16 + 16*max(nodes, 1) }

// checkInotify checks that root can have that many: they are the first kernel
// resource to run out, and the failures that follow do not name the cause.
func checkInotify(nodes int, instance func(flags int) (fd int, err error)) error {
	want := inotifyInstances(nodes)
	for have := range want {
		fd, err := instance(unix.IN_CLOEXEC)
		if errors.Is(err, unix.EMFILE) {
			return fmt.Errorf("this machine has %d inotify instances left for root, and the cluster takes about %d: "+
				"programs that get none poll every second or fail; raise the limit with sysctl -w fs.inotify.max_user_instances=1024", have, want)
		}
		if err != nil {
			return nil // not ours to judge
		}
		defer unix.Close(fd)
	}
	return nil
}

// installPackages installs the packages of missing by apt-get.
func installPackages(ctx context.Context, out *progress, missing []requirement, install bool) error {
	var programs, pkgs []string
	seen := map[string]bool{}
	for _, r := range missing {
		programs = append(programs, r.program)
		if !seen[r.pkg] {
			pkgs = append(pkgs, r.pkg)
			seen[r.pkg] = true
		}
	}
	apt, err := lookSystem("apt-get")
	if err != nil {
		return fmt.Errorf("missing on this machine: %s; this is not Debian or Ubuntu, so install them by hand (on Debian they come from %s)",
			strings.Join(programs, ", "), strings.Join(pkgs, " "))
	}
	if !install {
		return fmt.Errorf("missing on this machine: %s; install them with `apt-get install --no-install-recommends %s`, or let akri do it (without --no-install)",
			strings.Join(programs, ", "), strings.Join(pkgs, " "))
	}
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "-y", "--no-install-recommends"}, pkgs...),
	} {
		out.step("apt-get %s", strings.Join(args, " "))
		waiting := func() { out.step("another program installs packages; waiting until it is done") }
		text, err := aptget.Retry(ctx, waiting, func() ([]byte, error) {
			// Not cancelled with ctx, and in its own process group: an interrupted
			// package manager would have to be repaired.
			cmd := exec.Command(apt, args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			return cmd.CombinedOutput()
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && args[0] == "update" {
			out.step("apt-get update failed (%v); continuing with the present package lists", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, text)
		}
	}
	return nil
}
