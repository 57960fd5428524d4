package publish

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/shorten"
)

// Reasons of the Events on a Configuration.
const (
	EventDeviceFound = "DeviceFound"
	EventDeviceLost  = "DeviceLost"
)

const (
	// eventDelay is how long an Event waits for more of its kind.
	eventDelay = time.Second
	// eventBurst and eventEvery are the bucket of each Configuration.
	eventBurst = 10
	eventEvery = 30 * time.Second
	// eventRepeat is how long the same warning is not repeated.
	eventRepeat = 10 * time.Minute
	// maxKinds bounds the different warnings that wait for one Configuration.
	maxKinds = 20
	// maxNote is the limit of events.k8s.io/v1.
	maxNote = 1024
)

// EventAPI writes Events.
type EventAPI interface {
	Reachable() bool
	CreateEvent(ctx context.Context, e kubeclient.Event) error
}

// Regarding is the object that an Event is about: a Configuration, or this
// node if Node is set.
type Regarding struct {
	Configuration types.NamespacedName
	UID           types.UID
	Node          bool
}

func regarding(d inventory.Device) Regarding {
	return Regarding{
		Configuration: types.NamespacedName{Namespace: d.Instance.Namespace, Name: d.Configuration},
		UID:           d.Owner,
	}
}

// Eventer writes Events on Configurations and the node: few, each for all of its kind that
// happened in the meantime, and never more than a bucket of that object
// allows. Events are a courtesy: what cannot be written is dropped.
type Eventer struct {
	api  EventAPI
	node string
	log  *slog.Logger

	mu     sync.Mutex
	topics map[Regarding]*topic
	wake   chan struct{}
	serial uint64
}

// topic is what waits to be said of one Configuration.
type topic struct {
	tokens  float64
	filled  time.Time
	pending map[kind]*bundle
	said    map[kind]time.Time
}

// kind tells Events apart that are not put together.
type kind struct{ reason, note string }

// bundle is one Event in the making.
type bundle struct {
	warning bool
	count   int
	one     string // what to say if there is only one
	many    string // what to say of more, after their number
	since   time.Time
}

// NewEventer returns an Eventer for a node.
func NewEventer(api EventAPI, node string, log *slog.Logger) *Eventer {
	return &Eventer{api: api, node: node, log: log, topics: map[Regarding]*topic{}, wake: make(chan struct{}, 1)}
}

// Found says that a device was found and has an Instance.
func (e *Eventer) Found(d inventory.Device) {
	e.add(regarding(d), kind{reason: EventDeviceFound}, bundle{
		one:  fmt.Sprintf("found device %q on node %s: Instance %s", quoted(d.Reported.ID), e.node, d.Instance.Name),
		many: "devices found on node " + e.node,
	})
}

// Lost says that a device has left the node.
func (e *Eventer) Lost(d inventory.Device) {
	e.add(regarding(d), kind{reason: EventDeviceLost}, bundle{
		one:  fmt.Sprintf("device %q left node %s: it was Instance %s", quoted(d.Reported.ID), e.node, d.Instance.Name),
		many: "devices left node " + e.node,
	})
}

// Warn reports a problem. The same one is not repeated for ten minutes.
func (e *Eventer) Warn(r Regarding, reason, note string) {
	note = shorten.Text(note, maxNote-len(e.node)-16)
	e.add(r, kind{reason, note}, bundle{warning: true, one: fmt.Sprintf("node %s: %s", e.node, note)})
}

func (e *Eventer) add(r Regarding, k kind, b bundle) {
	if r.Configuration.Name == "" && !r.Node {
		return
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.topics[r]
	if t == nil {
		t = &topic{tokens: eventBurst, filled: now, pending: map[kind]*bundle{}, said: map[kind]time.Time{}}
		e.topics[r] = t
	}
	if at, said := t.said[k]; b.warning && said && now.Sub(at) < eventRepeat {
		return
	}
	old := t.pending[k]
	switch {
	case old != nil:
		old.count++
		return
	case len(t.pending) >= maxKinds:
		return
	}
	b.count, b.since = 1, now
	t.pending[k] = &b
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx is done.
func (e *Eventer) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		}
		due, next := e.due(time.Now())
		for _, event := range due {
			if err := e.api.CreateEvent(ctx, event); err != nil && ctx.Err() == nil {
				e.log.Debug("event not written", "reason", event.Reason, "note", event.Note, "error", err)
			}
		}
		timer.Reset(next)
	}
}

// due takes out what is to be written now, and tells when to look again.
func (e *Eventer) due(now time.Time) (due []kubeclient.Event, next time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next = time.Hour
	for r, t := range e.topics {
		t.tokens = min(eventBurst, t.tokens+now.Sub(t.filled).Seconds()/eventEvery.Seconds())
		t.filled = now
		for k, at := range t.said {
			if now.Sub(at) >= eventRepeat {
				delete(t.said, k)
			}
		}
		for k, b := range t.pending {
			wait := b.since.Add(eventDelay).Sub(now)
			switch {
			case wait > 0:
				next = min(next, wait)
			case t.tokens < 1:
				next = min(next, time.Duration((1-t.tokens)*float64(eventEvery))+time.Millisecond)
			case !e.api.Reachable():
				next = min(next, eventEvery) // it goes on counting meanwhile
			default:
				t.tokens--
				delete(t.pending, k)
				if b.warning {
					t.said[k] = now
				}
				due = append(due, e.event(r, k, b, now))
			}
		}
		switch {
		case len(t.pending) > 0:
		case len(t.said) == 0 && t.tokens >= eventBurst-0.001:
			delete(e.topics, r)
		default: // to be forgotten later
			next = min(next, eventRepeat)
		}
	}
	return due, next
}

func (e *Eventer) event(r Regarding, k kind, b *bundle, now time.Time) kubeclient.Event {
	e.serial++
	note, level := b.one, "Normal"
	if b.warning {
		level = "Warning"
	}
	if b.count > 1 && b.many != "" {
		note = strconv.Itoa(b.count) + " " + b.many
	}
	object := kubeclient.EventRegarding{
		APIVersion: v0.GroupVersion.String(), Kind: "Configuration",
		Namespace: r.Configuration.Namespace, Name: r.Configuration.Name, UID: string(r.UID),
	}
	namespace := object.Namespace
	if r.Node {
		// As the kubelet does it, so that kubectl describe node shows it.
		object = kubeclient.EventRegarding{APIVersion: "v1", Kind: "Node", Name: e.node, UID: e.node}
		namespace = metav1.NamespaceDefault
	}
	name := strings.TrimRight(object.Name[:min(len(object.Name), maxEventName)], ".-") + "." + strconv.FormatInt(now.UnixNano(), 16) + strconv.FormatUint(e.serial, 16)
	return kubeclient.Event{
		Metadata:            kubeclient.EventMeta{Name: name, Namespace: namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: v0.ResourcePrefix + "/agent",
		ReportingInstance:   shorten.Text(e.node, maxInstance),
		Action:              "Discover",
		Reason:              k.reason,
		Regarding:           object,
		Note:                shorten.Text(note, maxNote),
		Type:                level,
	}
}

const (
	// maxInstance is the limit of an Event's reportingInstance.
	maxInstance = 128
	// maxEventName leaves room for what makes an Event's name unique.
	maxEventName = 200
)
