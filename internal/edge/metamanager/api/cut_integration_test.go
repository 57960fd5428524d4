//go:build integration

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/eventually"
)

// An informer, with WatchList as client-go opens it, has locally what one has at
// the API server: while edits are made, over a cut, and over a restart of
// edgecore.
func TestInformers(t *testing.T) {
	l := link(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	inform := func(c kubernetes.Interface) cache.SharedIndexInformer {
		lw := cache.NewListWatchFromClient(c.CoreV1().RESTClient(), "pods", l.ns, fields.OneTermEqualSelector("spec.nodeName", node))
		i := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, c), &corev1.Pod{}, 0, nil)
		go i.RunWithContext(ctx)
		return i
	}
	near, far := inform(l.near), inform(l.far)
	state := func(i cache.SharedIndexInformer) []string {
		var all []string
		for _, o := range i.GetStore().List() {
			if p, ok := o.(*corev1.Pod); ok {
				all = append(all, fmt.Sprint(p.Name, " ", p.UID, " ", p.Status.Phase, " ", p.Labels, len(p.ManagedFields)))
			}
		}
		slices.Sort(all)
		return all
	}
	same := func(what string, least int) {
		t.Helper()
		eventually.Succeeds(t, soon, func(context.Context) error {
			want, got := state(far), state(near)
			if d := cmp.Diff(want, got); d != "" || len(want) < least {
				return fmt.Errorf("%s: %d Pods, -API server +local\n%s", what, len(want), d)
			}
			return nil
		})
	}
	zero := int64(0)
	remove := func(name string) {
		t.Helper()
		if err := l.far.CoreV1().Pods(l.ns).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		l.pod(fmt.Sprint("p", i), node, "red")
	}
	same("at first", 5)
	l.cut()
	l.phase("p0", corev1.PodRunning)
	remove("p1")
	remove("p2")
	l.pod("p2", node, "blue") // another one of that name
	l.pod("p5", node, "red")
	if got := state(near); len(got) != 5 {
		t.Errorf("while cut: %v", got)
	}
	l.join()
	same("after a cut", 5)
	l.cut()
	remove("p3")
	l.stop()
	l.start(nil) // edgecore restarts, cut
	eventually.Succeeds(t, soon, func(context.Context) error {
		if n := l.store.Stats().Watches; n == 0 {
			return errors.New("the informer is not back")
		}
		return nil
	})
	if got := state(near); len(got) != 5 {
		t.Errorf("after a restart, cut: %v", got)
	}
	l.join()
	same("after a restart", 4)
	for i := range 20 {
		l.phase("p0", []corev1.PodPhase{corev1.PodPending, corev1.PodRunning}[i%2])
	}
	same("after many edits", 4)
}

