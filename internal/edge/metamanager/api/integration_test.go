//go:build integration

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/edge/edgetest"
	"github.com/akri-go/akri/internal/edge/metamanager/protobuf"
	"github.com/akri-go/akri/internal/eventually"
)

var server *kubetest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = kubetest.New(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "start a test API server:", err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

const soon = eventually.Patience

// linked is an edge node with a link to a real API server.
type linked struct {
	*edge
	cloud *edgetest.Cloud
	cut   func()
	// near is a client of the local API, far one of the API server.
	near, far kubernetes.Interface
	ns        string
}

func link(t *testing.T) *linked {
	t.Helper()
	cloud, err := edgetest.New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	e := newEdge(t, nil)
	l := &linked{edge: e, cloud: cloud}
	l.far = kubernetes.NewForConfigOrDie(server.Config)
	l.near = kubernetes.NewForConfigOrDie(e.config)
	l.join()
	t.Cleanup(func() { l.cut() }) // before the edge node stops
	ns, err := l.far.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "edge-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.ns = ns.Name
	return l
}

func (l *linked) join() { l.cut = l.cloud.Link(l.sync) }

func (l *linked) pod(name, node, color string) *corev1.Pod {
	l.t.Helper()
	p, err := l.far.CoreV1().Pods(l.ns).Create(l.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"color": color}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *linked) phase(name string, phase corev1.PodPhase) {
	l.t.Helper()
	p, err := l.far.CoreV1().Pods(l.ns).Get(l.t.Context(), name, metav1.GetOptions{})
	if err == nil {
		p.Status.Phase = phase
		_, err = l.far.CoreV1().Pods(l.ns).UpdateStatus(l.t.Context(), p, metav1.UpdateOptions{})
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// plain is an object or list as JSON, without what may differ: versions, and the
// kinds of items.
func plain(v any) any {
	data, _ := json.Marshal(v)
	var out any
	_ = json.Unmarshal(data, &out)
	strip(out)
	return out
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		if meta, ok := v["metadata"].(map[string]any); ok {
			delete(meta, "resourceVersion")
			if meta["continue"] == "" { // lists of custom resources have it
				delete(meta, "continue")
			}
		}
		if items, ok := v["items"].([]any); ok {
			for _, i := range items {
				if m, ok := i.(map[string]any); ok {
					delete(m, "kind")
					delete(m, "apiVersion")
				}
			}
		}
		for _, m := range v {
			strip(m)
		}
	case []any:
		for _, m := range v {
			strip(m)
		}
	}
}

// What a client reads locally is what it reads from the API server.
func TestReadsAreTheSame(t *testing.T) {
	l := link(t)
	for i := range 6 {
		l.pod(fmt.Sprint("p", i), []string{node, node, "other"}[i%3], []string{"red", "blue"}[i%2])
	}
	l.phase("p0", corev1.PodRunning)
	l.phase("p1", corev1.PodSucceeded)
	if _, err := l.far.CoreV1().ConfigMaps(l.ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cfg"}, Data: map[string]string{"a": "ü<>&"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	near, far := dynamic.NewForConfigOrDie(l.config), dynamic.NewForConfigOrDie(server.Config)
	gvr := func(group, version, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	}
	for _, c := range []struct {
		gvr           schema.GroupVersionResource
		ns            string
		label, fields string
	}{
		{gvr: gvr("", "v1", "pods"), ns: l.ns},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, fields: "spec.nodeName=" + node},
		{gvr: gvr("", "v1", "pods"), fields: "spec.nodeName=" + node},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, fields: "spec.nodeName=" + node + ",status.phase!=Succeeded,status.phase!=Failed"},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, label: "color=red"},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, label: "color in (red,green),!none", fields: "spec.nodeName!=" + node},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, label: "color=none"},
		{gvr: gvr("", "v1", "configmaps"), ns: l.ns, fields: "metadata.name=cfg"},
		{gvr: gvr("", "v1", "services"), fields: "spec.clusterIP!=None"},
		{gvr: gvr("", "v1", "services"), fields: "spec.clusterIP!=None", label: "!service.kubernetes.io/service-proxy-name"},
		{gvr: gvr("", "v1", "namespaces")},
		{gvr: gvr("rbac.authorization.k8s.io", "v1", "clusterroles")},
		{gvr: gvr("apiextensions.k8s.io", "v1", "customresourcedefinitions")},
		{gvr: gvr("akri.sh", "v0", "instances")},
		{gvr: gvr("", "v1", "nothings")},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, fields: "spec.color=red"},
		{gvr: gvr("", "v1", "pods"), ns: l.ns, label: "a in"},
	} {
		options := metav1.ListOptions{LabelSelector: c.label, FieldSelector: c.fields}
		want, wantErr := far.Resource(c.gvr).Namespace(c.ns).List(t.Context(), options)
		got, gotErr := near.Resource(c.gvr).Namespace(c.ns).List(t.Context(), options)
		what := fmt.Sprintf("%s in %q, labels %q, fields %q", c.gvr.Resource, c.ns, c.label, c.fields)
		if wantErr != nil || gotErr != nil {
			if apierrors.ReasonForError(wantErr) != apierrors.ReasonForError(gotErr) || wantErr == nil {
				t.Errorf("%s: want %v, got %v", what, wantErr, gotErr)
			}
			continue
		}
		if d := cmp.Diff(plain(want.UnstructuredContent()), plain(got.UnstructuredContent())); d != "" {
			t.Errorf("%s: -want +got\n%s", what, d)
		}
		for _, item := range want.Items {
			one, err := near.Resource(c.gvr).Namespace(item.GetNamespace()).Get(t.Context(), item.GetName(), metav1.GetOptions{})
			if err != nil {
				t.Errorf("%s: get %s: %v", what, item.GetName(), err)
			} else if d := cmp.Diff(metadata(item.Object), metadata(one.Object)); d != "" {
				t.Errorf("%s: get %s: %s", what, item.GetName(), d)
			}
		}
	}
	_, err := l.near.CoreV1().ConfigMaps(l.ns).Get(t.Context(), "none", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("what is not there: %v", err)
	}
}

