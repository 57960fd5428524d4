//go:build integration

package edgelink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	core "github.com/akri-go/akri/internal/cloud"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/testlog"
)

// node is an edge node that registers itself and follows its Pods, as a kubelet
// behind edgecore does.
type node struct {
	name string
	boot string // of its machine; its store has the same name
	mu   sync.Mutex
	has  []edgev1.Item
	got  []string // what came of interests, in order
	code map[uint64]int
}

func (n *node) Connected(ctx context.Context, _ edgev1.Hello, send func(context.Context, edgev1.Message) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = nil
	for _, m := range []edgev1.Message{
		&edgev1.Call{ID: 1, Method: "POST", Path: "/api/v1/nodes", ContentType: "application/json",
			Body: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Node","metadata":{"name":%q}}`, n.name)},
		&edgev1.Interest{ID: 2, Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + n.name},
		&edgev1.Have{ID: 2, Digest: edgev1.Digest(n.has)},
	} {
		if send(ctx, m) != nil {
			return
		}
	}
}

func (n *node) Receive(m edgev1.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := m.(*edgev1.Reply); ok { // in no order with the rest
		n.code[r.ID] = r.Status
		return
	}
	n.got = append(n.got, edgev1.KindOf(m).String())
	if put, ok := m.(*edgev1.Put); ok {
		if o, err := itemOf(put); err == nil {
			n.has = append([]edgev1.Item{}, o) // there is one Pod
		}
	}
}

func (n *node) Disconnected(error) {}

// said waits until these are the last of what came.
func (n *node) said(t *testing.T, want string) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if got := strings.Join(n.got, " "); !strings.HasSuffix(got, want) {
			return fmt.Errorf("it got %q, want %q", got, want)
		}
		return nil
	})
}

// TestCloudcore runs cloudcore as it is, with the rights of its chart and no
// others, against a real API server; the edge nodes have the real join and link.
func TestCloudcore(t *testing.T) {
	s := kubetest.Start(t, kubetest.WithCRDs(""), kubetest.WithNodeRestriction())
	admin, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	own, err := chartuser.Cloudcore(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, *kubetest.Server, kubernetes.Interface, *rest.Config){
		"life": life, "twins": twinsAreTold,
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			t.Cleanup(func() { hangUp(t, s.Config, own) })
			test(t, s, admin, own)
		})
	}
}

// hangUp ends connections to the API server, which the next test has, too: clients
// of Go keep them for 90 s.
func hangUp(t *testing.T, clients ...*rest.Config) {
	t.Helper()
	for _, c := range clients {
		shared, err := rest.TransportFor(c) // there is one for each kind of credentials
		if err != nil {
			t.Error(err)
			continue
		}
		utilnet.CloseIdleConnectionsFor(shared)
	}
}

// A node joins, registers, gets its labels, Lease and Pods; cloudcore ends and is
// replaced, and the node finds that it has all.
func life(t *testing.T, s *kubetest.Server, admin kubernetes.Interface, own *rest.Config) {
	first := runCore(t, own)
	for _, path := range []string{"/healthz", "/metrics"} {
		if code, text := get(t, first.health, path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	secret, err := trust.NewCluster(s.Config, chartuser.CloudcoreNamespace, "")
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := trust.New(secret, secret, slog.New(slog.DiscardHandler)).CreateToken(t.Context(), "edge-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	version, err := join.Join(t.Context(), join.Options{Address: first.join, Node: "edge-1", Dir: dir,
		Log: slog.New(slog.DiscardHandler)}, token)
	if err != nil {
		t.Fatal(err)
	}
	if server, err := admin.Discovery().ServerVersion(); err != nil || version != server.GitVersion {
		t.Errorf("the cluster's version: %q, want %v, %v", version, server, err)
	}
	n := &node{name: "edge-1", code: map[uint64]int{}}
	unplug := plug(t, first.hub, dir, n)
	n.said(t, "Synced")
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		o, err := admin.CoreV1().Nodes().Get(ctx, "edge-1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if _, labelled := o.Labels["node-role.kubernetes.io/edge"]; !labelled {
			return errors.New("the Node has no label")
		}
		_, err = admin.CoordinationV1().Leases("kube-node-lease").Get(ctx, "edge-1", metav1.GetOptions{})
		return err
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{
		NodeName: "edge-1", Containers: []corev1.Container{{Name: "c", Image: "none"}},
	}}
	if _, err := admin.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.said(t, "Put Put") // as it was made, and without tolerationSeconds
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.code[1] != http.StatusCreated {
			return fmt.Errorf("POST nodes: %d", n.code[1])
		}
		return nil
	})
	first.stop()
	unplug()

	second := runCore(t, own)
	plug(t, second.hub, dir, n)
	n.said(t, "Synced")
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range n.got {
		if k == "Put" || k == "Differ" || k == "Gone" || k == "Refused" {
			t.Errorf("nothing has changed, and cloudcore sent %v", n.got)
		}
	}
}

