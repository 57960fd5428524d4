package requests

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/checkpoint/checkpointtest"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
)

// cluster holds objects by "Kind namespace/name"; no data means that there is
// none.
type cluster struct {
	mu              sync.Mutex
	data            map[string]map[string][]byte
	noGet, noWatch  bool
	changed         chan struct{} // closed at each change
	watches, opened int
}

// answerTime is how long the cluster takes to answer, in a bubble: so it is
// never before those who ask have gone on.
const answerTime = time.Millisecond

func newCluster() *cluster {
	return &cluster{data: map[string]map[string][]byte{}, changed: make(chan struct{})}
}

// set changes an object; "" removes it.
func (c *cluster) set(object, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.data, object)
	if value != "" {
		c.data[object] = map[string][]byte{"k": []byte(value)}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) may(get, watch bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noGet, c.noWatch = !get, !watch
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) now(ref string) (map[string][]byte, chan struct{}, bool, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data[ref], c.changed, c.noGet, c.noWatch
}

func (c *cluster) Read(_ context.Context, kind, namespace, name string) (map[string][]byte, bool, error) {
	data, _, noGet, _ := c.now(kind + " " + namespace + "/" + name)
	if noGet {
		return nil, false, forbidden("secrets", name)
	}
	return data, data != nil, nil
}

func (c *cluster) Watch(ctx context.Context, kind, namespace, name string, on func(map[string][]byte, bool)) error {
	c.mu.Lock()
	c.watches++
	c.opened++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.watches--
		c.mu.Unlock()
	}()
	time.Sleep(answerTime)
	for {
		data, changed, noGet, noWatch := c.now(kind + " " + namespace + "/" + name)
		if noGet || noWatch {
			return forbidden("secrets", name)
		}
		on(data, data != nil)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (c *cluster) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches
}

// recorder notes what an Asker does.
type recorder struct {
	mu  sync.Mutex
	log []string
}

func (j *recorder) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = append(j.log, fmt.Sprintf(format, args...))
}

func (j *recorder) Ask(req registry.Request) {
	text := "ask " + req.Configuration.String()
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range req.Request.Properties {
			if !yield(name) {
				return
			}
		}
	}) {
		text += fmt.Sprintf(" %s=%s", name, req.Request.Properties[name])
	}
	j.note("%s", text)
}

func (j *recorder) Drop(c types.NamespacedName) { j.note("drop %s", c) }

func (j *recorder) SetConfiguration(r inventory.Configuration) {
	text := fmt.Sprintf("set %s cap=%d", r.Name, r.Capacity)
	if r.RequestID == "" {
		text += " unasked"
	}
	if r.Problem != "" {
		text += " problem"
	}
	j.note("%s", text)
}

func (j *recorder) DropConfiguration(types.NamespacedName) {}
func (j *recorder) Retain(c map[types.NamespacedName]bool) { j.note("retain %d", len(c)) }
func (j *recorder) ConfigurationStatus(c types.NamespacedName, _ types.UID, e v0.ConfigurationNode) {
	j.note("status %s %s", c, e.State)
}
func (j *recorder) warn(c types.NamespacedName, _ types.UID, reason, _ string) {
	j.note("warn %s %s", c, reason)
}

func (j *recorder) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := strings.Join(j.log, ", ")
	j.log = nil
	return s
}

// disk is what is on disk.
type disk = checkpointtest.Memory[State]

// fixture is an Asker at work.
type fixture struct {
	*recorder
	t       *testing.T
	asker   *Asker
	cluster *cluster
	stop    func()
}

func startAsker(t *testing.T, c *cluster, store checkpoint.Store[State]) *fixture {
	j := &recorder{}
	r := &fixture{recorder: j, t: t, cluster: c, asker: New(Options{Node: "n", API: c, Registry: j, Inventory: j, Statuses: j,
		Store: store, Warn: j.warn, Logger: slog.New(slog.DiscardHandler)})}
	r.asker.Restore()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.asker.Run(ctx) }()
	r.stop = func() {
		cancel()
		<-done
	}
	return r
}

// set brings Configurations and checks what is done then.
func (r *fixture) set(want string, all ...*v0.Configuration) {
	r.t.Helper()
	r.asker.Set(all)
	r.does(want)
}

// settle waits until all is answered and done.
func settle() {
	time.Sleep(2 * answerTime)
	synctest.Wait()
}

