package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/samples"
)

const (
	release   = "akri"
	namespace = "default"
)

// stepTimeout is how long a step may take before the demo gives up.
const stepTimeout = 5 * time.Minute

// Options configure the demo.
type Options struct {
	Dir     string // of the cluster; "" means devcluster.DefaultDir
	Repo    string // checkout of the repository
	Subject string // name of a subject; "" means to choose
	// Terminal is where keys come from and the table is drawn. Nil means that
	// nobody watches: plug a device, wait for its broker, unplug it, end.
	Terminal *os.File
	Out      io.Writer
	// Remove removes the cluster at the end even if nobody watches.
	Remove bool
	// Listen is an address at which other machines can reach the dashboard, or "".
	Listen string
	Sys    fs.FS // /sys
}

// demo is a running demo.
type demo struct {
	Options
	subject Subject
	cluster *devcluster.Cluster
	api     client.Client
	made    bool // this demo has made the cluster, and removes it
	failed  bool // something failed: keep the logs
	// What this demo has made in a cluster that existed before.
	installed bool // the chart
	objects   []*unstructured.Unstructured
	plugged   []string
	listener  *bounded.Listener // for other machines; nil for none
	shared    []string          // URLs of the dashboard for them
	token     string            // of the dashboard, "" if it is not the demo's
	pictures  pictures          // of cameras, beside the subject
}

// Run runs the demo until ctx is done or the person quits or, if nobody
// watches, until it has shown one device come and go. Then it removes what it
// made.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o}
	if d.subject, err = Choose(o.Subject); err != nil {
		return err
	}
	d.pictures = choosePictures(o.Sys, d.subject)
	if err := d.listen(ctx); err != nil {
		return err
	}
	if err := d.listenPictures(ctx); err != nil {
		return err
	}
	d.say("Akri demo with %s. It makes a cluster on this machine and touches nothing else.", d.subject.Words)
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
	return d.check(ctx)
}

// prepare starts everything that the table shows.
func (d *demo) prepare(ctx context.Context) error {
	began := time.Now()
	_, err := devcluster.Open(d.Dir)
	d.made = errors.Is(err, devcluster.ErrNoCluster)
	if d.cluster, err = devcluster.Up(ctx, devcluster.Options{Dir: d.Dir, Repo: d.Repo, Progress: d.Out, Install: true}); err != nil {
		return err
	}
	if d.api, err = newClient(d.cluster); err != nil {
		return err
	}
	demos, err := mark(ctx, d.api, d.made)
	if err != nil {
		return err
	}
	archives, err := images.Build(ctx, images.Options{Module: d.Repo, Out: filepath.Join(d.Repo, "out"),
		Platforms: []images.Platform{{Arch: runtime.GOARCH}}, Images: d.pictures.needed(images.All()), Log: d.Out})
	if err != nil {
		return err
	}
	var paths []string
	for _, a := range archives {
		paths = append(paths, a.Path)
	}
	d.say("loading %d images", len(paths))
	if err := d.cluster.LoadImages(ctx, paths...); err != nil {
		return err
	}
	if err := d.install(ctx, demos); err != nil {
		return err
	}
	data, err := samples.Manifest(d.subject.Manifest)
	if err != nil {
		return err
	}
	if err := d.apply(ctx, data); err != nil {
		return fmt.Errorf("apply samples/%s: %w", d.subject.Manifest, err)
	}
	d.say("applied samples/%s", d.subject.Manifest)
	if d.token != "" {
		if err := d.waitDashboard(ctx); err != nil {
			return err
		}
	}
	if err := d.startPictures(ctx); err != nil {
		return err
	}
	if err := d.share(ctx); err != nil {
		return err
	}
	if err := d.awaitPictures(ctx); err != nil {
		return err
	}
	d.say("everything runs after %.0f s", time.Since(began).Seconds())
	if d.subject.Pluggable && len(d.subject.Devices(d.Sys)) == 0 {
		return d.plug(ctx)
	}
	return nil
}

