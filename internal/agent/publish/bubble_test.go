package publish

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

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
		time.Sleep(maxRetryDelay)
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