// twinsAreTold connects two machines that have certificates of one node: an
// Event on the Node says so, which nobody needs another right for.
func twinsAreTold(t *testing.T, s *kubetest.Server, admin kubernetes.Interface, own *rest.Config) {
	core := runCore(t, own)
	secret, err := trust.NewCluster(s.Config, chartuser.CloudcoreNamespace, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, boot := range []string{"first", "second"} {
		token, _, err := trust.New(secret, secret, slog.New(slog.DiscardHandler)).CreateToken(t.Context(), "edge-2", 0)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		o := join.Options{Address: core.join, Node: "edge-2", Dir: dir, Log: slog.New(slog.DiscardHandler)}
		if _, err := join.Join(t.Context(), o, token); err != nil {
			t.Fatal(err)
		}
		n := &node{name: "edge-2", boot: boot, code: map[uint64]int{}}
		plug(t, core.hub, dir, n)
		n.said(t, "Synced")
	}
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		all, err := admin.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Node,reason=TwoMachines"})
		if err != nil {
			return err
		}
		for _, e := range all.Items {
			if e.InvolvedObject.Name == "edge-2" && e.InvolvedObject.UID != "" && strings.Contains(e.Message, "keadm reset edge-2") {
				return nil
			}
		}
		return fmt.Errorf("no Event says so: %+v", all.Items)
	})
}

// running is a cloudcore.
type running struct {
	hub, join, health string
	stop              func()
}

func runCore(t *testing.T, cfg *rest.Config) *running {
	t.Helper()
	log := &testlog.Buffer{}
	o := core.Options{Config: core.Default(), API: cfg, Log: slog.New(slog.NewTextHandler(log, nil))}
	o.Hub.Address, o.Join.Address = "127.0.0.1:0", "127.0.0.1:0"
	o.Health.Address = freeport.Address(t)
	o.Kubernetes.Namespace = chartuser.CloudcoreNamespace
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan [2]string, 1)
	o.Listening = func(hub, join string) { listening <- [2]string{hub, join} }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- core.Run(ctx, o) }()
	r := &running{health: o.Health.Address, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("cloudcore ends: %v", err)
		}
		if t.Failed() {
			t.Logf("cloudcore's log:\n%s", log)
		}
	})}
	t.Cleanup(r.stop)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if code, text := get(t, r.health, "/readyz"); code != http.StatusOK {
			return fmt.Errorf("not ready: %d %s", code, text)
		}
		return nil
	})
	addresses := <-listening
	r.hub, r.join = addresses[0], addresses[1]
	return r
}

// plug keeps a link until the function it returns is called.
func plug(t *testing.T, address, dir string, n *node) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- link.Run(ctx, link.Options{
			Address: address, TLS: join.TLS(dir), Hello: edgev1.Hello{Node: n.name, Boot: n.boot, Store: "s" + n.boot},
			Log: slog.New(slog.DiscardHandler), Session: session.Options{},
		}, n)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func itemOf(m *edgev1.Put) (edgev1.Item, error) {
	var o metav1.PartialObjectMetadata
	err := json.Unmarshal(m.Object, &o)
	return edgev1.Item{Namespace: o.Namespace, Name: o.Name, UID: string(o.UID), Version: m.Version}, err
}
