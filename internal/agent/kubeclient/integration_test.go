//go:build integration

package kubeclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// recorder holds what a watch has told.
type recorder struct {
	mu        sync.Mutex
	replaced  int
	instances map[string]*v0.Instance
	configs   map[string]*v0.Configuration
	sets      int
}

func (r *recorder) Replaced(all []*v0.Instance, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replaced++
	r.instances = map[string]*v0.Instance{}
	for _, o := range all {
		r.instances[o.Name] = o
	}
}

func (r *recorder) Changed(o *v0.Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.instances[o.Name] = o
}

func (r *recorder) Deleted(o *v0.Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.instances, o.Name)
}

func (r *recorder) set(all []*v0.Configuration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets++
	r.configs = map[string]*v0.Configuration{}
	for _, c := range all {
		r.configs[c.Name] = c
	}
}

func (r *recorder) eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

func TestWatches(t *testing.T) {
	server := kubetest.Start(t)
	c, err := New(server.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	write := func(method, resource, name, body string) {
		t.Helper()
		r := c.rest.Verb(method).Resource(resource).Namespace("default").SetHeader("Content-Type", "application/json")
		if method == http.MethodPatch {
			r = c.rest.Patch(types.MergePatchType).Resource(resource).Namespace("default")
		}
		if name != "" {
			r = r.Name(name)
		}
		if body != "" {
			r = r.Body([]byte(body))
		}
		if raw, err := r.DoRaw(t.Context()); err != nil {
			t.Fatalf("%s %s %s: %v\n%s", method, resource, name, err, raw)
		}
	}
	instance := func(name, label string) string {
		o := map[string]any{
			"apiVersion": "akri.sh/v0", "kind": "Instance",
			"metadata": map[string]any{"name": name, "labels": map[string]string{label: "true"}},
			"spec":     map[string]any{"configurationName": "c", "cdiName": "x", "capacity": 1},
		}
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	const configuration = `{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"c"},"spec":{
		"discoveryHandler":{"name":"udev","offlineGracePeriod":"7s"},
		"brokerSpec":{"brokerPodSpec":{"containers":[{"name":"b","image":"x"}]}},
		"instanceServiceSpec":{"type":"ClusterIP"},"configurationServiceSpec":{"type":"ClusterIP"}}}`
	write(http.MethodPost, "instances", "", instance("before", v0.LabelShared))
	write(http.MethodPost, "instances", "", instance("other", "example.com/x"))

	rec := &recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	trimmed := func(o *v0.Instance) { o.ManagedFields = nil }
	wg.Go(func() { _ = c.Run(ctx) })
	wg.Go(func() { c.WatchInstances(ctx, v0.LabelShared+"=true", trimmed, rec) })
	wg.Go(func() { c.WatchConfigurations(ctx, rec.set) })

	have := func(names ...string) func() error {
		return func() error {
			if len(rec.instances) != len(names) {
				return fmt.Errorf("there are %d Instances", len(rec.instances))
			}
			for _, n := range names {
				if rec.instances[n] == nil {
					return fmt.Errorf("%s is not there", n)
				}
			}
			return nil
		}
	}
	rec.eventually(t, "the first list", have("before"))
	write(http.MethodPost, "instances", "", instance("later", v0.LabelShared))
	rec.eventually(t, "a new one", have("before", "later"))
	write(http.MethodDelete, "instances", "before", "")
	rec.eventually(t, "one less", have("later"))
	write(http.MethodPatch, "instances", "later", `{"metadata":{"labels":{"`+v0.LabelShared+`":null}}}`)
	rec.eventually(t, "one that no longer matches", have())
	for name, o := range rec.instances {
		if o.ManagedFields != nil {
			t.Errorf("%s was not trimmed", name)
		}
	}

	write(http.MethodPost, "configurations", "", configuration)
	rec.eventually(t, "Configuration", func() error {
		if rec.configs["c"] == nil {
			return errors.New("it is not there")
		}
		return nil
	})
	rec.mu.Lock()
	got := rec.configs["c"]
	if got.Spec.BrokerSpec != nil || got.Spec.InstanceServiceSpec != nil || got.Spec.ConfigurationServiceSpec != nil || got.ManagedFields != nil ||
		got.Spec.DiscoveryHandler.Name != "udev" || got.Spec.DiscoveryHandler.Grace(false) != 7*time.Second {
		t.Errorf("Configuration is kept as %+v", got)
	}
	sets := rec.sets
	rec.mu.Unlock()

	// What other nodes say in the status does not wake anybody.
	if err := c.ApplyConfigurationStatus(ctx, types.NamespacedName{Namespace: "default", Name: "c"}, "m",
		[]byte(`{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"c"},"status":{"nodes":[{"name":"n","state":"Active"}]}}`)); err != nil {
		t.Fatal(err)
	}
	write(http.MethodPatch, "configurations", "c", `{"spec":{"capacity":4}}`)
	rec.eventually(t, "capacity", func() error {
		if rec.configs["c"].Spec.Capacity != 4 {
			return errors.New("not yet")
		}
		if rec.sets != sets+1 {
			t.Errorf("told %d times of one change", rec.sets-sets)
		}
		return nil
	})

	// An outage: the watches come back by themselves, without missing anything.
	server.Stop()
	rec.eventually(t, "not reachable", func() error {
		if c.Reachable() {
			return errors.New("still reachable")
		}
		return nil
	})
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	write(http.MethodPost, "instances", "", instance("after", v0.LabelShared))
	rec.eventually(t, "after the outage", have("after"))
	write(http.MethodDelete, "configurations", "c", "")
	rec.eventually(t, "Configuration gone", func() error {
		if len(rec.configs) != 0 {
			return errors.New("not yet")
		}
		return nil
	})

	// Pages.
	seen := 0
	if err := c.EachInstance(ctx, "", func(*v0.Instance) { seen++ }); err != nil || seen != 3 {
		t.Errorf("listed %d Instances: %v", seen, err)
	}
}
