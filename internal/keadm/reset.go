package keadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/keadm/cri"
	"github.com/akri-go/akri/internal/keadm/preflight"
	"github.com/akri-go/akri/internal/poll"
)

const (
	// stopTimeout is how long edgecore and its kubelet may take to end.
	stopTimeout = 45 * time.Second
	// podTimeout is how long it may take to end one Pod.
	podTimeout = time.Minute
	// kubeletTimeout is how long the kubelet of an edgecore that was killed may take
	// to end.
	kubeletTimeout = 10 * time.Second
)

// ResetOptions say what to take off a machine.
type ResetOptions struct {
	System
	// Dir is the folder of edgecore's configuration and certificates.
	Dir string
	// RuntimeEndpoint is the container runtime; "" is that of the configuration.
	RuntimeEndpoint string
}

// resetting is a reset under way.
type resetting struct {
	ResetOptions
	config config.Config
	out    io.Writer
}

// Plan is what a reset would do, for a person who is asked.
func (o ResetOptions) Plan() string {
	r := o.begin(nil)
	return fmt.Sprintf("This stops edgecore and its kubelet, ends all Pods of this machine, and removes what they have stored here (%s),\n"+
		"the node's certificate, its store and its configuration (%s, %s).", kubeletRoot(r.config), o.Dir, r.config.Database.DataSource)
}

func (o ResetOptions) begin(out io.Writer) *resetting {
	r := &resetting{ResetOptions: o, out: out}
	c, err := config.Load(configFile(o.Dir))
	if err != nil { // none, or one that says nothing: that of Join
		c = config.Default()
		c.Modules.EdgeHub.CertDir = filepath.Join(o.Dir, "certs")
		c.Modules.MetaManager.MetaServer.CertDir = filepath.Join(o.Dir, "local")
		c.Modules.Edged.ConfigDir = filepath.Join(o.Dir, "kubelet")
		c.Modules.Edged.KubeProxy.ConfigDir = filepath.Join(o.Dir, "kube-proxy")
	}
	r.config = c
	if r.RuntimeEndpoint == "" {
		r.RuntimeEndpoint = runtimeEndpoint(c)
	}
	return r
}

// Reset makes this machine nobody's node: it stops edgecore, ends the Pods, and
// removes what edgecore and the kubelet have here. It can be repeated. What cannot
// be done is told in the error, and the rest is done all the same, except that
// nothing is removed under an edgecore, a kubelet or Pods that still run.
func Reset(ctx context.Context, o ResetOptions, out io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("this needs root: run it with sudo for instance")
	}
	r := o.begin(out)
	node := ""
	if c, err := join.Load(r.config.Modules.EdgeHub.CertDir); err == nil {
		node = c.Node
	}
	if err := r.stop(ctx); err != nil {
		return fmt.Errorf("stop edgecore: %w", err)
	}
	if err := noKubelet(ctx); err != nil {
		return err
	}
	podsErr := r.pods(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var errs []error
	if podsErr == nil {
		errs = append(errs, r.emptyKubelet())
	}
	errs = append(errs, podsErr, r.files())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not everything is removed; mend what is said and repeat it:\n%w", err)
	}
	r.say("this machine is no edge node any more")
	if node != "" {
		r.say("the cluster still has the Node; where kubectl works:\n\n  keadm reset %s          # copies of its certificate are useless then\n  kubectl delete node %[1]s", node)
	}
	return nil
}

func (r *resetting) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// stop ends edgecore, and with it the kubelet, and removes the unit.
func (r *resetting) stop(ctx context.Context) error {
	if _, err := os.Stat(r.unitFile()); err == nil {
		if r.Systemctl != "" {
			if err := r.systemctl(ctx, "disable", "--now", unitName); err != nil {
				return err
			}
			r.say("stopped edgecore")
		}
		if err := os.Remove(r.unitFile()); err != nil {
			return err
		}
		r.say("removed %s", r.unitFile())
		if r.Systemctl != "" {
			if err := r.systemctl(ctx, "daemon-reload"); err != nil {
				return err
			}
		}
	}
	pid, err := status.Process(ctx, r.config.StatusSocket)
	if err != nil { // none runs
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it has just ended
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err = poll.Until(ctx, "edgecore ends", askInterval, func(context.Context) error {
		if err := unix.PidfdSendSignal(fd, 0, nil, 0); !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("process %d runs", pid)
		}
		return nil
	})
	if err == nil {
		r.say("stopped edgecore")
	}
	return err
}

