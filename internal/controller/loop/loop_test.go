package loop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestSooner(t *testing.T) {
	for _, tt := range []struct{ a, b, want time.Duration }{
		{0, 0, 0}, {0, 5, 5}, {5, 0, 5}, {5, 7, 5}, {7, 5, 5},
	} {
		if got := Sooner(tt.a, tt.b); got != tt.want {
			t.Errorf("Sooner(%d, %d) = %d", tt.a, tt.b, got)
		}
	}
}

// For any object there is the right request or none.
func TestRequests(t *testing.T) {
	inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cam-1"}, Spec: v0.InstanceSpec{ConfigurationName: "cam"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Labels: map[string]string{"of": "x"}}}
	for _, tt := range []struct {
		name      string
		have, all []reconcile.Request
	}{
		{"Configuration of an Instance", ConfigurationOf(inst), []reconcile.Request{Request("ns", "cam")}},
		{"Configuration of something else", ConfigurationOf(pod), nil},
		{"label", Labelled("of")(pod), []reconcile.Request{Request("ns", "x")}},
		{"no such label", Labelled("of")(inst), nil},
		{"Instances", Instances(t.Context(), list{items: []v0.Instance{*inst}}, quiet()), []reconcile.Request{Request("ns", "cam-1")}},
		{"no answer", Instances(t.Context(), list{err: errors.New("away")}, quiet()), nil},
	} {
		if d := cmp.Diff(tt.all, tt.have); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// list is a cache that has Instances.
type list struct {
	client.Reader
	items []v0.Instance
	err   error
}

func (l list) List(_ context.Context, o client.ObjectList, _ ...client.ListOption) error {
	o.(*v0.InstanceList).Items = l.items
	return l.err
}

func TestPredicates(t *testing.T) {
	named := func(name string) client.Object { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	changed, gone := Changed(client.Object.GetName), Gone()
	for what, ok := range map[string]bool{
		"changed: came":         changed.Create(event.CreateEvent{Object: named("a")}),
		"changed: went":         changed.Delete(event.DeleteEvent{Object: named("a")}),
		"changed: is another":   changed.Update(event.UpdateEvent{ObjectOld: named("a"), ObjectNew: named("b")}),
		"changed: is the same":  !changed.Update(event.UpdateEvent{ObjectOld: named("a"), ObjectNew: named("a")}),
		"gone: went":            gone.Delete(event.DeleteEvent{Object: named("a")}),
		"gone: came":            !gone.Create(event.CreateEvent{Object: named("a")}),
		"gone: is another than": !gone.Update(event.UpdateEvent{ObjectOld: named("a"), ObjectNew: named("b")}),
	} {
		if !ok {
			t.Error(what)
		}
	}
}
