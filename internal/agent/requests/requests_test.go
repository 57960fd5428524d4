package requests

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
)

func configuration(namespace, name, uid string, age time.Duration) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(uid), Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Unix(1_000_000, 0).Add(-age)),
		},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: "udev"}},
	}
}

func TestPlan(t *testing.T) {
	deleting := configuration("a", "c", "0", time.Hour)
	deleting.DeletionTimestamp = &metav1.Time{}
	nameless := configuration("a", "x", "1", 0)
	nameless.Spec.DiscoveryHandler.Name = ""
	for _, c := range []struct {
		name    string
		all     []*v0.Configuration
		asked   string
		refused string // a part of the reason
	}{
		{name: "none"},
		{name: "one", all: []*v0.Configuration{configuration("a", "c", "1", 0)}, asked: "a/c"},
		{
			name:  "same name: the oldest",
			all:   []*v0.Configuration{configuration("a", "c", "1", 0), configuration("b", "c", "2", time.Hour)},
			asked: "b/c", refused: "belongs to the older Configuration b/c",
		},
		{
			name:  "same name and age: the lowest uid",
			all:   []*v0.Configuration{configuration("a", "c", "2", 0), configuration("b", "c", "1", 0)},
			asked: "b/c", refused: "b/c",
		},
		{
			name:  "one that is being deleted holds no name",
			all:   []*v0.Configuration{deleting, configuration("b", "c", "1", 0)},
			asked: "b/c",
		},
		{name: "too long", all: []*v0.Configuration{configuration("a", strings.Repeat("x", 57), "1", 0)}, refused: "shorter"},
		{name: "56 characters", all: []*v0.Configuration{configuration("a", strings.Repeat("x", 56), "1", 0)}, asked: "a/" + strings.Repeat("x", 56)},
		{name: "no handler", all: []*v0.Configuration{nameless}, refused: "discoveryHandler.name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, refused := Plan(c.all)
			var names, reasons []string
			for _, a := range asked {
				names = append(names, nameOf(a).String())
			}
			for _, r := range refused {
				reasons = append(reasons, r.Reason.Error())
			}
			if got := strings.Join(names, " "); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
			if got := strings.Join(reasons, " "); !strings.Contains(got, c.refused) || (c.refused == "") != (got == "") {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
		})
	}
}

// objects is what a cluster holds, by "Kind namespace/name".
type objects map[string]map[string][]byte

func (o objects) read(kind, namespace, name string) (map[string][]byte, bool, error) {
	if o == nil {
		return nil, false, errors.New("forbidden")
	}
	data, ok := o[kind+" "+namespace+"/"+name]
	return data, ok, nil
}

func (o objects) Secret(_ context.Context, namespace, name string) (map[string][]byte, bool, error) {
	return o.read("Secret", namespace, name)
}

func (o objects) ConfigMap(_ context.Context, namespace, name string) (map[string][]byte, bool, error) {
	return o.read("ConfigMap", namespace, name)
}