// What the kubelet does while the link is cut.
func TestCut(t *testing.T) {
	l := link(t)
	ctx := t.Context()
	p := l.pod("a", node, "red")
	options := metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}
	pods := l.near.CoreV1().Pods(l.ns)
	if _, err := pods.List(ctx, options); err != nil {
		t.Fatal(err)
	}
	// Registration, as the kubelet does it.
	nodes, csinodes, leases := l.near.CoreV1().Nodes(), l.near.StorageV1().CSINodes(), l.near.CoordinationV1().Leases("kube-node-lease")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		_ = l.far.CoreV1().Nodes().Delete(ctx, node, metav1.DeleteOptions{})
		_ = l.far.StorageV1().CSINodes().Delete(ctx, node, metav1.DeleteOptions{})
	})
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if _, err := nodes.Create(ctx, n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := csinodes.Get(ctx, node, metav1.GetOptions{ResourceVersion: "0"}); !apierrors.IsNotFound(err) {
		t.Errorf("CSINode: %v", err)
	}
	if _, err := csinodes.Create(ctx, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Get(ctx, node, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("Lease: %v", err)
	}
	lease, err := leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := len(l.cloud.Calls())
	l.cut()

	if _, err := nodes.Get(ctx, node, metav1.GetOptions{}); err != nil {
		t.Errorf("Node: %v", err)
	}
	if _, err := csinodes.Get(ctx, node, metav1.GetOptions{}); err != nil {
		t.Errorf("CSINode: %v", err)
	}
	if _, err := nodes.Create(ctx, n, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("Node again: %v", err)
	}
	for range 3 {
		holder := node
		lease.Spec.HolderIdentity = &holder
		if lease, err = leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// client-go itself would wait and try again ten times.
	raw := l.near.CoreV1().RESTClient()
	for what, req := range map[string]*rest.Request{
		"a list of what was never asked for": raw.Get().AbsPath("/api/v1/namespaces", l.ns, "configmaps"),
		"a watch of it":                      raw.Get().AbsPath("/api/v1/namespaces", l.ns, "configmaps").Param("watch", "1"),
		"a get of it":                        raw.Get().AbsPath("/api/v1/namespaces", l.ns, "configmaps/x"),
		"other Pods than the node's":         raw.Get().AbsPath("/api/v1/namespaces", l.ns, "pods/b"),
		"creating":                           raw.Post().AbsPath("/api/v1/namespaces", l.ns, "configmaps").Body([]byte(`{}`)),
		"updating":                           raw.Put().AbsPath("/api/v1/namespaces", l.ns, "pods/a").Body([]byte(`{}`)),
		"deleting":                           raw.Delete().AbsPath("/api/v1/namespaces", l.ns, "pods/a"),
		"a token":                            raw.Post().AbsPath("/api/v1/namespaces", l.ns, "serviceaccounts/x/token").Body([]byte(`{}`)),
		"a review of oneself":                raw.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").Body([]byte(`{}`)),
	} {
		err := req.MaxRetries(0).Do(ctx).Error()
		if seconds, ok := apierrors.SuggestsClientDelay(err); !apierrors.IsServiceUnavailable(err) || !ok || seconds == 0 {
			t.Errorf("%s: %v, want 503 with Retry-After", what, err)
		}
	}
	status := func(phase string) (*corev1.Pod, error) {
		return pods.Patch(ctx, "a", types.StrategicMergePatchType, fmt.Appendf(nil,
			`{"metadata":{"uid":%q},"spec":{"nodeName":"evil"},"status":{"phase":%q,"conditions":[{"type":"Ready","status":"False"}]}}`, p.UID, phase), metav1.PatchOptions{}, "status")
	}
	if _, err := status("Running"); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Patch(ctx, "a", types.StrategicMergePatchType, []byte(`{"metadata":{"uid":"other"},"status":{}}`), metav1.PatchOptions{}, "status"); !apierrors.IsConflict(err) {
		t.Errorf("another uid: %v", err)
	}
	got, err := pods.Get(ctx, "a", metav1.GetOptions{})
	if err != nil || got.Status.Phase != corev1.PodRunning || got.Spec.NodeName != node || len(got.Status.Conditions) == 0 || got.UID != p.UID {
		t.Errorf("%+v, %v", got.Status, err)
	}
	if _, err := nodes.Patch(ctx, node, types.StrategicMergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}},"status":{"conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Errorf("Node status: %v", err)
	}
	event := func(message string) {
		t.Helper()
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a.1", Namespace: l.ns}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: l.ns, Name: "a"}, Message: message, Reason: "Cut", Type: "Normal"}
		if _, err := l.near.CoreV1().Events(l.ns).Create(ctx, e, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	event("first")
	event("second")
	if _, err := l.near.CoreV1().Events(l.ns).Patch(ctx, "a.0", types.StrategicMergePatchType, []byte(`{"count":2}`), metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("an Event of before: %v", err)
	}
	if calls := l.cloud.Calls(); len(calls) != before {
		t.Errorf("calls were made: %v", calls[before:])
	}

	l.join()
	eventually.Succeeds(t, soon, func(ctx context.Context) error {
		got, err := pods.Get(ctx, "a", metav1.GetOptions{})
		if err != nil || got.Status.Phase != corev1.PodPending {
			return fmt.Errorf("the overlay is still there: %v, %v", got.Status.Phase, err)
		}
		e, err := l.far.CoreV1().Events(l.ns).Get(ctx, "a.1", metav1.GetOptions{})
		if err != nil || e.Message != "second" {
			return fmt.Errorf("the Event: %v, %v", e, err)
		}
		return nil
	})
	if _, err := status("Running"); err != nil { // the kubelet writes again
		t.Fatal(err)
	}
	if got, err := l.far.CoreV1().Pods(l.ns).Get(ctx, "a", metav1.GetOptions{}); err != nil || got.Status.Phase != corev1.PodRunning {
		t.Errorf("%v, %v", got.Status, err)
	}
	for _, c := range l.cloud.Calls() {
		if strings.Contains(c.Path, "/leases/") {
			t.Errorf("a Lease went over the link: %s %s", c.Method, c.Path)
		}
	}
}

// kubectl works, and says why when it does not.
func TestKubectl(t *testing.T) {
	repo, err := kubebin.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	bins, err := kubebin.Ensure(t.Context(), kubebin.Options{Repo: repo, Progress: os.Stderr}, kubebin.Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	l := link(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	c := clientcmdapi.NewConfig()
	c.Clusters["edge"] = &clientcmdapi.Cluster{Server: l.config.Host, CertificateAuthorityData: l.config.CAData}
	c.AuthInfos["kubelet"] = &clientcmdapi.AuthInfo{ClientCertificateData: l.config.CertData, ClientKeyData: l.config.KeyData}
	c.Contexts["edge"] = &clientcmdapi.Context{Cluster: "edge", AuthInfo: "kubelet", Namespace: l.ns}
	c.CurrentContext = "edge"
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir() // kubectl caches discovery there
	kubectl := func(stdin string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, bins[kubebin.Kubectl], append([]string{"--kubeconfig=" + file, "--cache-dir=" + filepath.Join(home, "cache")}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	want := func(says, stdin string, args ...string) {
		t.Helper()
		out, err := kubectl(stdin, args...)
		if err != nil || !strings.Contains(out, says) {
			t.Errorf("kubectl %v: %v, want %q\n%s", args, err, says, out)
		}
	}
	l.pod("a", node, "red")
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg}\ndata: {a: \"1\"}\n"
	want("configmap/cfg created", manifest, "apply", "-f", "-")
	want("configmap/cfg configured", strings.Replace(manifest, "1\"", "2\"", 1), "apply", "-f", "-")
	want("serverside-applied", strings.Replace(manifest, "1\"", "3\"", 1), "apply", "--server-side", "--force-conflicts", "-f", "-")
	want("3", "", "get", "configmap", "cfg", "-o", "jsonpath={.data.a}")
	want("labeled", "", "label", "pod", "a", "x=y")
	want("patched", "", "patch", "configmap", "cfg", "--type=merge", "-p", `{"data":{"b":"1"}}`)
	want("pods", "", "api-resources")
	want("Server Version: v1.", "", "version")
	want("a", "", "get", "pods", "--field-selector", "spec.nodeName="+node, "-o", "name")
	want(node, "", "describe", "pod", "a")
	want("condition met", "", "wait", "pod/a", "--for=jsonpath={.metadata.labels.x}=y", "--timeout=20s")
	l.cut()
	os.RemoveAll(filepath.Join(home, "cache")) // so that it asks again
	want("a", "", "get", "pods", "--field-selector", "spec.nodeName="+node, "-o", "name")
	want("color: red", "", "get", "pod", "a", "-o", "yaml")
	l.join()
	want("deleted", "", "delete", "configmap", "cfg")
	want("deleted", "", "delete", "pod", "a", "--force")
	if out, err := kubectl("", "get", "configmap", "cfg"); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("after the deletion: %v\n%s", err, out)
	}
}
