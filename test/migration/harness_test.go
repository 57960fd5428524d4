//go:build integration

// Package migration tests taking over what upstream's agents and controller
// have left in a cluster.
//
// The files in testdata are what they write, request by request: the comment
// above each object says how it is written and under which field manager. "uid
// KIND NAME" stands for the UID of an existing object.
package migration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/events"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/agent/publish"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/internal/eventually"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// fixture is one that upstream has run in. All objects are in the namespace
// "default".
type fixture struct {
	t      *testing.T
	server *kubetest.Server
	admin  client.Client
}

// newFixture starts a server with upstream's CRDs of a release, two nodes, and
// what upstream has written.
func newFixture(t *testing.T, release string) *fixture {
	t.Helper()
	dir := filepath.Join("testdata", release)
	crds, err := filepath.Abs(filepath.Join(dir, "crds"))
	if err != nil {
		t.Fatal(err)
	}
	c := &fixture{t: t, server: kubetest.Start(t, kubetest.WithCRDs(crds), kubetest.WithControllerManager("garbage-collector-controller"))}
	scheme, err := view.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if c.admin, err = client.New(c.server.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node-a", "node-b"} {
		node := &corev1.Node{}
		node.Name = name
		if err := c.admin.Create(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if err := c.admin.Status().Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	c.play(filepath.Join(dir, "objects.yaml"))
	var pods corev1.PodList
	c.list(&pods)
	for i := range pods.Items {
		pods.Items[i].Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		if err := c.admin.Status().Update(t.Context(), &pods.Items[i]); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// play makes the requests in a file.
func (c *fixture) play(file string) {
	c.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	uid := func(kind, name string) string { return string(c.uid(kind, name)) }
	for _, doc := range strings.Split(string(text), "\n---\n") {
		first, _, _ := strings.Cut(doc, "\n")
		words := strings.Fields(first)
		if len(words) != 4 {
			c.t.Fatalf("%s: %q does not say how it is written", file, first)
		}
		how, manager := words[1], client.FieldOwner(words[3])
		parsed, err := template.New("").Funcs(template.FuncMap{"uid": uid}).Parse(doc)
		if err != nil {
			c.t.Fatalf("%s: %v", file, err)
		}
		var body bytes.Buffer
		if err := parsed.Execute(&body, nil); err != nil {
			c.t.Fatalf("%s: %v", file, err)
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(body.Bytes(), &o.Object); err != nil {
			c.t.Fatalf("%s: %v\n%s", file, err, body.String())
		}
		raw, err := o.MarshalJSON()
		if err != nil {
			c.t.Fatal(err)
		}
		switch how {
		case "create":
			err = c.admin.Create(c.t.Context(), o, manager)
		case "apply":
			err = c.admin.Patch(c.t.Context(), o, client.RawPatch(types.ApplyPatchType, raw), manager)
		case "merge":
			err = c.admin.Patch(c.t.Context(), o, client.RawPatch(types.MergePatchType, raw), manager)
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			c.t.Fatalf("%s: %s %s %s as %s: %v", file, how, o.GetKind(), o.GetName(), words[3], err)
		}
	}
}

func (c *fixture) uid(kind, name string) types.UID {
	c.t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(v0.GroupVersion.WithKind(kind))
	c.get(name, o)
	return o.GetUID()
}

// upgradeCRDs does what docs/from-upstream.md says first.
func (c *fixture) upgradeCRDs() {
	c.t.Helper()
	dir := filepath.Join("..", "..", "charts", "akri", "crds")
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no CRDs in %s: %v", dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &o.Object); err != nil {
			c.t.Fatal(err)
		}
		raw, err := o.MarshalJSON()
		if err != nil {
			c.t.Fatal(err)
		}
		if err := c.admin.Patch(c.t.Context(), o, client.RawPatch(types.ApplyPatchType, raw), client.FieldOwner("kubectl"), client.ForceOwnership); err != nil {
			c.t.Fatal(err)
		}
	}
	cs, err := kubernetes.NewForConfig(c.server.Config)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, resource := range []string{"configurations", "instances"} {
		c.eventually("status of "+resource+" is served", func() error {
			// What is not served at all is "the server could not find the
			// requested resource".
			err := cs.Discovery().RESTClient().Get().AbsPath("/apis/akri.sh/v0/namespaces/default/" + resource + "/none/status").Do(c.t.Context()).Error()
			if err == nil || !strings.Contains(err.Error(), `"none" not found`) {
				return fmt.Errorf("it says %v", err)
			}
			return nil
		})
	}
}

// startController runs the controller with the rights that the chart gives it.
func (c *fixture) startController() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controller.New(ctx, controller.Options{
		Config: chartuser.Controller(c.server.Config), MetricsAddress: "0", ProbeAddress: "0", Log: logger(c.t),
	})
	if err != nil {
		cancel()
		c.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("the controller ended: %v", err)
		}
	})
}

