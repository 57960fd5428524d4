package edgedemo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
)

const (
	// nodeCount is how many edge nodes there are.
	nodeCount = 2
	// nodeGrace is how long a node may be silent: with Kubernetes' own 50 s a
	// person would wait for long.
	nodeGrace = 12 * time.Second
	// pingInterval has a link that is cut noticed after 10 s.
	pingInterval = 2 * time.Second
	stepTimeout  = 5 * time.Minute
	endTimeout   = 3 * time.Minute
	lookInterval = time.Second
	// maxTold is how much of what has happened is kept.
	maxTold = 200
)

// Options configure the demo.
type Options struct {
	Dir  string // of the cluster; "" means devcluster.DefaultDir
	Repo string // checkout of the repository
	// Terminal is where keys come from and the screen is drawn. Nil means that
	// nobody watches: cut, update, cut the power, give it, mend, end.
	Terminal *os.File
	Out      io.Writer
	// Remove removes the cluster at the end even if nobody watches.
	Remove bool
}

// demo is a running demo.
type demo struct {
	Options
	cluster *devcluster.Cluster
	last    State // that until has seen
	made    bool  // this demo has made the cluster
	failed  bool
}

// Run runs the demo until ctx is done or the person quits or, if nobody watches,
// until it has shown everything once.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o}
	d.say("Edge demo: a cluster and %d edge nodes on this machine, behind links that you cut.", nodeCount)
	defer func() { err = errors.Join(err, d.end(ctx)) }()
	if err := d.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted during the start")
		}
		d.failed = true
		return err
	}
	if d.Terminal != nil {
		return d.interact(ctx)
	}
	if err := d.play(ctx); err != nil {
		d.failed = true
		return err
	}
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

// prepare starts everything that the screen shows.
func (d *demo) prepare(ctx context.Context) error {
	began := time.Now()
	_, err := devcluster.Open(d.Dir)
	d.made = errors.Is(err, devcluster.ErrNoCluster)
	up := devcluster.Options{Dir: d.Dir, Repo: d.Repo, EdgeNodes: nodeCount, Progress: d.Out, Install: true}
	if d.made {
		up.NodeGrace = nodeGrace
	}
	if d.cluster, err = devcluster.Up(ctx, up); err != nil {
		return err
	}
	if err := d.cluster.JoinEdgeNodes(ctx, devcluster.JoinOptions{Repo: d.Repo, Progress: d.Out, PingInterval: pingInterval}); err != nil {
		return err
	}
	image, err := images.Find("show-broker")
	if err != nil {
		return err
	}
	archives, err := images.Build(ctx, images.Options{Module: d.Repo, Out: filepath.Join(d.Repo, "out"),
		Platforms: []images.Platform{{Arch: runtime.GOARCH}}, Images: image})
	if err != nil {
		return err
	}
	if err := d.cluster.LoadImages(ctx, archives[0].Path); err != nil {
		return err
	}
	if err := d.deploy(ctx, archives[0].Ref, "1"); err != nil {
		return err
	}
	if err := d.until(ctx, "the application runs on each edge node", func(s State) bool {
		for _, n := range s.Nodes {
			if !n.Cut && n.Power && (n.Pod != running || n.CloudPod != running) {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	d.say("everything runs after %.0f s", time.Since(began).Seconds())
	return nil
}

// until looks again and again, tells what happens, and returns when ok says so.
func (d *demo) until(ctx context.Context, what string, ok func(State) bool) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return poll.Until(ctx, what, lookInterval, func(ctx context.Context) error {
		s, err := d.look(ctx)
		if err != nil {
			return err
		}
		for _, line := range Tell(d.last, s) {
			d.say("%s", line)
		}
		if d.last = s; !ok(s) {
			return errors.New("not yet:\n" + strings.Join(table(s, -1), "\n"))
		}
		return nil
	})
}

// play is the demo without a person.
func (d *demo) play(ctx context.Context) error {
	e, err := d.cluster.EdgeNode(1)
	if err != nil {
		return err
	}
	first := func(ok func(Node) bool) func(State) bool { return func(s State) bool { return ok(s.Nodes[0]) } }
	for _, step := range []struct {
		say  string
		do   func(context.Context) error
		what string
		ok   func(State) bool
	}{
		{"the link of " + e.Name + " is cut", e.Cut, "both ends have noticed",
			first(func(n Node) bool { return n.Link == "cut" && n.Cloud == "NotReady" && n.Pod == running })},
		{"in the cluster the application is updated", d.update, "the other node has the new version",
			func(s State) bool {
				return s.Nodes[1].Version == s.Version && s.Nodes[1].Pod == running && s.Nodes[0].Version != s.Version
			}},
		{"the power of " + e.Name + " is cut", e.PowerOff, "it is off", first(func(n Node) bool { return !n.Power })},
		{"it has power again; the link is still cut", e.PowerOn, "its application runs again, without the cluster",
			first(func(n Node) bool { return n.Link == "cut" && n.Pod == running })},
		{"the link is back", e.Rejoin, "both ends agree",
			func(s State) bool {
				n := s.Nodes[0]
				return n.Link == "connected" && n.Cloud == "Ready" && n.Version == s.Version && n.Pod == running && n.CloudPod == running
			}},
	} {
		d.say("--- %s", step.say)
		if err := step.do(ctx); err != nil {
			return err
		}
		if err := d.until(ctx, step.what, step.ok); err != nil {
			return fmt.Errorf("%w\nlogs: %s", err, d.cluster.Logs())
		}
	}
	d.say("the demo works")
	return nil
}

// end removes what the demo made.
func (d *demo) end(ctx context.Context) error {
	if d.cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	stays := d.Terminal == nil && !d.Remove || d.failed && !d.Remove || !d.made
	if !stays {
		d.say("removing the cluster")
		return devcluster.Down(ctx, d.Dir, d.Out)
	}
	var errs []error
	for i := 1; i <= d.cluster.EdgeNodeCount() && !d.failed; i++ { // as it was before
		e, err := d.cluster.EdgeNode(i)
		if err == nil {
			err = e.Rejoin(ctx)
		}
		errs = append(errs, err)
	}
	d.say("the cluster stays; %s down removes it", devcluster.Command(d.Dir))
	return errors.Join(errs...)
}