// noKubelet returns an error if a kubelet runs, now that edgecore's does not: Pods
// and files are that kubelet's then.
func noKubelet(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, kubeletTimeout)
	defer cancel()
	var running []int
	err := poll.Until(limited, "no kubelet runs", askInterval, func(context.Context) error {
		if running = preflight.Kubelets(); len(running) > 0 {
			return errors.New("one does")
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("nothing is removed: a kubelet runs here (process %d) that is not edgecore's; "+
			"if this machine is a node of a cluster, do not reset it; else end that kubelet and repeat this", running[0])
	}
	return nil
}

// pods ends all Pods of the container runtime. An edge node's are all the
// kubelet's.
func (r *resetting) pods(ctx context.Context) error {
	runtime, err := cri.Dial(r.RuntimeEndpoint)
	if err != nil {
		return err
	}
	defer runtime.Close()
	list, cancel := context.WithTimeout(ctx, podTimeout)
	defer cancel()
	all, err := runtime.Pods(list)
	if err != nil {
		return fmt.Errorf("list the Pods at %s (start the container runtime, or say where it listens with --remote-runtime-endpoint): %w", r.RuntimeEndpoint, err)
	}
	var errs []error
	for _, p := range all {
		one, cancel := context.WithTimeout(ctx, podTimeout)
		errs = append(errs, runtime.End(one, p))
		cancel()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("end the Pods: %w", err)
	}
	if len(all) > 0 {
		r.say("ended %d Pods", len(all))
	}
	return nil
}

// emptyKubelet removes what the kubelet has stored for Pods and about itself.
func (r *resetting) emptyKubelet() error {
	root := filepath.Clean(kubeletRoot(r.config))
	if root == "/" || filepath.Dir(root) == "/" {
		return fmt.Errorf("the kubelet's folder is %s: empty it yourself", root)
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unmountBelow(root); err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
			return err
		}
	}
	_ = os.Remove(root) // it may be a file system of its own
	r.say("emptied %s", root)
	return nil
}

// files removes the files of edgecore, and their folders if nothing else is there.
func (r *resetting) files() error {
	m := r.config.Modules
	var errs []error
	removed := false
	remove := func(path string) {
		if _, err := os.Lstat(path); err != nil {
			return
		}
		err := os.RemoveAll(path)
		errs, removed = append(errs, err), removed || err == nil
	}
	for _, dir := range []string{m.EdgeHub.CertDir, m.MetaManager.MetaServer.CertDir, m.Edged.ConfigDir, m.Edged.KubeProxy.ConfigDir} {
		if strings.HasPrefix(dir, filepath.Clean(r.Dir)+"/") {
			remove(dir)
		} else if _, err := os.Stat(dir); err == nil { // somebody chose it, and may have more there
			r.say("left %s: it is not below %s", dir, r.Dir)
		}
	}
	stored, err := filepath.Glob(r.config.Database.DataSource + "*") // with what SQLite has beside it
	if err != nil {
		return err
	}
	for _, file := range append(stored, r.config.StatusSocket, configFile(r.Dir)) {
		remove(file)
	}
	for _, dir := range []string{filepath.Dir(configFile(r.Dir)), r.Dir, filepath.Dir(r.config.Database.DataSource), filepath.Dir(r.config.StatusSocket)} {
		_ = os.Remove(dir) // if it is empty
	}
	if removed {
		r.say("removed the node's certificates, store and configuration")
	}
	return errors.Join(errs...)
}
