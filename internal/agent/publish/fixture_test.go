//go:build integration

package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/events"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/internal/eventually"
)

// server is shared by the tests of this package; each has its own namespace.
var server *kubetest.Server

func TestMain(m *testing.M) {
	var err error
	server, err = kubetest.New(context.Background(), kubetest.WithControllerManager(),
		kubetest.WithAPIServerArgs("--enable-admission-plugins=OwnerReferencesPermissionEnforcement"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// What an agent may do here is what the chart lets it do, and no more.
	if err := chartuser.Install(context.Background(), server.Config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		server.Close()
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// fixture is a namespace with one Configuration, "cam".
type fixture struct {
	t     *testing.T
	name  string
	owner types.UID
	admin rest.Interface
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	cs, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	s := &fixture{t: t, admin: cs.Discovery().RESTClient()}
	var ns struct{ metav1.ObjectMeta }
	s.mustJSON(s.post("/api/v1/namespaces", map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "pub-"},
	}), &struct {
		Metadata *metav1.ObjectMeta `json:"metadata"`
	}{&ns.ObjectMeta})
	s.name = ns.Name
	s.owner = s.configuration()
	return s
}

// configuration makes the Configuration and returns its UID.
func (s *fixture) configuration() types.UID {
	s.t.Helper()
	var c v0.Configuration
	s.mustJSON(s.post(s.path("configurations"), map[string]any{
		"apiVersion": "akri.sh/v0", "kind": "Configuration", "metadata": map[string]any{"name": "cam"},
		"spec": map[string]any{"discoveryHandler": map[string]any{"name": "debugEcho"}, "capacity": 2},
	}), &c)
	return c.UID
}

func (s *fixture) path(resource string) string {
	return "/apis/akri.sh/v0/namespaces/" + s.name + "/" + resource
}

func (s *fixture) post(path string, body any) []byte {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.admin.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(raw).DoRaw(s.t.Context())
	if err != nil {
		s.t.Fatalf("post to %s: %v\n%s", path, err, out)
	}
	return out
}

func (s *fixture) mustJSON(raw []byte, into any) {
	s.t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		s.t.Fatalf("read %s: %v", raw, err)
	}
}

func (s *fixture) delete(path string) {
	s.t.Helper()
	if err := s.admin.Delete().AbsPath(path).Do(s.t.Context()).Error(); err != nil {
		s.t.Fatalf("delete %s: %v", path, err)
	}
}

// patch makes a merge patch in the name of kubectl.
func (s *fixture) patch(path, body string) {
	s.t.Helper()
	if out, err := s.admin.Patch(types.MergePatchType).AbsPath(path).Body([]byte(body)).DoRaw(s.t.Context()); err != nil {
		s.t.Fatalf("patch %s: %v\n%s", path, err, out)
	}
}

// apply makes a server-side apply as upstream's agents do: unforced.
func (s *fixture) apply(name, manager string, body any) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.admin.Patch(types.ApplyPatchType).AbsPath(s.path("instances")+"/"+name).
		Param("fieldManager", manager).Body(raw).DoRaw(s.t.Context())
	if err != nil {
		s.t.Fatalf("apply %s as %s: %v\n%s", name, manager, err, out)
	}
}

// instance reads an Instance, nil if there is none.
func (s *fixture) instance(name types.NamespacedName) *v0.Instance {
	s.t.Helper()
	raw, err := s.admin.Get().AbsPath(s.path("instances") + "/" + name.Name).DoRaw(s.t.Context())
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	o := new(v0.Instance)
	s.mustJSON(raw, o)
	return o
}

// device returns a device as the inventory of a node has it.
func (s *fixture) device(node, id string, shared bool, properties map[string]string) inventory.Device {
	return inventory.Device{
		Instance:      types.NamespacedName{Namespace: s.name, Name: v0.InstanceName("cam", v0.DeviceHash(id, node, shared))},
		Configuration: "cam",
		Owner:         s.owner,
		Reported:      discovery.Device{ID: id, Properties: properties},
		Shared:        shared,
		Capacity:      2,
		State:         v0.DeviceOnline,
		Usable:        true,
	}
}

