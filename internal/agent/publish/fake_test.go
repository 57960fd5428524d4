package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

func newFakeAPI(objects ...*v0.Instance) *fakeAPI {
	f := &fakeAPI{objects: map[types.NamespacedName]*v0.Instance{}, tries: map[string]int{}, applied: map[string]string{}, refuse: map[string]error{}}
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

func (f *fakeAPI) WatchInstances(ctx context.Context, selector string, trim func(*v0.Instance), h kubeclient.Handler[*v0.Instance]) {
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
	h.Replaced(all, "1")
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

func TestRefusedDoesNotStarve(t *testing.T) {
	f := newFakeAPI()
	const bad = 200
	for i := range bad {
		f.refuse[numbered(i).Instance.Name] = apierrors.NewForbidden(v0.GroupVersion.WithResource("instances").GroupResource(), "x", errTest)
	}
	inBubble(t, f, func(p *Publisher) {
		for i := range bad {
			p.DeviceChanged(numbered(i))
		}
		time.Sleep(time.Minute)
		p.DeviceChanged(numbered(bad))
		synctest.Wait()
		if !f.has(numbered(bad).Instance) {
			t.Error("refused Instances hold up another")
		}
		before := f.triesOf(numbered(0).Instance.Name)
		time.Sleep(10 * time.Minute)
		tries := f.triesOf(numbered(0).Instance.Name) - before
		if tries < 15 || tries > 35 {
			t.Errorf("%d tries in ten minutes", tries)
		}
		f.mu.Lock()
		clear(f.refuse)
		f.mu.Unlock()
		warnings := len(f.notes())
		if warnings == 0 || warnings > 60 {
			t.Errorf("%d Events about it", warnings)
		}
		time.Sleep(backoffMost)
		synctest.Wait()
		if !f.has(numbered(0).Instance) {
			t.Error("it is not tried again")
		}
	})
}

func TestAwayIsWaitedFor(t *testing.T) {
	f := newFakeAPI()
	inBubble(t, f, func(p *Publisher) {
		f.mu.Lock()
		f.away = true
		f.mu.Unlock()
		for i := range 100 {
			p.DeviceChanged(numbered(i))
		}
		p.ConfigurationStatus(types.NamespacedName{Namespace: "default", Name: "cam"}, owner, v0.ConfigurationNode{State: v0.DiscoveryActive})
		time.Sleep(time.Hour)
		if n := f.triesOf(numbered(0).Instance.Name); n != 0 || p.Pending() != 100 {
			t.Errorf("%d tries while away, %d wait", n, p.Pending())
		}
		f.mu.Lock()
		f.away = false
		f.mu.Unlock()
		p.APIReachable(true)
		time.Sleep(2 * time.Second)
		for i := range 100 {
			if !f.has(numbered(i).Instance) {
				t.Errorf("device %d is not published", i)
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.statuses != 1 {
			t.Errorf("%d status writes", f.statuses)
		}
	})
}

// away is an arbiter that cannot be asked.
type away struct{}

func (away) Reachable() bool { return false }

// Behind a local API server the arbiter may be away while the API answers: facts
// are written, and no slot is claimed.
func TestArbiterIsAway(t *testing.T) {
	f := newFakeAPI()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := New(Options{Node: "a", API: f, Arbiter: away{}, Logger: slog.New(slog.DiscardHandler)})
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		<-p.Synced()
		d := deviceFor("a", true, nil)
		p.DeviceChanged(d)
		synctest.Wait()
		if !f.has(d.Instance) {
			t.Error("the device is not published")
		}
		slot := v0.SlotID(d.Instance.Name, 0)
		err := p.Claim(ctx, d.Instance, map[string]v0.Usage{slot: {Node: "a", Door: v0.DoorInstance}})
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("claim: %v, want %v", err, ErrUnreachable)
		}
		synctest.Wait()
		if n := f.triesOf(d.Instance.Name); n != 1 {
			t.Errorf("%d writes, want the first alone", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLegacyIsLeftInTheEnd(t *testing.T) {
	made := func(i int) *v0.Instance {
		o := published("a", numbered(i), "a")
		o.Labels, o.Annotations = nil, nil
		return o
	}
	f := newFakeAPI(made(1), made(2), published("a", numbered(3), "a"))
	f.listFails = 2
	inBubble(t, f, func(p *Publisher) {
		synctest.Wait()
		time.Sleep(time.Minute)
		p.DeviceChanged(numbered(1)) // its handler has reported it
		time.Sleep(legacyGrace - 2*time.Minute)
		if !f.has(numbered(2).Instance) {
			t.Error("it is gone too soon")
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if f.has(numbered(2).Instance) {
			t.Error("what nobody reports stays for ever")
		}
		if !f.has(numbered(1).Instance) || !f.has(numbered(3).Instance) {
			t.Error("too much is gone")
		}
	})
}

func TestNameOfAConfiguration(t *testing.T) {
	f := newFakeAPI()
	inBubble(t, f, func(p *Publisher) {
		d := numbered(1)
		taken := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: d.Instance.Name}}
		p.SetConfigurations([]*v0.Configuration{taken})
		p.DeviceChanged(d)
		time.Sleep(5 * time.Second)
		if notes := f.notes(); f.has(d.Instance) || len(notes) != 1 {
			t.Errorf("published %v, Events %q", f.has(d.Instance), notes)
		}
		p.SetConfigurations(nil)
		synctest.Wait()
		if !f.has(d.Instance) {
			t.Error("not published after the name became free")
		}
	})
}

// A device that has no Instance is said so in the status, as long as it has none.
func TestRefusedIsInTheStatus(t *testing.T) {
	d := numbered(1)
	f := newFakeAPI()
	f.refuse[d.Instance.Name] = apierrors.NewInvalid(v0.GroupVersion.WithKind("Instance").GroupKind(), d.Instance.Name, nil)
	inBubble(t, f, func(p *Publisher) {
		status := func(what, want string) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			if !strings.Contains(f.status, want) || want == "" && strings.Contains(f.status, "without Instance") {
				t.Errorf("%s: status is %s, want %q in it", what, f.status, want)
			}
		}
		of := types.NamespacedName{Namespace: d.Instance.Namespace, Name: d.Configuration}
		p.ConfigurationStatus(of, owner, v0.ConfigurationNode{State: v0.DiscoveryActive, Devices: 2, Message: "udev0 answers"})
		status("at first", "udev0 answers")
		p.DeviceChanged(d)
		status("refused", `1 without Instance: apply instance default/`+d.Instance.Name)
		status("refused", `; udev0 answers`)
		taken := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Name: numbered(0).Instance.Name}}
		p.SetConfigurations([]*v0.Configuration{taken})
		p.DeviceChanged(numbered(0))
		status("two", "2 without Instance: instance "+numbered(0).Instance.Name)
		p.SetConfigurations(nil)
		status("one again", `1 without Instance: apply`)
		p.DeviceGone(d)
		status("gone", "")
	})
}

func TestRoom(t *testing.T) {
	f := newFakeAPI()
	f.slow = time.Second
	inBubble(t, f, func(p *Publisher) {
		took := func(crowd int) time.Duration {
			for i := range crowd {
				d := numbered(i)
				d.Capacity += crowd // something new to write
				p.DeviceChanged(d)
			}
			began := time.Now()
			p.Room(context.Background())
			return time.Since(began)
		}
		if d := took(p.opts.Workers); d != 0 {
			t.Errorf("a few wait %v", d)
		}
		time.Sleep(time.Minute)
		if d := took(4 * p.opts.Workers); d != 2*time.Second {
			t.Errorf("a crowd of four rounds waits %v, want two of a second", d)
		}
		time.Sleep(time.Minute)
		f.mu.Lock()
		f.away = true
		f.mu.Unlock()
		if d := took(8 * p.opts.Workers); d != 0 {
			t.Errorf("without an API server a crowd waits %v", d)
		}
	})
}