// install installs the chart, or upgrades what an earlier demo has installed.
// Somebody else's Akri is used as it is.
func (d *demo) install(ctx context.Context, demos bool) error {
	there, err := d.cluster.Installed(release, namespace)
	if err != nil {
		return err
	}
	if there && !demos {
		d.say("using the Akri that is installed")
		return d.finds(ctx)
	}
	d.installed = !there
	d.say("installing the chart")
	if err := d.makeToken(ctx); err != nil {
		return err
	}
	values, err := helm.ParseValues(slices.Concat(d.pictures.values(), dashboardValues(), []string{"udev.discovery.enabled=true"}))
	if err != nil {
		return err
	}
	return d.cluster.InstallChart(ctx, helm.InstallOptions{ChartDir: filepath.Join(d.Repo, "charts", "akri"),
		Release: release, Namespace: namespace, Values: values, KeepValues: true, Wait: stepTimeout})
}

func (d *demo) plug(ctx context.Context) error {
	name, err := d.cluster.Plug(ctx)
	if err != nil {
		return err
	}
	d.plugged = append(d.plugged, name)
	return nil
}

func (d *demo) unplug(ctx context.Context) error {
	if len(d.plugged) == 0 {
		return nil
	}
	last := len(d.plugged) - 1
	_, err := d.cluster.Unplug(ctx, d.plugged[last])
	d.plugged = d.plugged[:last]
	return err
}

// look returns the current rows of the table.
func (d *demo) look(ctx context.Context) ([]row, error) {
	instances, pods, err := list(ctx, d.api)
	if err != nil {
		return nil, err
	}
	return view(d.subject.Devices(d.Sys), d.subject.Configuration, instances, pods), nil
}

// check is the demo without a person: a device comes, gets its broker, goes.
func (d *demo) check(ctx context.Context) error {
	if d.subject.Pluggable && len(d.plugged) == 0 {
		if err := d.plug(ctx); err != nil {
			return err
		}
	}
	rows, err := d.until(ctx, "every device has a running broker", running)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("this machine has no %s", d.subject.Words)
	}
	fmt.Fprintln(d.Out, strings.Join(table(rows, 0), "\n"))
	if err := errors.Join(d.askBroker(ctx, rows[0].instance), d.askDashboard(ctx)); err != nil {
		return err
	}
	if err := d.checkPictures(ctx); err != nil {
		return err
	}
	if len(d.plugged) > 0 {
		name := "/dev/" + d.plugged[len(d.plugged)-1]
		if err := d.unplug(ctx); err != nil {
			return err
		}
		d.say("unplugged %s", name)
		_, err := d.until(ctx, name+" is gone", func(rows []row) bool {
			for _, r := range rows {
				if r.device == name {
					return false
				}
			}
			return true
		})
		if err != nil {
			return err
		}
		d.say("%s, its Instance and its broker are gone", name)
	}
	d.say("the demo works; %s", strings.Join(d.pageText(), "\n"))
	return nil
}

// until polls until a condition holds.
func (d *demo) until(ctx context.Context, what string, ok func([]row) bool) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		rows, err := d.look(ctx)
		if err == nil && ok(rows) {
			return rows, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait until %s: %w (last: %v)\n%s\nlogs: %s", what, context.Cause(ctx), err,
				strings.Join(table(rows, 0), "\n"), d.cluster.Logs())
		case <-tick.C:
		}
	}
}

// end removes what the demo made.
func (d *demo) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	if d.listener != nil {
		d.listener.Close() // it may be closed already
	}
	if err := d.endPictures(); err != nil {
		d.say("%v", err) // the cluster's end ends them too
	}
	if d.failed && d.made && !d.Remove {
		if _, err := devcluster.Open(d.Dir); err == nil { // there may be none yet
			d.say("the cluster stays, so that you can read its logs; %s down removes it", devcluster.Command(d.Dir))
		}
		return nil
	}
	if d.Terminal == nil && !d.Remove {
		if d.cluster != nil {
			d.say("the cluster stays; %s down removes it", devcluster.Command(d.Dir))
		}
		return nil
	}
	if d.made {
		d.say("removing the cluster")
		return devcluster.Down(ctx, d.Dir, d.Out)
	}
	if d.cluster == nil {
		return nil
	}
	d.say("the cluster existed before and stays (%s down removes it); removing what this demo made", devcluster.Command(d.Dir))
	var errs []error
	for len(d.plugged) > 0 {
		errs = append(errs, d.unplug(ctx))
	}
	if d.api != nil {
		errs = append(errs, remove(ctx, d.api, d.objects))
	}
	if d.installed {
		// Its hooks would delete other people's Configurations.
		errs = append(errs, d.cluster.Uninstall(ctx, helm.UninstallOptions{Release: release, Namespace: namespace, NoHooks: true}))
	}
	return errors.Join(errs...)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }
