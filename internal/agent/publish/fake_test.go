package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/events"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
)

// fakeAPI stands in for the API server where a test is about time, which only
// stands still inside a synctest bubble. It knows creation, deletion and
// refusal, and none of server-side apply's rules: those are tested on the real
// one.
type fakeAPI struct {
	mu        sync.Mutex
	away      bool
	version   int
	objects   map[types.NamespacedName]*v0.Instance
	tries     map[string]int
	applied   map[string]string // what was applied first
	refuse    map[string]error
	listFails int
	statuses  int
	status    string        // the last one
	slow      time.Duration // what an apply takes
	events    []kubeclient.Event
}

// fakeListVersion is the resource version of lists; writes have later ones.
const fakeListVersion = "7"

func newFakeAPI(objects ...*v0.Instance) *fakeAPI {
	f := &fakeAPI{version: 7, objects: map[types.NamespacedName]*v0.Instance{}, tries: map[string]int{}, applied: map[string]string{}, refuse: map[string]error{}}
	for _, o := range objects {
		f.objects[nameOf(o)] = o
	}
	return f
}

func (f *fakeAPI) Reachable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.away
}

func (f *fakeAPI) setAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *fakeAPI) ApplyInstance(_ context.Context, name types.NamespacedName, a kubeclient.Apply) (*v0.Instance, error) {
	time.Sleep(f.slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tries[name.Name]++; f.tries[name.Name] == 1 {
		f.applied[name.Name] = string(a.Body)
	}
	if err := f.refuse[name.Name]; err != nil {
		return nil, err
	}
	o := new(v0.Instance)
	if err := json.Unmarshal(a.Body, o); err != nil {
		return nil, err
	}
	f.version++
	o.UID, o.ResourceVersion = types.UID(fmt.Sprint("uid-", f.version)), strconv.Itoa(f.version)
	f.objects[name] = o
	return o.DeepCopy(), nil
}

func (f *fakeAPI) PatchInstance(context.Context, types.NamespacedName, string, string, []byte) (*v0.Instance, error) {
	return nil, errTest
}

func (f *fakeAPI) DeleteInstance(_ context.Context, name types.NamespacedName, uid types.UID, _ string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[name]; o == nil || o.UID != uid {
		return false, errTest
	}
	delete(f.objects, name)
	return true, nil
}

func (f *fakeAPI) GetInstance(_ context.Context, name types.NamespacedName) (*v0.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[name]; o != nil {
		return o.DeepCopy(), nil
	}
	return nil, nil
}

func (f *fakeAPI) EachInstance(_ context.Context, _ string, each func(*v0.Instance)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listFails > 0 {
		f.listFails--
		return errTest
	}
	for _, o := range f.objects {
		each(o)
	}
	return nil
}

func (f *fakeAPI) WatchInstances(ctx context.Context, selector string, trim func(*v0.Instance), h kubeclient.Observer[*v0.Instance]) {
	var all []*v0.Instance
	f.mu.Lock()
	for _, o := range f.objects {
		if selector == v0.LabelShared+"=true" && o.Labels[v0.LabelShared] == "true" {
			all = append(all, o.DeepCopy())
		}
	}
	f.mu.Unlock()
	for _, o := range all {
		trim(o)
	}
	h.Replaced(all, fakeListVersion)
	<-ctx.Done()
}

func (f *fakeAPI) GetConfiguration(_ context.Context, name types.NamespacedName) (*v0.Configuration, error) {
	return &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: owner}}, nil
}

func (f *fakeAPI) ApplyConfigurationStatus(_ context.Context, _ types.NamespacedName, _ string, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses++
	f.status = string(body)
	return nil
}

func (f *fakeAPI) CreateEvent(_ context.Context, e kubeclient.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	return nil
}

// notes returns what Events have said since the last call.
func (f *fakeAPI) notes() (notes []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		notes = append(notes, e.Note)
	}
	f.events = nil
	return notes
}

func (f *fakeAPI) has(name types.NamespacedName) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[name] != nil
}

func (f *fakeAPI) triesOf(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tries[name]
}

// inBubble runs a test with a publisher on a fake API.
func inBubble(t *testing.T, f *fakeAPI, test func(p *Publisher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log := slog.New(slog.DiscardHandler)
		says := events.New(f, "a", log)
		p := New(Options{Node: "a", API: f, Events: says, Logger: log})
		done := make(chan error, 1)
		go says.Run(ctx)
		go func() { done <- p.Run(ctx) }()
		<-p.Synced()
		test(p)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func numbered(i int) inventory.Device {
	d := deviceFor("a", false, nil)
	d.Reported.ID = fmt.Sprint("device-", i)
	d.Instance.Name = v0.InstanceName("cam", fmt.Sprintf("%06d", i))
	return d
}