// eventually waits until check returns nil.
func (s *fixture) eventually(what string, check func() error) {
	s.t.Helper()
	eventually.Succeeds(s.t, eventually.Patience, func(context.Context) error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// eventuallyInstance waits until an Instance is as check wants it.
func (s *fixture) eventuallyInstance(what string, name types.NamespacedName, check func(*v0.Instance) error) *v0.Instance {
	s.t.Helper()
	var last *v0.Instance
	s.eventually(what, func() error {
		last = s.instance(name)
		if last == nil {
			return errors.New("there is no Instance")
		}
		return check(last)
	})
	return last
}

func (s *fixture) eventuallyGone(name types.NamespacedName) {
	s.t.Helper()
	s.eventually("Instance gone", func() error {
		if o := s.instance(name); o != nil {
			return fmt.Errorf("there is %+v", o.Spec)
		}
		return nil
	})
}

// nodesAre checks spec.nodes.
func nodesAre(want ...string) func(*v0.Instance) error {
	return func(o *v0.Instance) error {
		if fmt.Sprint(o.Spec.Nodes) != fmt.Sprint(want) {
			return fmt.Errorf("nodes are %v, want %v", o.Spec.Nodes, want)
		}
		return nil
	}
}

// testNode is a node with its publisher.
type testNode struct {
	*Publisher
	says   *events.Writer
	t      *testing.T
	name   string
	client *kubeclient.Client
	stop   func()

	mu        sync.Mutex
	inventory *inventory.Inventory // nil unless a test has one
	writes    []string
	usage     map[types.NamespacedName]map[string]v0.Usage
}

// startNode runs a publisher until the test ends or stop is called, and waits
// until it knows the Instances.
func startNode(t *testing.T, name string) *testNode {
	t.Helper()
	n := &testNode{t: t, name: name, usage: map[types.NamespacedName]map[string]v0.Usage{}}
	cfg := chartuser.Agent(server.Config, name)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") {
				n.mu.Lock()
				n.writes = append(n.writes, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
				n.mu.Unlock()
			}
			return next.RoundTrip(r)
		})
	})
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", name)
	client, err := kubeclient.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	n.client = client
	n.says = events.New(client, name, log)
	n.Publisher = New(Options{Node: name, API: client, Events: n.says, Observed: n.sawUsage, Logger: log, Named: func(d inventory.Device, name, id string) bool {
		n.mu.Lock()
		inv := n.inventory
		n.mu.Unlock()
		return inv != nil && inv.Named(d, name, id)
	}})
	client.OnReachable(n.APIReachable)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = client.Run(ctx) })
	wg.Go(func() { n.says.Run(ctx) })
	wg.Go(func() { _ = n.Publisher.Run(ctx) })
	n.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(n.stop)
	select {
	case <-n.Synced():
	case <-time.After(eventually.Patience):
		t.Fatal("the publisher does not come up")
	}
	return n
}

func (n *testNode) sawUsage(instance types.NamespacedName, usage map[string]v0.Usage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if usage == nil {
		delete(n.usage, instance)
	} else {
		n.usage[instance] = usage
	}
}

func (n *testNode) observed(instance types.NamespacedName) (map[string]v0.Usage, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	u, ok := n.usage[instance]
	return u, ok
}

// written returns the requests that changed something, Events aside, and
// forgets them.
func (n *testNode) written() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.writes
	n.writes = nil
	return w
}

// settled waits until the publisher has nothing more to write of an Instance.
func (n *testNode) settled(instance types.NamespacedName, claims map[string]v0.Usage) {
	n.t.Helper()
	if err := n.Claim(n.t.Context(), instance, claims); err != nil {
		n.t.Fatalf("node %s: %v", n.name, err)
	}
}

func (n *testNode) usageOf() v0.Usage { return v0.Usage{Node: n.name, Door: v0.DoorInstance} }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// testWriter logs to a test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}