func TestResolve(t *testing.T) {
	secret := func(namespace, name, key string, optional bool) *v0.DiscoveryPropertySource {
		return &v0.DiscoveryPropertySource{SecretKeyRef: &v0.DiscoveryPropertyKeySelector{
			Namespace: namespace, Name: name, Key: key, Optional: optional}}
	}
	value := "v"
	cluster := objects{
		"Secret ns/s":     {"k": []byte("hidden")},
		"Secret other/s":  {"k": []byte("foreign")},
		"ConfigMap ns/cm": {"k": []byte("open")},
	}
	for _, c := range []struct {
		name     string
		objects  objects
		property v0.DiscoveryProperty
		want     string // fmt of the map
		err      string
	}{
		{name: "value", objects: cluster, property: v0.DiscoveryProperty{Name: "P", Value: &value}, want: "map[P:v]"},
		{name: "neither", objects: cluster, property: v0.DiscoveryProperty{Name: "P"}, want: "map[P:]"},
		{name: "secret", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("", "s", "k", false)}, want: "map[P:hidden]"},
		{name: "own namespace by name", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("ns", "s", "k", false)}, want: "map[P:hidden]"},
		{name: "another namespace", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("other", "s", "k", true)}, err: "another namespace"},
		{name: "config map", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: &v0.DiscoveryPropertySource{
			ConfigMapKeyRef: &v0.DiscoveryPropertyKeySelector{Name: "cm", Key: "k"}}}, want: "map[P:open]"},
		{name: "no such key", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("", "s", "no", false)}, err: `key "no"`},
		{name: "no such key, optional", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("", "s", "no", true)}, want: "map[]"},
		{name: "no such secret, optional", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("", "no", "k", true)}, want: "map[]"},
		{name: "not allowed, optional", property: v0.DiscoveryProperty{Name: "P", ValueFrom: secret("", "s", "k", true)}, err: "forbidden"},
		{name: "empty source", objects: cluster, property: v0.DiscoveryProperty{Name: "P", ValueFrom: &v0.DiscoveryPropertySource{}}, err: "neither"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configuration("ns", "c", "1", 0)
			cfg.Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{c.property}
			got, err := Resolve(t.Context(), c.objects, cfg)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := fmt.Sprintf("%s", got); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

// lateSecret is a cluster in which Secret a/s comes some time.
type lateSecret struct {
	objects
	there atomic.Bool
}

func (l *lateSecret) Secret(context.Context, string, string) (map[string][]byte, bool, error) {
	return map[string][]byte{"k": []byte("v")}, l.there.Load(), nil
}

// journal notes what an Asker does.
type journal struct{ log []string }

func (j *journal) note(format string, args ...any) {
	j.log = append(j.log, fmt.Sprintf(format, args...))
}
func (j *journal) Ask(q registry.Question)     { j.note("ask %s", q.Configuration) }
func (j *journal) Drop(c types.NamespacedName) { j.note("drop %s", c) }
func (j *journal) SetRequest(r inventory.Request) {
	j.note("set %s cap=%d", r.Configuration, r.Capacity)
}
func (j *journal) DropRequest(types.NamespacedName) {
}
func (j *journal) Retain(c map[types.NamespacedName]bool) { j.note("retain %d", len(c)) }
func (j *journal) ConfigurationStatus(c types.NamespacedName, _ types.UID, e v0.ConfigurationNode) {
	j.note("status %s %s", c, e.State)
}

func (j *journal) take() string {
	s := strings.Join(j.log, ", ")
	j.log = nil
	return s
}

func TestAskerFollowsConfigurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		cluster := &lateSecret{}
		a := New(Options{Node: "n", Objects: cluster, Registry: j, Inventory: j, Statuses: j,
			Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		step := func(want string, all ...*v0.Configuration) {
			t.Helper()
			a.Set(all)
			synctest.Wait()
			if got := j.take(); got != want {
				t.Errorf("did %q, want %q", got, want)
			}
		}
		one := configuration("a", "c", "1", time.Hour)
		step("retain 1, set a/c cap=1, ask a/c", one)
		<-a.Synced
		step("", one)
		edited := one.DeepCopy()
		edited.Generation, edited.Spec.Capacity = 2, 5
		step("set a/c cap=5, ask a/c", edited)
		other := configuration("b", "c", "2", 0)
		step("status b/c Failed", edited, other)
		step("", edited, other)
		step("drop a/c, set b/c cap=1, ask b/c", other)
		again := configuration("b", "c", "3", 0)
		step("drop b/c, set b/c cap=1, ask b/c", again)
		step("drop b/c")

		// A property that cannot be read is tried again.
		secretive := configuration("a", "s", "4", 0)
		secretive.Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{{Name: "P",
			ValueFrom: &v0.DiscoveryPropertySource{SecretKeyRef: &v0.DiscoveryPropertyKeySelector{Name: "s", Key: "k"}}}}
		step("status a/s Failed", secretive)
		cluster.there.Store(true)
		time.Sleep(retryResolve)
		synctest.Wait()
		if got := j.take(); got != "set a/s cap=1, ask a/s" {
			t.Errorf("did %q after the Secret came", got)
		}
		stop()
		<-done
	})
}