// A client that watches locally sees what one sees that watches the API server,
// event by event.
func TestWatchesAreTheSame(t *testing.T) {
	l := link(t)
	l.pod("old", node, "red")
	options := metav1.ListOptions{FieldSelector: "spec.nodeName=" + node, LabelSelector: "color=red"}
	sees := func(c kubernetes.Interface, options metav1.ListOptions) func() []string {
		t.Helper()
		list, err := c.CoreV1().Pods(l.ns).List(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		options.ResourceVersion = list.ResourceVersion
		w, err := c.CoreV1().Pods(l.ns).Watch(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
		var seen []string
		return func() []string {
			for {
				select {
				case e, ok := <-w.ResultChan():
					if !ok {
						return append(seen, "closed")
					}
					p, _ := e.Object.(*corev1.Pod)
					if p == nil {
						return append(seen, fmt.Sprint(e.Type, e.Object))
					}
					seen = append(seen, fmt.Sprintf("%s %s %s %v %s", e.Type, p.Name, p.UID, p.Labels, p.Status.Phase))
				default:
					return seen
				}
			}
		}
	}
	near, far := sees(l.near, options), sees(l.far, options)
	l.pod("new", node, "red")
	l.pod("blue", node, "blue")
	l.pod("elsewhere", "other", "red")
	l.phase("old", corev1.PodRunning)
	label := func(name, color string) {
		t.Helper()
		if _, err := l.far.CoreV1().Pods(l.ns).Patch(t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"color":%q}}}`, color), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	label("blue", "red")
	label("new", "blue")
	now := int64(0)
	if err := l.far.CoreV1().Pods(l.ns).Delete(t.Context(), "old", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	l.pod("old", node, "red")
	label("new", "red")
	eventually.Succeeds(t, soon, func(context.Context) error {
		want, got := far(), near()
		if len(want) < 7 {
			return fmt.Errorf("%d events", len(want))
		}
		if d := cmp.Diff(want, got); d != "" {
			return errors.New("-API server +local\n" + d)
		}
		return nil
	})
}

// Preconditions hold, writes are read at once, and others see them, in whichever
// encoding they come.
func TestWrites(t *testing.T) {
	for _, kind := range []string{"application/json", protobuf.ContentType} {
		t.Run(kind, func(t *testing.T) {
			l := link(t)
			config := rest.CopyConfig(l.config)
			config.ContentType = "" // client-go chooses protobuf for what is built in
			if kind != protobuf.ContentType {
				config.ContentType = kind
			}
			l.near = kubernetes.NewForConfigOrDie(config)
			testWrites(t, l)
			if !slices.ContainsFunc(l.cloud.Calls(), func(c edgev1.Call) bool { return c.ContentType == kind }) {
				t.Errorf("nothing was written as %s", kind)
			}
		})
	}
}

func testWrites(t *testing.T, l *linked) {
	l.pod("a", node, "red")
	pods := l.near.CoreV1().Pods(l.ns)
	ctx := t.Context()
	list, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	p := &list.Items[0]
	p.Labels["x"] = "1"
	updated, err := pods.Update(ctx, p, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := pods.Get(ctx, "a", metav1.GetOptions{})
	if err != nil || got.Labels["x"] != "1" || got.ResourceVersion != updated.ResourceVersion {
		t.Errorf("written %s, read %s, %v", updated.ResourceVersion, got.ResourceVersion, err)
	}
	p.Labels["x"] = "2"
	if _, err := pods.Update(ctx, p, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an old resourceVersion: %v", err)
	}
	got.Labels["x"] = "3"
	if _, err := pods.Update(ctx, got, metav1.UpdateOptions{}); err != nil {
		t.Errorf("the newest: %v", err)
	}
	got, _ = pods.Get(ctx, "a", metav1.GetOptions{})
	for _, c := range []struct {
		kind     types.PatchType
		patch    string
		conflict bool
	}{
		{types.MergePatchType, `{"metadata":{"labels":{"y":"1"}}}`, false},
		{types.MergePatchType, fmt.Sprintf(`{"metadata":{"resourceVersion":%q,"labels":{"y":"2"}}}`, got.ResourceVersion), true},
		{types.JSONPatchType, fmt.Sprintf(`[{"op":"test","path":"/metadata/resourceVersion","value":%q}]`, got.ResourceVersion), true},
		{types.StrategicMergePatchType, fmt.Sprintf(`{"metadata":{"uid":%q,"labels":{"y":"3"}}}`, got.UID), false},
	} {
		if _, err := pods.Patch(ctx, "a", c.kind, []byte(c.patch), metav1.PatchOptions{}); apierrors.IsConflict(err) != c.conflict || !c.conflict && err != nil {
			t.Errorf("%s: %v", c.patch, err)
		}
	}
	got, _ = pods.Get(ctx, "a", metav1.GetOptions{})
	patch := fmt.Sprintf(`[{"op":"test","path":"/metadata/resourceVersion","value":%q},{"op":"replace","path":"/metadata/labels/y","value":"4"}]`, got.ResourceVersion)
	if got, err = pods.Patch(ctx, "a", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil || got.Labels["y"] != "4" {
		t.Errorf("JSON patch: %v", err)
	}
	// The kubelet's way.
	if got, err = pods.Patch(ctx, "a", types.StrategicMergePatchType, fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`, got.UID), metav1.PatchOptions{}, "status"); err != nil || got.Status.Phase != corev1.PodRunning {
		t.Errorf("status: %v", err)
	}
	old, zero := "1", int64(0)
	for _, c := range []struct {
		pre      metav1.Preconditions
		conflict bool
	}{
		{metav1.Preconditions{ResourceVersion: &old}, true},
		{metav1.Preconditions{ResourceVersion: &updated.ResourceVersion}, true},
		{metav1.Preconditions{UID: &got.UID, ResourceVersion: &got.ResourceVersion}, false},
	} {
		// A dry run takes nothing away.
		if err := pods.Delete(ctx, "a", metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &c.pre, DryRun: []string{"All"}}); apierrors.IsConflict(err) != c.conflict || !c.conflict && err != nil {
			t.Errorf("dry run with %+v: %v", c.pre, err)
		}
		if list, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}); err != nil || len(list.Items) != 1 {
			t.Errorf("after a dry run: %v, %v", list.Items, err)
		}
		if err := pods.Delete(ctx, "a", metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &c.pre}); apierrors.IsConflict(err) != c.conflict || !c.conflict && err != nil {
			t.Errorf("delete with %+v: %v", c.pre, err)
		}
	}
	if list, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}); err != nil || len(list.Items) != 0 {
		t.Errorf("after the deletion: %v, %v", list.Items, err)
	}
	// What is created is in a list at once.
	if _, err := l.near.CoreV1().ConfigMaps(l.ns).List(ctx, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.near.CoreV1().ConfigMaps(l.ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	maps, err := l.near.CoreV1().ConfigMaps(l.ns).List(ctx, metav1.ListOptions{})
	if err != nil || len(maps.Items) != 1 || !strings.HasPrefix(maps.Items[0].Name, "made-") {
		t.Errorf("%v, %v", maps, err)
	}
	if _, err := l.near.CoreV1().ConfigMaps(l.ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "dry"}}, metav1.CreateOptions{DryRun: []string{"All"}}); err != nil {
		t.Error(err)
	}
	if maps, err = l.near.CoreV1().ConfigMaps(l.ns).List(ctx, metav1.ListOptions{}); err != nil || len(maps.Items) != 1 {
		t.Errorf("a dry run is stored: %v, %v", maps, err)
	}
	// A token is no object.
	if _, err := l.far.CoreV1().ServiceAccounts(l.ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := l.near.CoreV1().ServiceAccounts(l.ns).CreateToken(ctx, "sa", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil || token.Status.Token == "" {
		t.Errorf("token: %v", err)
	}
}

func metadata(object map[string]any) any {
	m, _ := plain(object).(map[string]any)
	return m["metadata"]
}