func (r *fixture) does(want string) {
	r.t.Helper()
	settle()
	if got := r.take(); got != want {
		r.t.Errorf("did %q, want %q", got, want)
	}
}

func TestAskerFollowsConfigurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startAsker(t, newCluster(), nil)
		if r.asker.Started() {
			t.Error("started without Configurations and store")
		}
		one := configuration("a", "c", "1", time.Hour)
		r.set("retain 1, set a/c cap=1, ask a/c", one)
		<-r.asker.Synced
		if !r.asker.Started() {
			t.Error("not started")
		}
		r.set("", one)
		edited := one.DeepCopy()
		edited.Generation, edited.Spec.Capacity = 2, 5
		r.set("set a/c cap=5", edited)
		asks := edited.DeepCopy()
		asks.Generation, asks.Spec.DiscoveryHandler.DiscoveryDetails = 3, "another"
		r.set("set a/c cap=5, ask a/c", asks)
		other := configuration("b", "c", "2", 0)
		r.set("warn b/c ConfigurationRefused, status b/c Failed", asks, other)
		r.set("", asks, other)
		r.set("drop a/c, set b/c cap=1, ask b/c", other)
		again := configuration("b", "c", "3", 0)
		r.set("drop b/c, set b/c cap=1, ask b/c", again)
		r.set("drop b/c")
		r.asker.Beat(t.Context())
		r.stop()
	})
}

func withSecret(c *v0.Configuration, from *v0.DiscoveryPropertySource) *v0.Configuration {
	c.Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{{Name: "P", ValueFrom: from}}
	return c
}

func TestAskerFollowsSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newCluster()
		r := startAsker(t, api, nil)
		s := withSecret(configuration("a", "s", "4", 0), fromSecret("", "s", "k", false))
		r.set("retain 1, set a/s cap=1 unasked, warn a/s PropertiesNotResolved, set a/s cap=1 unasked problem", s)
		api.set("Secret a/s", "one")
		r.does("set a/s cap=1, ask a/s P=one")
		api.set("Secret a/s", "one")
		r.does("")
		api.set("Secret a/other", "x")
		r.does("")
		api.set("Secret a/s", "two")
		r.does("set a/s cap=1, ask a/s P=two")

		// A Secret that is deleted takes nothing away.
		api.set("Secret a/s", "")
		r.does("warn a/s PropertiesNotResolved, set a/s cap=1 problem")
		bigger := s.DeepCopy()
		bigger.Generation, bigger.Spec.Capacity = 2, 7
		r.set("set a/s cap=7 problem", bigger)
		api.set("Secret a/s", "two")
		r.does("set a/s cap=7") // the same request: it is not asked again
		api.set("Secret a/s", "three")
		r.does("set a/s cap=7, ask a/s P=three")

		// One watch an object, however many Configurations refer to it.
		t2 := withSecret(configuration("a", "t", "5", 0), fromSecret("a", "s", "k", false))
		r.set("set a/t cap=1, ask a/t P=three", bigger, t2)
		if n := api.open(); n != 1 {
			t.Errorf("%d watches of one object", n)
		}
		r.set("drop a/s", t2)
		if n := api.open(); n != 1 {
			t.Errorf("%d watches of an object that is needed", n)
		}
		plain := t2.DeepCopy()
		plain.Generation, plain.Spec.DiscoveryHandler.DiscoveryProperties = 2, nil
		r.set("set a/t cap=1, ask a/t", plain)
		if n := api.open(); n != 0 {
			t.Errorf("%d watches of an object that nobody needs", n)
		}
		r.stop()
	})
}

func TestAskerReadsWhatItMayNotWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newCluster()
		api.set("Secret a/s", "one")
		api.may(false, false)
		r := startAsker(t, api, nil)
		r.set("retain 1, set a/s cap=1 unasked, warn a/s PropertiesNotResolved, set a/s cap=1 unasked problem",
			withSecret(configuration("a", "s", "4", 0), fromSecret("", "s", "k", false)))
		api.may(true, false)
		time.Sleep(maxRetryDelay)
		r.does("set a/s cap=1, ask a/s P=one")
		api.set("Secret a/s", "two")
		r.does("")
		time.Sleep(maxPollInterval)
		r.does("set a/s cap=1, ask a/s P=two")
		// The right to watch is noticed.
		api.may(true, true)
		time.Sleep(maxPollInterval)
		r.does("")
		api.set("Secret a/s", "three")
		r.does("set a/s cap=1, ask a/s P=three")
		// And so is that all rights are taken; what is known goes on.
		api.may(false, false)
		time.Sleep(maxPollInterval)
		r.does("warn a/s PropertiesNotResolved, set a/s cap=1 problem")
		r.stop()
	})
}

func TestRestartWithoutAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newCluster()
		api.set("Secret a/s", "hunter2")
		api.set("ConfigMap a/m", "open")
		store := &disk{}
		r := startAsker(t, api, store)
		one := configuration("a", "c", "1", time.Hour)
		one.Spec.Capacity, one.Spec.BrokerProperties = 3, map[string]string{"B": "x"}
		one.Spec.DiscoveryHandler.DiscoveryDetails = "details"
		value := "v"
		one.Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{{Name: "E"}, {Name: "P", Value: &value},
			{Name: "M", ValueFrom: fromConfigMap("", "m", "k", false)}}
		hidden := withSecret(configuration("a", "s", "4", 0), fromSecret("", "s", "k", true))
		gone := configuration("a", "gone", "5", 0)
		r.asker.Set([]*v0.Configuration{one, hidden, gone})
		settle()
		r.take()
		time.Sleep(2 * saveDelay)
		synctest.Wait()
		if store.Saves() != 1 {
			t.Errorf("saved %d times", store.Saves())
		}
		time.Sleep(time.Hour)
		r.stop()
		if store.Saves() != 1 {
			t.Errorf("saved %d times, though nothing had changed", store.Saves())
		}
		if s := string(store.JSON()); strings.Contains(s, "hunter2") || strings.Contains(s, "aHVudGVyMg") || !strings.Contains(s, "details") {
			t.Errorf("the store holds %s", s)
		}

		r = startAsker(t, api, store)
		r.does("set a/c cap=3, ask a/c E= M=open P=v, set a/gone cap=1, ask a/gone")
		if !r.asker.Started() {
			t.Error("not started, though there is a store")
		}
		// The Configurations come: what is asked already is not asked again.
		r.set("retain 2, drop a/gone, set a/s cap=1 unasked, set a/s cap=1, ask a/s P=hunter2", one, hidden)
		r.stop()

		// An empty store is one: there was nothing to ask.
		empty := &disk{}
		r = startAsker(t, api, empty)
		r.set("retain 0")
		r.stop()
		if empty.JSON() == nil {
			t.Error("nothing saved of no Configurations")
		}
	})
}

// Two agents, or one that was restarted, make a request with a secret
// different ids: an id must not serve to try out passwords.
func TestIDsOfSecretsAreSalted(t *testing.T) {
	ids := map[string]map[string]bool{}
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			api := newCluster()
			api.set("Secret a/s", "one")
			api.set("ConfigMap a/s", "one")
			r := startAsker(t, api, nil)
			r.asker.Set([]*v0.Configuration{
				withSecret(configuration("a", "s", "4", 0), fromSecret("", "s", "k", false)),
				withSecret(configuration("a", "m", "5", 0), fromConfigMap("", "s", "k", false)),
			})
			settle()
			r.stop()
			for name, act := range r.asker.active {
				if ids[name.Name] == nil {
					ids[name.Name] = map[string]bool{}
				}
				ids[name.Name][act.id] = true
			}
		})
	}
	if len(ids["s"]) != 2 || len(ids["m"]) != 1 {
		t.Errorf("ids: %v, want two of the Secret and one of the ConfigMap", ids)
	}
}

func TestTooManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newCluster()
		c := newObjectCache(api, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		refs := map[Ref]bool{}
		for i := range maxObjects + 1 {
			refs[Ref{secret, "ns", fmt.Sprintf("s%04d", i)}] = true
		}
		c.want(ctx, refs)
		settle()
		if n := api.open(); n != maxObjects {
			t.Errorf("%d watches, want %d", n, maxObjects)
		}
		if got := c.known(Ref{secret, "ns", fmt.Sprintf("s%04d", maxObjects)}); got.Err != errTooMany {
			t.Errorf("one too many is %+v", got)
		}
		cancel()
		c.stop()
	})
}

// A disk that stays full is one fact, not one each second.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	store := &disk{}
	store.Fail(syscall.ENOSPC)
	a := New(Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 10 {
		a.dirty = true
		if a.save() {
			t.Fatal("saved on a full disk")
		}
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, log.String())
	}
}
