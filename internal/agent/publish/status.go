package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// statusDelay lets a burst of changes become one write. statusInterval is the
	// shortest time between two writes to one Configuration.
	statusDelay    = 200 * time.Millisecond
	statusInterval = time.Second
)

// statuses writes this node's entry in the status of Configurations.
type statuses struct {
	api  API
	node string
	log  *slog.Logger

	mu     sync.Mutex
	wanted map[types.NamespacedName]*statusGoal
	// refused says by Configuration and name of the Instance why a device has
	// none.
	refused map[types.NamespacedName]map[string]string
	queue   workqueue.TypedDelayingInterface[types.NamespacedName]
	missing bool // the CRD has no status subresource
}

type statusGoal struct {
	owner types.UID
	// said is the inventory's entry; entry is what is written, with the refused
	// devices added.
	said, entry v0.ConfigurationNode
	// known is the entry as the API server has it, if it was read.
	known    *v0.ConfigurationNode
	wrote    time.Time
	failures int
	waiting  bool // until the API server is reachable
}

func newStatuses(api API, node string, log *slog.Logger) *statuses {
	return &statuses{
		api: api, node: node, log: log,
		wanted:  map[types.NamespacedName]*statusGoal{},
		refused: map[types.NamespacedName]map[string]string{},
		queue:   workqueue.NewTypedDelayingQueue[types.NamespacedName](),
	}
}

func (s *statuses) set(name types.NamespacedName, owner types.UID, entry v0.ConfigurationNode) {
	entry.Name = s.node
	s.mu.Lock()
	w := s.wanted[name]
	if w == nil || w.owner != owner {
		w = &statusGoal{owner: owner}
		s.wanted[name] = w
	}
	w.said, w.entry = entry, withRefused(entry, s.refused[name])
	wait := max(statusDelay, statusInterval-time.Since(w.wrote))
	s.mu.Unlock()
	s.queue.AddAfter(name, wait)
}

// refuse notes why a device of a Configuration has no Instance; "" if it has one,
// or is gone.
func (s *statuses) refuse(name types.NamespacedName, instance, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.refused[name]
	if all[instance] == why {
		return
	}
	if why == "" {
		delete(all, instance)
	} else if all == nil {
		all = map[string]string{instance: why}
		s.refused[name] = all
	} else {
		all[instance] = why
	}
	if len(all) == 0 {
		delete(s.refused, name)
	}
	if w := s.wanted[name]; w != nil {
		w.entry = withRefused(w.said, all)
		s.queue.AddAfter(name, max(statusDelay, statusInterval-time.Since(w.wrote)))
	}
}

// withRefused adds to an entry how many devices have no Instance, and why the
// first of them has none.
func withRefused(entry v0.ConfigurationNode, refused map[string]string) v0.ConfigurationNode {
	if len(refused) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(refused)))
		says := fmt.Sprintf("%d without Instance: %s", len(refused), refused[first])
		if entry.Message != "" {
			says += "; " + entry.Message
		}
		entry.Message = says
	}
	entry.Message = shorten.Text(entry.Message, maxMessageBytes)
	return entry
}

// retry is called when the API server is reachable again.
func (s *statuses) retry() {
	s.mu.Lock()
	var names []types.NamespacedName
	for name, w := range s.wanted {
		if w.waiting {
			w.waiting = false
			names = append(names, name)
		}
	}
	s.mu.Unlock()
	for _, name := range names {
		s.queue.Add(name)
	}
}

func (s *statuses) run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		s.queue.ShutDown()
	}()
	for {
		name, shutdown := s.queue.Get()
		if shutdown {
			return
		}
		if again := s.write(ctx, name); again > 0 && ctx.Err() == nil {
			s.queue.AddAfter(name, again)
		}
		s.queue.Done(name)
	}
}

// errForget says that there is no longer anything to write to.
var errForget = errors.New("the Configuration is gone")

// write writes one entry if need be, and returns how long to wait before another
// try.
func (s *statuses) write(ctx context.Context, name types.NamespacedName) time.Duration {
	s.mu.Lock()
	w := s.wanted[name]
	if w == nil || s.missing {
		s.mu.Unlock()
		return 0
	}
	if wait := statusInterval - time.Since(w.wrote); wait > 0 {
		s.mu.Unlock()
		return wait
	}
	owner, entry, known := w.owner, w.entry, w.known
	w.waiting = !s.api.Reachable()
	waiting := w.waiting
	s.mu.Unlock()
	if waiting {
		if s.api.Reachable() { // since we looked
			s.retry()
		}
		return 0
	}

	known, err := s.bring(ctx, name, owner, entry, known)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted[name] != w {
		return 0 // of another Configuration by now; that one is in the queue
	}
	switch {
	case err == nil:
		if known == nil || w.known == nil || *known != *w.known {
			w.wrote = time.Now()
		}
		w.known, w.failures = known, 0
		return 0
	case errors.Is(err, errForget):
		delete(s.wanted, name)
		return 0
	case terminating(err):
	default:
		s.log.Warn("status of Configuration not written; trying again", "configuration", name, "error", err)
	}
	w.known = nil
	w.failures++
	return backoff.Backoff{First: 2 * statusInterval, Max: maxRetryDelay, Jitter: retryJitter}.Delay(w.failures)
}

// bring writes an entry unless it is there already, and returns it.
func (s *statuses) bring(ctx context.Context, name types.NamespacedName, owner types.UID, entry v0.ConfigurationNode, known *v0.ConfigurationNode) (*v0.ConfigurationNode, error) {
	if known == nil {
		c, err := s.api.GetConfiguration(ctx, name)
		switch {
		case err != nil:
			return nil, err
		case c == nil || c.UID != owner:
			return nil, errForget
		}
		for _, n := range c.Status.Nodes {
			if n.Name == s.node {
				known = &n
			}
		}
	}
	if known != nil && *known == entry {
		return known, nil
	}
	body, err := json.Marshal(statusObject(name, owner, entry))
	if err != nil {
		return nil, err
	}
	err = s.api.ApplyConfigurationStatus(ctx, name, FactsManager(s.node), body)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsInvalid(err):
		c, e := s.api.GetConfiguration(ctx, name)
		switch {
		case e != nil:
			return nil, e
		case c == nil || c.UID != owner:
			return nil, errForget
		case apierrors.IsNotFound(err):
			s.mu.Lock()
			s.missing = true
			s.mu.Unlock()
			s.log.Warn("the CRD of Configurations has no status subresource: status is not shown; update it with the chart's crds/")
			return nil, nil
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	return &entry, nil
}

// configurationStatus is the part of a Configuration that a node applies.
type configurationStatus struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        ObjectMeta `json:"metadata"`
	Status          struct {
		Nodes []v0.ConfigurationNode `json:"nodes"`
	} `json:"status"`
}

func statusObject(name types.NamespacedName, uid types.UID, entry v0.ConfigurationNode) configurationStatus {
	o := configurationStatus{
		TypeMeta: metav1.TypeMeta{APIVersion: v0.GroupVersion.String(), Kind: "Configuration"},
		Metadata: ObjectMeta{Name: name.Name, Namespace: name.Namespace, UID: uid},
	}
	o.Status.Nodes = []v0.ConfigurationNode{entry}
	return o
}
