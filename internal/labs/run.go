package labs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/devcluster/cameras"
	"github.com/akri-go/akri/internal/images"
)

// stepTimeout is how long a step may take on a slow machine; the first one builds
// the cluster's programs.
const (
	stepTimeout = 10 * time.Minute
	firstTime   = time.Hour
)

// Options configure a run.
type Options struct {
	Dir  string // of the cluster; "" means devcluster.DefaultDir
	Repo string // checkout of the repository
	Out  io.Writer
	// Stay waits after the last step, with the page up, until the context is done.
	Stay bool
	Sys  fs.FS // /sys
}

// run is a lab that runs.
type run struct {
	Options
	lab     Lab
	video   videoDevices
	cluster *devcluster.Cluster
	api     client.Client
	cameras *cameras.Cameras // nil unless they are simulated
	env     map[string]string
	shims   string // a folder with kubectl and microk8s
	started []*exec.Cmd
	seen    bool // the person has seen the page
}

// Run replays a lab on a cluster of its own, and removes the cluster. If a step
// fails the cluster stays, so that one can look at it.
func Run(ctx context.Context, lab Lab, o Options) (err error) {
	if _, err := devcluster.Open(o.Dir); !errors.Is(err, devcluster.ErrNoCluster) {
		return errors.Join(fmt.Errorf("there is a cluster in %s, and a lab makes one of its own: `%s down` removes it, or name another folder with --dir",
			cmp.Or(o.Dir, devcluster.DefaultDir), devcluster.Command(o.Dir)), err)
	}
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("the lab runs the document's commands, which need %s: install it", program)
		}
	}
	o.Out = &shared{w: o.Out}
	r := &run{Options: o, lab: lab, video: devicesOf(o.Sys), env: map[string]string{}}
	if r.shims, err = os.MkdirTemp("", "akri-lab-"); err != nil {
		return err
	}
	r.say("%s, step by step on this machine.\n(%s)", lab.Title, lab.Source)
	if r.simulated() {
		r.say("This machine has no camera: simulated network cameras stand in.")
	}
	err = r.steps(ctx)
	return r.end(ctx, err)
}

// simulated tells whether simulated cameras stand in.
func (r *run) simulated() bool { return r.video.nodes == 0 }

// steps goes through the steps; those that clean up come when the person has seen
// the page.
func (r *run) steps(ctx context.Context) error {
	shown := false
	for _, s := range r.lab.Steps {
		if s.CleanUp && !shown {
			shown = true
			r.stay(ctx)
			// What follows is done after Ctrl-C too.
			ctx = context.WithoutCancel(ctx)
		}
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("step %q: %w", cmp.Or(s.Title, s.Differs), err)
		}
	}
	if r.lab.Done != "" {
		r.say("%s", r.lab.Done)
	}
	if !shown {
		r.stay(ctx)
	}
	return nil
}

func (r *run) step(ctx context.Context, s Step) error {
	limit := stepTimeout
	if s.Do == MakeCluster || s.Do == LoadImages {
		limit = firstTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.say("\n== %s", cmp.Or(s.Title, "(no step of the document)"))
	commands := s.here(r.simulated())
	if s.Differs != "" && (s.Simulated == nil || r.simulated()) {
		r.say("   here: %s", s.Differs)
	}
	if err := r.do(ctx, s.Do); err != nil {
		return err
	}
	for _, c := range commands {
		r.say("$ %s", c)
		if err := r.command(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	if s.Check != "" {
		if err := r.check(ctx, s.Check); err != nil {
			return err
		}
		r.say("   checked: %s", s.Check)
	}
	if s.Mark != "" {
		r.say("%s", s.Mark)
	}
	return nil
}

// do does what the program does itself.
func (r *run) do(ctx context.Context, d Deed) (err error) {
	switch d {
	case MakeCluster:
		return r.makeCluster(ctx)
	case LoadImages:
		archives, err := images.Build(ctx, images.Options{Module: r.Repo, Out: filepath.Join(r.Repo, "out"),
			Platforms: []images.Platform{{Arch: runtime.GOARCH}}, Images: images.All(), Log: r.Out})
		if err != nil {
			return err
		}
		var paths []string
		for _, a := range archives {
			paths = append(paths, a.Path)
		}
		r.say("   loading %d images", len(paths))
		return r.cluster.LoadImages(ctx, paths...)
	case ConnectCameras:
		if !r.simulated() {
			return nil
		}
		if r.cameras, err = cameras.Open(ctx, r.cluster, r.Repo); err != nil {
			return err
		}
		for range r.lab.Cameras {
			number, err := r.cameras.Plug(ctx)
			if err != nil {
				return err
			}
			r.say("   camera %d is on the nodes' network", number)
		}
	}
	return nil
}

func (r *run) makeCluster(ctx context.Context) (err error) {
	if r.cluster, err = devcluster.Up(ctx, devcluster.Options{Dir: r.Dir, Repo: r.Repo, Progress: r.Out, Install: true}); err != nil {
		return err
	}
	if r.api, err = newClient(r.cluster); err != nil {
		return err
	}
	r.env["KUBECONFIG"] = r.cluster.Kubeconfig()
	if err := os.Symlink(r.cluster.Binary("kubectl"), filepath.Join(r.shims, "kubectl")); err != nil {
		return err
	}
	// "microk8s kubectl" is kubectl.
	return os.WriteFile(filepath.Join(r.shims, "microk8s"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o755)
}

// stay shows where the page is, and waits for the person.
func (r *run) stay(ctx context.Context) {
	page, err := r.page(ctx)
	if err != nil {
		return // a lab that has no page yet; its checks say so
	}
	host := strings.TrimPrefix(page, "http://")
	r.say("\nThe page is at %s (from this machine).", page)
	r.say("From another: ssh -L 50000:%s <this machine>, then http://localhost:50000/", host)
	if r.Stay {
		r.say("Ctrl-C removes everything.")
		<-ctx.Done()
		r.seen = true
	}
}

// end removes what the lab has made, and tells how it went.
func (r *run) end(ctx context.Context, err error) error {
	failed := err != nil && ctx.Err() == nil
	if err != nil && !failed && !r.seen {
		err = errors.New("interrupted")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	for _, c := range r.started {
		stop(c)
	}
	errs := []error{err, os.RemoveAll(r.shims)}
	if r.cameras != nil {
		errs = append(errs, r.cameras.Close())
	}
	if failed {
		if r.cluster != nil {
			r.say("\nThe cluster stays, so that you can look at it; `%s down` removes it.", devcluster.Command(r.Dir))
		}
		return errors.Join(errs...)
	}
	r.say("\nremoving the cluster")
	errs = append(errs, devcluster.Down(ctx, r.Dir, r.Out))
	err = errors.Join(errs...)
	if err == nil {
		r.say("the lab %s works: %d steps", r.lab.Name, len(r.lab.Steps))
	}
	return err
}

// shared is written by the lab and by the commands that run beside it.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(text)
}

func (r *run) say(format string, args ...any) { fmt.Fprintf(r.Out, format+"\n", args...) }