// agent is the part of an agent that matters here: its publisher and its
// ledger, with the token of an agent.
type agent struct {
	*publish.Publisher
	*ledger.Ledger
	c    *fixture
	node string
}

func (c *fixture) startAgent(node string) *agent {
	c.t.Helper()
	cfg, err := chartuser.AgentToken(c.t.Context(), c.server.Config, node)
	if err != nil {
		c.t.Fatal(err)
	}
	log := logger(c.t).With("node", node)
	api, err := kubeclient.New(cfg, log)
	if err != nil {
		c.t.Fatal(err)
	}
	says := events.New(api, node, log)
	a := &agent{c: c, node: node}
	a.Publisher = publish.New(publish.Options{
		Node: node, API: api, Events: says, Logger: log,
		Observed: func(instance types.NamespacedName, usage map[string]v0.Usage) { a.Observed(instance, usage) },
	})
	a.Ledger = ledger.New(ledger.Options{
		Node: node, Recorder: a.Publisher, Logger: log,
		Store: &checkpoint.File[ledger.State]{Path: filepath.Join(c.t.TempDir(), "claims.json"), Version: ledger.StateVersion},
	})
	api.OnReachable(a.APIReachable)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = api.Run(ctx) })
	wg.Go(func() { says.Run(ctx) })
	wg.Go(func() { _ = a.Run(ctx) })
	c.t.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-a.Synced():
	case <-time.After(eventually.Patience):
		c.t.Fatal("the publisher does not come up")
	}
	return a
}

// sees reports a device of a Configuration, as a handler does.
func (a *agent) sees(configuration, id string, shared bool, capacity int, properties, ofConfiguration map[string]string) {
	a.c.t.Helper()
	d := inventory.Device{
		Instance: types.NamespacedName{
			Namespace: "default", Name: v0.InstanceName(configuration, v0.DeviceHash(id, a.node, shared)),
		},
		Configuration: configuration, Owner: a.c.uid("Configuration", configuration),
		Reported:         discovery.Device{ID: id, Properties: properties},
		BrokerProperties: ofConfiguration,
		Shared:           shared, Capacity: capacity, State: v0.DeviceOnline, Usable: true,
	}
	a.Publisher.DeviceChanged(d)
	a.Ledger.DeviceChanged(d)
	a.ConfigurationStatus(types.NamespacedName{Namespace: "default", Name: configuration}, d.Owner,
		v0.ConfigurationNode{State: v0.DiscoveryActive, Devices: 1})
}

func (c *fixture) get(name string, o client.Object) {
	c.t.Helper()
	if err := c.admin.Get(c.t.Context(), client.ObjectKey{Namespace: "default", Name: name}, o); err != nil {
		c.t.Fatal(err)
	}
}

func (c *fixture) list(l client.ObjectList) {
	c.t.Helper()
	if err := c.admin.List(c.t.Context(), l, client.InNamespace("default")); err != nil {
		c.t.Fatal(err)
	}
}

// objects returns everything that upstream has made, "Kind/name" to UID. For
// objects that are being deleted the UID is "going".
func (c *fixture) objects(kinds ...schema.GroupVersionKind) map[string]string {
	c.t.Helper()
	out := map[string]string{}
	for _, k := range kinds {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(k)
		c.list(l)
		for _, o := range l.Items {
			if o.GetName() == "kubernetes" { // the Service of every cluster
				continue
			}
			uid := string(o.GetUID())
			if o.GetDeletionTimestamp() != nil {
				uid = "going"
			}
			out[k.Kind+"/"+o.GetName()] = uid
		}
	}
	return out
}

func (c *fixture) eventually(what string, check func() error) {
	c.t.Helper()
	eventually.Succeeds(c.t, eventually.Patience, func(context.Context) error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, nil))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}
