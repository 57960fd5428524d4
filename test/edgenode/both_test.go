//go:build integration

package edgenode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	gosync "sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/cloud/edgecontroller"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
	"github.com/akri-go/akri/internal/edge/metamanager/localca"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
)

const (
	node = "edge-1"
	soon = eventually.Patience
)

// both is an edge node and its cluster.
type both struct {
	t          *testing.T
	server     *kubetest.Server
	controller *edgecontroller.Controller
	log        *slog.Logger
	dir        string // of the edge node
	ca         *localca.Authority
	address    string // of the local API
	store      *store.Store
	outbox     *outbox.Outbox
	sync       *sync.Sync
	// near is the kubelet's client of the local API, far the administrator's.
	near, far kubernetes.Interface
	// local is the configuration of a client of the local API that says who it is.
	local *rest.Config
	// cluster is the administrator's configuration.
	cluster *rest.Config
	cut     func()
	stop    func() // ends edgecore's parts
}

// shared is the API server of all tests here.
var shared = kubetest.Share(kubetest.WithCRDs(""), kubetest.WithNodeRestriction())

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func start(t *testing.T) *both {
	t.Helper()
	server := shared.Start(t)
	said := &testlog.Buffer{}
	b := &both{t: t, server: server, log: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})),
		dir: t.TempDir(), address: "127.0.0.1:0", far: kubernetes.NewForConfigOrDie(server.Config), cluster: server.Config}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of both:\n%s", said)
		}
	})
	client, err := kube.New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	if b.controller, err = edgecontroller.New(edgecontroller.Options{Client: client, Log: b.log}); err != nil {
		t.Fatal(err)
	}
	background(t, b.controller.Run)
	eventually.Succeeds(t, soon, func(context.Context) error { return b.controller.Ready() })

	if b.ca, err = localca.Open(filepath.Join(b.dir, "pki")); err != nil {
		t.Fatal(err)
	}
	b.run()
	mine, key, err := b.ca.Client(api.NodeUser(node), "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	b.local = &rest.Config{Host: "https://" + b.address, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: b.ca.CertPEM}}
	kubelet := rest.CopyConfig(b.local)
	kubelet.ContentType, kubelet.CertData, kubelet.KeyData = "application/json", mine, key
	b.near = kubernetes.NewForConfigOrDie(kubelet)
	b.join()
	t.Cleanup(func() {
		b.cut()
		b.stop()
	})
	return b
}

// file is that of the store.
func (b *both) file() string { return filepath.Join(b.dir, "edgecore.db") }

// run starts edgecore's parts, cut, at the same address as before.
func (b *both) run() {
	b.t.Helper()
	var err error
	if b.store, err = store.Open(b.t.Context(), store.Options{Path: b.file(), Log: b.log}); err != nil {
		b.t.Fatal(err)
	}
	var local *api.Server
	b.sync = sync.New(sync.Options{
		Store: b.store, Log: b.log, Node: node,
		First:  func(ctx context.Context) { b.outbox.Replay(ctx) },
		Joined: func(ctx context.Context) { local.Prefetch(ctx) },
	})
	b.outbox = outbox.New(outbox.Options{Store: b.store, Do: b.sync.Do, Kept: b.sync.Again, Log: b.log})
	signer, err := tokens.Open(filepath.Join(b.dir, "pki"))
	if err != nil {
		b.t.Fatal(err)
	}
	local = api.New(api.Options{Node: node, Store: b.store, Cloud: b.sync, Outbox: b.outbox, Log: b.log,
		Authenticate: api.Users(node, b.ca.User), Signer: signer})
	l, err := api.Listen(b.t.Context(), b.address, local.Authenticate)
	if err != nil {
		b.t.Fatal(err)
	}
	b.address = l.Addr().String()
	cert, err := b.ca.Server("127.0.0.1")
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- local.Serve(ctx, l, b.ca.Config(cert)) }()
	st := b.store
	b.stop = gosync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			b.t.Error(err)
		}
	})
}

func background(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// join begins a session. Each end's messages are taken one at a time, in order.
func (b *both) join() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	up, down := make(chan edgev1.Message, 16), make(chan edgev1.Message, 16)
	send := func(to chan edgev1.Message) func(context.Context, edgev1.Message) error {
		return func(of context.Context, m edgev1.Message) error {
			select {
			case to <- m:
				return nil
			case <-of.Done():
				return of.Err()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	var s cloudhub.Session = b.controller.Open(ctx, node, edgev1.Hello{Protocol: edgev1.Protocol, Node: node}, send(down))
	b.sync.Connected(ctx, edgev1.Hello{Protocol: edgev1.Protocol, Node: node}, send(up))
	deliver := func(from chan edgev1.Message, to func(edgev1.Message)) <-chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-from:
					to(m)
				}
			}
		}()
		return done
	}
	a, z := deliver(up, s.Receive), deliver(down, b.sync.Receive)
	ended := false
	b.cut = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		<-a
		<-z
		s.Close()
		b.sync.Disconnected(context.Canceled)
	}
}

