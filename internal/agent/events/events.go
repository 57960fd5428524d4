package events

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

// Reasons of the Events about devices, on their Configuration.
const (
	DeviceFound = "DeviceFound"
	DeviceLost  = "DeviceLost"
)

const (
	// collectDelay is how long an Event waits for more of its kind.
	collectDelay = time.Second
	// bucketSize is how many Events an object's bucket has, and refillInterval
	// how long one takes to come back.
	bucketSize     = 10
	refillInterval = 30 * time.Second
	// repeatInterval is how long the same warning is not repeated.
	repeatInterval = 10 * time.Minute
	// maxKinds bounds the different Events that wait for one object.
	maxKinds = 20
)

// Limits of events.k8s.io/v1.
const (
	maxNoteBytes              = 1024
	maxReportingInstanceBytes = 128
	// maxNameBytes leaves room for what makes an Event's name unique.
	maxNameBytes = 200
)

// maxQuotedBytes bounds what a note quotes of a device's id.
const maxQuotedBytes = 64

// API writes Events. [kubeclient.Client] is one.
type API interface {
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

// Of returns what an Event about a device regards: its Configuration.
func Of(d inventory.Device) Regarding {
	return Regarding{
		Configuration: types.NamespacedName{Namespace: d.Instance.Namespace, Name: d.Configuration},
		UID:           d.Owner,
	}
}

// Writer writes the Events of a node. Its methods may be called by several
// goroutines.
type Writer struct {
	api  API
	node string
	log  *slog.Logger

	mu     sync.Mutex
	topics map[Regarding]*topic
	wake   chan struct{}
	serial uint64
}

// topic is what waits to be written about one object.
type topic struct {
	tokens  float64
	filled  time.Time
	pending map[kind]*bundle
	said    map[kind]time.Time
}

// kind identifies Events that become one.
type kind struct{ reason, note string }

// bundle is one Event in the making.
type bundle struct {
	warning bool
	count   int
	one     string // what to say if there is only one
	many    string // what to say of more, after their number
	since   time.Time
}

// New returns a Writer; [Writer.Run] makes it work.
func New(api API, node string, log *slog.Logger) *Writer {
	return &Writer{api: api, node: node, log: log, topics: map[Regarding]*topic{}, wake: make(chan struct{}, 1)}
}

// Found says that a device was found and has an Instance.
func (w *Writer) Found(d inventory.Device) {
	w.add(Of(d), kind{reason: DeviceFound}, bundle{
		one:  fmt.Sprintf("found device %q on node %s: Instance %s", shorten.Text(d.Reported.ID, maxQuotedBytes), w.node, d.Instance.Name),
		many: "devices found on node " + w.node,
	})
}

// Lost says that a device has left the node.
func (w *Writer) Lost(d inventory.Device) {
	w.add(Of(d), kind{reason: DeviceLost}, bundle{
		one:  fmt.Sprintf("device %q left node %s: it was Instance %s", shorten.Text(d.Reported.ID, maxQuotedBytes), w.node, d.Instance.Name),
		many: "devices left node " + w.node,
	})
}

// Warn writes a warning. The same warning is not repeated for ten minutes.
func (w *Writer) Warn(r Regarding, reason, note string) {
	note = shorten.Text(note, maxNoteBytes-len(w.node)-16)
	w.add(r, kind{reason, note}, bundle{warning: true, one: fmt.Sprintf("node %s: %s", w.node, note)})
}

func (w *Writer) add(r Regarding, k kind, b bundle) {
	if r.Configuration.Name == "" && !r.Node {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.topics[r]
	if t == nil {
		t = &topic{tokens: bucketSize, filled: now, pending: map[kind]*bundle{}, said: map[kind]time.Time{}}
		w.topics[r] = t
	}
	if at, said := t.said[k]; b.warning && said && now.Sub(at) < repeatInterval {
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
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx is done.
func (w *Writer) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		due, next := w.due(time.Now())
		for _, event := range due {
			if err := w.api.CreateEvent(ctx, event); err != nil && ctx.Err() == nil {
				w.log.Debug("event not written", "reason", event.Reason, "note", event.Note, "error", err)
			}
		}
		timer.Reset(next)
	}
}

// due removes and returns the Events to write now, and returns when to look
// again.
func (w *Writer) due(now time.Time) (due []kubeclient.Event, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next = time.Hour
	for r, t := range w.topics {
		t.tokens = min(bucketSize, t.tokens+now.Sub(t.filled).Seconds()/refillInterval.Seconds())
		t.filled = now
		for k, at := range t.said {
			if now.Sub(at) >= repeatInterval {
				delete(t.said, k)
			}
		}
		for k, b := range t.pending {
			wait := b.since.Add(collectDelay).Sub(now)
			switch {
			case wait > 0:
				next = min(next, wait)
			case t.tokens < 1:
				next = min(next, time.Duration((1-t.tokens)*float64(refillInterval))+time.Millisecond)
			case !w.api.Reachable():
				next = min(next, refillInterval) // it goes on counting meanwhile
			default:
				t.tokens--
				delete(t.pending, k)
				if b.warning {
					t.said[k] = now
				}
				due = append(due, w.event(r, k, b, now))
			}
		}
		switch {
		case len(t.pending) > 0:
		case len(t.said) == 0 && t.tokens >= bucketSize-0.001:
			delete(w.topics, r)
		default: // to be forgotten later
			next = min(next, repeatInterval)
		}
	}
	return due, next
}

func (w *Writer) event(r Regarding, k kind, b *bundle, now time.Time) kubeclient.Event {
	w.serial++
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
		object = kubeclient.EventRegarding{APIVersion: "v1", Kind: "Node", Name: w.node, UID: w.node}
		namespace = metav1.NamespaceDefault
	}
	name := strings.TrimRight(object.Name[:min(len(object.Name), maxNameBytes)], ".-") + "." + strconv.FormatInt(now.UnixNano(), 16) + strconv.FormatUint(w.serial, 16)
	return kubeclient.Event{
		Metadata:            kubeclient.EventMeta{Name: name, Namespace: namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: v0.ResourcePrefix + "/agent",
		ReportingInstance:   shorten.Text(w.node, maxReportingInstanceBytes),
		Action:              "Discover",
		Reason:              k.reason,
		Regarding:           object,
		Note:                shorten.Text(note, maxNoteBytes),
		Type:                level,
	}
}
