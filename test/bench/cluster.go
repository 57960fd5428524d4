package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/helm"
)

// withCluster makes a cluster with the chart, calls use and removes the
// cluster.
func withCluster(ctx context.Context, nodes int, namespace string, use func(*devcluster.Cluster) error) (err error) {
	dir, err := os.MkdirTemp("", "akri-bench-")
	if err != nil {
		return err
	}
	defer func() {
		down, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		err = errors.Join(err, devcluster.Down(down, dir, os.Stderr), os.RemoveAll(dir))
	}()
	var users []string
	for _, name := range auditedUsers() {
		users = append(users, "system:serviceaccount:"+namespace+":"+name)
	}
	c, err := devcluster.Up(ctx, devcluster.Options{Dir: dir, Nodes: nodes, Progress: os.Stderr, Install: true, AuditUsers: users})
	if err != nil {
		return err
	}
	if _, err := c.LoadImageDir(ctx, filepath.Join("out", "images")); err != nil {
		return err
	}
	if err := install(ctx, c, namespace); err != nil {
		return err
	}
	return use(c)
}

// install installs the chart, or upgrades it, with values beside those of all
// figures.
func install(ctx context.Context, c *devcluster.Cluster, namespace string, more ...string) error {
	values, err := helm.ParseValues(append([]string{
		"udev.discovery.enabled=true", "debugEcho.discovery.enabled=true", "agent.allowDebugEcho=true"}, more...))
	if err != nil {
		return err
	}
	return c.InstallChart(ctx, helm.InstallOptions{
		ChartDir: filepath.Join("charts", "akri"), Release: "akri", Namespace: namespace, Values: values, Wait: 3 * time.Minute})
}

// connect makes what measurements on a cluster share.
func connect(ctx context.Context, o options, kubeconfig string) (*bench, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v0.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	b := &bench{options: o}
	if b.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	if b.metrics, err = metricsReader(config); err != nil {
		return nil, err
	}
	nodes, err := b.listNodes(ctx)
	for _, n := range nodes {
		b.nodes = append(b.nodes, n.Name)
	}
	return b, err
}

// metricsReader returns a function that reads the API server's metrics.
func metricsReader(config *rest.Config) (func(context.Context) ([]byte, error), error) {
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion = "/api", &schema.GroupVersion{Version: "v1"}
	c.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	api, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for metrics: %w", err)
	}
	return func(ctx context.Context) ([]byte, error) {
		return api.Get().AbsPath("/metrics").Do(ctx).Raw()
	}, nil
}

func (b *bench) setUp(ctx context.Context) error {
	var agents corev1.PodList
	if err := b.api.List(ctx, &agents, client.InNamespace(b.release), client.MatchingLabels{"app.kubernetes.io/name": "akri-agent"}); err != nil {
		return fmt.Errorf("look for the agent: %w", err)
	}
	if len(agents.Items) == 0 {
		return fmt.Errorf("no agent runs in namespace %s; name the release's namespace with -release-namespace", b.release)
	}
	err := b.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make namespace %s: %w", b.namespace, err)
	}
	return nil
}

func (b *bench) tearDown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := b.api.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}})
	if err != nil && !apierrors.IsNotFound(err) {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}

// configure makes a Configuration and returns a function that deletes it and
// waits until its Instances are gone.
func (b *bench) configure(ctx context.Context, c *v0.Configuration) (func() error, error) {
	c.Namespace = b.namespace
	if err := b.api.Create(ctx, c); err != nil {
		return nil, fmt.Errorf("make Configuration %s: %w", c.Name, err)
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		w, err := b.watchInstances(ctx)
		if err != nil {
			return err
		}
		defer w.Stop()
		if err := b.api.Delete(ctx, c); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		_, err = w.until(ctx, func() bool { return len(w.there) == 0 })
		if err != nil {
			return fmt.Errorf("wait for the Instances of %s to go: %w", c.Name, err)
		}
		return nil
	}, nil
}

// instances follows the Instances of the namespace.
type instances struct {
	watch.Interface
	bench *bench
	there map[string]*v0.Instance
	// came and went are the times at which each was first and last seen.
	came, went map[string]time.Time
}

// watchInstances starts to follow; existing Instances count as having come.
func (b *bench) watchInstances(ctx context.Context) (*instances, error) {
	w := &instances{bench: b, there: map[string]*v0.Instance{}, came: map[string]time.Time{}, went: map[string]time.Time{}}
	list, err := w.start(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		w.there[list.Items[i].Name] = &list.Items[i]
	}
	return w, nil
}

// start lists, and watches from there.
func (w *instances) start(ctx context.Context) (*v0.InstanceList, error) {
	list := &v0.InstanceList{}
	if err := w.bench.api.List(ctx, list, client.InNamespace(w.bench.namespace)); err != nil {
		return nil, fmt.Errorf("list Instances: %w", err)
	}
	var err error
	w.Interface, err = w.bench.api.Watch(ctx, list, client.InNamespace(w.bench.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		return nil, fmt.Errorf("watch Instances: %w", err)
	}
	return list, nil
}

// again lists again when the API server has ended the watch, as it does for a
// while after a CRD was updated. Events in between are seen late.
func (w *instances) again(ctx context.Context) (at time.Time, err error) {
	list, err := w.start(ctx)
	if err != nil {
		return time.Time{}, err
	}
	at = time.Now()
	gone := maps.Clone(w.there)
	for i := range list.Items {
		delete(gone, list.Items[i].Name)
		w.see(&list.Items[i], at)
	}
	for name := range gone {
		delete(w.there, name)
		w.went[name] = at
	}
	return at, nil
}

func (w *instances) see(i *v0.Instance, at time.Time) {
	if w.there[i.Name] == nil {
		w.came[i.Name] = at
	}
	w.there[i.Name] = i
}

// complete reports whether there are n Instances, each with this many nodes.
func (w *instances) complete(n, nodes int) bool {
	if len(w.there) < n {
		return false
	}
	for _, i := range w.there {
		if len(i.Spec.Nodes) < nodes {
			return false
		}
	}
	return true
}

// until takes events until done; it returns the time of the last.
func (w *instances) until(ctx context.Context, done func() bool) (time.Time, error) {
	at := time.Now()
	for !done() {
		select {
		case <-ctx.Done():
			return at, fmt.Errorf("%d Instances are there: %w", len(w.there), ctx.Err())
		case e, ok := <-w.ResultChan():
			if !ok {
				var err error
				if at, err = w.again(ctx); err != nil {
					return at, err
				}
				continue
			}
			i, isInstance := e.Object.(*v0.Instance)
			if !isInstance {
				return at, fmt.Errorf("watch Instances: %v", e.Object)
			}
			at = time.Now()
			if e.Type == watch.Deleted {
				delete(w.there, i.Name)
				w.went[i.Name] = at
			} else {
				w.see(i, at)
			}
		}
	}
	return at, nil
}