// What a kubelet does from its registration on, connected, cut and joined again,
// with the Node authorizer and NodeRestriction behind it.
func TestKubelet(t *testing.T) {
	b := start(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Registration.
	_, err := b.near.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	must(err)
	_, err = b.near.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	must(err)
	if _, err := b.near.StorageV1().CSINodes().Get(ctx, node, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("CSINode: %v", err)
	}
	_, err = b.near.StorageV1().CSINodes().Create(ctx, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	must(err)
	_, err = b.near.CoordinationV1().Leases("kube-node-lease").Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	must(err)
	_, err = b.near.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	must(err)
	eventually.Succeeds(t, soon, func(ctx context.Context) error {
		_, err := b.far.CoordinationV1().Leases("kube-node-lease").Get(ctx, node, metav1.GetOptions{})
		return err
	})

	// Pods and what they name.
	_, err = b.far.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cfg"}, Data: map[string]string{"x": "1"}}, metav1.CreateOptions{})
	must(err)
	if _, err = b.far.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := inform(ctx, b.near, "pods", "", "spec.nodeName="+node, &corev1.Pod{})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: corev1.PodSpec{NodeName: node, ServiceAccountName: "sa",
		Volumes: []corev1.Volume{{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}}},
		Containers: []corev1.Container{{Name: "c", Image: "i", EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}}}}}},
	}}
	pod, err = b.far.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	must(err)
	has := func(i cache.SharedIndexInformer, what string, is func(any) bool) {
		t.Helper()
		eventually.Succeeds(t, soon, func(context.Context) error {
			for _, o := range i.GetStore().List() {
				if is(o) {
					return nil
				}
			}
			return fmt.Errorf("%s is not seen: %v", what, i.GetStore().ListKeys())
		})
	}
	has(pods, "the Pod", func(o any) bool { p, ok := o.(*corev1.Pod); return ok && p.UID == pod.UID })
	maps := inform(ctx, b.near, "configmaps", "default", "metadata.name=cfg", &corev1.ConfigMap{})
	has(maps, "the ConfigMap", func(o any) bool { m, ok := o.(*corev1.ConfigMap); return ok && m.Data["x"] == "1" })
	raw := b.near.CoreV1().RESTClient()
	for _, path := range []string{"/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/secrets/other", "/api/v1/pods"} {
		if err := raw.Get().AbsPath(path).MaxRetries(0).Do(ctx).Error(); !apierrors.IsForbidden(err) {
			t.Errorf("GET %s: %v, want 403", path, err)
		}
	}
	token, err := b.near.CoreV1().ServiceAccounts("default").CreateToken(ctx, "sa", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "a", UID: pod.UID}}}, metav1.CreateOptions{})
	if err != nil || token.Status.Token == "" {
		t.Errorf("token: %v", err)
	}
	status := func(phase string) error {
		_, err := b.near.CoreV1().Pods("default").Patch(ctx, "a", types.StrategicMergePatchType, fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":%q}}`, pod.UID, phase), metav1.PatchOptions{}, "status")
		return err
	}
	must(status("Running"))
	if p, err := b.far.CoreV1().Pods("default").Get(ctx, "a", metav1.GetOptions{}); err != nil || p.Status.Phase != corev1.PodRunning {
		t.Errorf("%v, %v", p.Status.Phase, err)
	}

	b.cut()
	must(status("Failed"))
	_, err = b.near.CoreV1().Events("default").Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a.1", Namespace: "default"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "a"}, Reason: "Cut", Message: "x", Type: "Normal"}, metav1.CreateOptions{})
	must(err)
	_, err = b.far.CoreV1().ConfigMaps("default").Patch(ctx, "cfg", types.MergePatchType, []byte(`{"data":{"x":"2"}}`), metav1.PatchOptions{})
	must(err)
	zero := int64(0)
	second, err := b.far.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	must(err)
	has(pods, "the status while cut", func(o any) bool { p, ok := o.(*corev1.Pod); return ok && p.Status.Phase == corev1.PodFailed })
	b.join()
	has(pods, "the other Pod", func(o any) bool { p, ok := o.(*corev1.Pod); return ok && p.UID == second.UID })
	has(pods, "the cloud's status", func(o any) bool {
		p, ok := o.(*corev1.Pod)
		return ok && p.UID == pod.UID && p.Status.Phase == corev1.PodRunning
	})
	has(maps, "the changed ConfigMap", func(o any) bool { m, ok := o.(*corev1.ConfigMap); return ok && m.Data["x"] == "2" })
	eventually.Succeeds(t, soon, func(ctx context.Context) error {
		_, err := b.far.CoreV1().Events("default").Get(ctx, "a.1", metav1.GetOptions{})
		return err
	})
	must(b.near.CoreV1().Pods("default").Delete(ctx, "a", metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &pod.UID}}))
	// As from the API server itself: a node may not get a Pod that is not its own.
	if _, err := b.near.CoreV1().Pods("default").Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
		t.Errorf("after the deletion: %v", err)
	}
	eventually.Succeeds(t, soon, func(context.Context) error {
		if keys := pods.GetStore().ListKeys(); len(keys) != 1 {
			return fmt.Errorf("%v", keys)
		}
		return nil
	})
}

// inform follows with WatchList, as client-go does by default.
func inform(ctx context.Context, c kubernetes.Interface, resource, namespace, selector string, kind runtime.Object) cache.SharedIndexInformer {
	lw := cache.NewListWatchFromClient(c.CoreV1().RESTClient(), resource, namespace, fields.ParseSelectorOrDie(selector))
	i := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, c), kind, 0, nil)
	go i.RunWithContext(ctx)
	return i
}
