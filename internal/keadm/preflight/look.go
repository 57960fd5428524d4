package preflight

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/keadm/cri"
)

// lookTimeout bounds each look at what may not answer.
const lookTimeout = 5 * time.Second

// versionTimeout bounds how long a program may take to say its version. Kubelets
// are large: the first start of one, from the card of a small node, takes seconds.
const versionTimeout = 30 * time.Second

// Place is where to look.
type Place struct {
	Kubelet, Edgecore string // programs
	KubeProxy         string // the same; "" if there is to be none
	RuntimeEndpoint   string
	// Ports are what the node listens at, by address.
	Ports map[string]string
	// Data is where Pods and images are.
	Data string
	// Hub and Join are cloudcore's addresses.
	Hub, Join string
	// Joined is whether edgecore runs here already.
	Joined bool
	// Systemctl is the program, "" where systemd does not run.
	Systemctl string
}

// Look looks at the machine.
func Look(ctx context.Context, p Place) Facts {
	f := Facts{
		Root: os.Geteuid() == 0, Joined: p.Joined,
		Runtime: runtimeAnswers(ctx, p.RuntimeEndpoint), Cgroups: cgroups(os.ReadFile),
		Taken: taken(ctx, p.Ports), Swap: swap(os.ReadFile), Disk: space(p.Data),
		Kubelets: Kubelets(), Network: networks("/etc/cni/net.d"),
	}
	var all sync.WaitGroup
	for _, look := range []func(){
		func() { f.Kubelet = program(ctx, p.Kubelet) },
		func() { f.Edgecore = program(ctx, p.Edgecore) },
		func() {
			if p.KubeProxy != "" {
				f.KubeProxy = program(ctx, p.KubeProxy)
			}
		},
		func() { f.KubeletUnit = p.Systemctl != "" && startsKubelet(ctx, p.Systemctl) },
		func() { f.Ahead, f.Cloudcore = cloudcore(ctx, p.Hub, p.Join) },
	} {
		all.Go(look)
	}
	all.Wait()
	return f
}

// program asks a program for its version.
func program(ctx context.Context, path string) Program {
	p := Program{Path: path}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		p.Err = err
		return p
	case info.IsDir() || info.Mode()&0o111 == 0:
		p.Err = fmt.Errorf("%s is not a program", path)
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = lookTimeout
	out, err := cmd.Output()
	if err != nil {
		p.Err = fmt.Errorf("%s --version: %w", path, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	p.Version = strings.TrimSpace(first)
	return p
}

// startsKubelet tells whether systemd starts a kubelet now or at boot.
func startsKubelet(ctx context.Context, systemctl string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for question, yes := range map[string][]string{
		"is-enabled": {"enabled", "enabled-runtime"},
		"is-active":  {"active", "activating", "reloading"},
	} {
		out, _ := exec.CommandContext(ctx, systemctl, question, "kubelet.service").Output() // it fails for a no
		if slices.Contains(yes, strings.TrimSpace(string(out))) {
			return true
		}
	}
	return false
}

// runtimeAnswers asks the container runtime for its version.
func runtimeAnswers(ctx context.Context, endpoint string) error {
	path, ok := strings.CutPrefix(endpoint, "unix://")
	if !ok {
		return fmt.Errorf("its endpoint is %q: want unix:// and a path", endpoint)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path) // its error is the clearer one
	if err != nil {
		return err
	}
	conn.Close()
	runtime, err := cri.Dial(endpoint)
	if err != nil {
		return err
	}
	defer runtime.Close()
	return runtime.Check(ctx)
}

// networks tells whether a folder has a configuration of the Pods' network.
func networks(dir string) bool {
	for _, ending := range []string{"*.conflist", "*.conf", "*.json"} { // as libcni has it
		if files, _ := filepath.Glob(filepath.Join(dir, ending)); len(files) > 0 {
			return true
		}
	}
	return false
}

// cgroups looks whether there is a tree with what the kubelet needs.
func cgroups(readFile func(string) ([]byte, error)) error {
	mounts, err := readFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[2] == "cgroup2" {
			controllers, err := readFile(filepath.Join(f[1], "cgroup.controllers"))
			if err != nil {
				return err
			}
			if has := strings.Fields(string(controllers)); slices.Contains(has, "memory") && slices.Contains(has, "pids") && slices.Contains(has, "cpu") {
				return nil
			}
		}
		if len(f) > 3 && f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "memory") {
			return nil // version 1
		}
	}
	return errors.New("the kernel's cgroups have no memory controller; on a Raspberry Pi add cgroup_enable=memory to /boot/firmware/cmdline.txt and restart")
}

// taken tries to listen at addresses.
func taken(ctx context.Context, ports map[string]string) []TakenPort {
	var out []TakenPort
	for address, what := range ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			l.Close()
		} else if errors.Is(err, unix.EADDRINUSE) {
			out = append(out, TakenPort{address, what})
		}
	}
	slices.SortFunc(out, func(a, b TakenPort) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// swap lists what the kernel swaps to.
func swap(readFile func(string) ([]byte, error)) []string {
	text, err := readFile("/proc/swaps")
	if err != nil {
		return nil // a kernel without swap
	}
	var out []string
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) > 0 { // the first is a heading
			out = append(out, f[0])
		}
	}
	return out
}

// space is the room of the file system that a folder is on, or will be.
func space(path string) DiskSpace {
	var st unix.Statfs_t
	at := path
	for unix.Statfs(at, &st) != nil {
		if at == filepath.Dir(at) {
			return DiskSpace{Path: path}
		}
		at = filepath.Dir(at)
	}
	return DiskSpace{Path: path, Free: st.Bavail * uint64(st.Bsize), Size: st.Blocks * uint64(st.Bsize)}
}

// Kubelets are the numbers of the kubelets that run on this machine.
func Kubelets() []int { return processes("/proc", "kubelet") }

// processes are the numbers of the processes of a name. Those with another network
// are another machine's, such as those of kind.
func processes(proc, name string) []int {
	own, _ := os.Readlink(filepath.Join(proc, "self", "ns", "net"))
	files, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	if err != nil {
		return nil
	}
	var out []int
	for _, file := range files {
		comm, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(comm)) != name {
			continue // it has ended, or is another
		}
		if net, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns", "net")); err == nil && net != own {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}

// cloudcore asks whether both of cloudcore's ports answer, and what time it is
// there. Who answers is looked at later, with the token: here anybody counts.
func cloudcore(ctx context.Context, hub, join string) (ahead time.Duration, err error) {
	began := time.Now()
	date, err := answers(ctx, "https://"+join+"/ca.crt")
	if err != nil {
		return 0, fmt.Errorf("its port of certificates, %s: %w", join, err)
	}
	if !date.IsZero() { // in whole seconds
		ahead = began.Add(time.Since(began) / 2).Sub(date)
	}
	if _, err := answers(ctx, "https://"+hub+"/"); err != nil {
		return 0, fmt.Errorf("its port of links, %s: %w", hub, err)
	}
	return ahead, nil
}

// answers asks a server for anything, and returns its date if it tells it. A
// server that wants another certificate has answered.
func answers(ctx context.Context, url string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*lookTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	var alert tls.AlertError
	switch {
	case errors.As(err, &alert), err != nil && strings.Contains(err.Error(), "remote error: tls:"):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil
	}
	return date, nil
}
