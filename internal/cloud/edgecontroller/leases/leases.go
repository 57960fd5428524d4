// Package leases renews the Lease of each connected edge node, in the node's
// name, so that the cluster's controllers see that it is there.
//
// The kubelet's own renewals are answered at the edge and do not cross the link:
// what the cluster wants to know is whether the node can be reached, and the link
// says that.
package leases

import (
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/logging"
)

const (
	// RenewInterval is the usual time between two renewals. The controller-manager
	// waits for 50 s (--node-monitor-grace-period) before a node is not ready, so
	// one renewal may be missed.
	RenewInterval = 20 * time.Second
	// leaseDuration is what a Lease says of itself, as the kubelet's.
	leaseDuration = 40 * time.Second
	// renewTimeout bounds one renewal.
	renewTimeout = 8 * time.Second
	// workers is how many are renewed at a time: 10,000 nodes are 500 a second.
	workers = 32
	// maxAnswerBytes bounds the API server's answer.
	maxAnswerBytes = 256 << 10
)

// retry is when a renewal that failed is tried again.
var retry = backoff.Backoff{First: time.Second, Max: RenewInterval, Jitter: 0.3}

// Options say what a keeper works with.
type Options struct {
	Client *kube.Client
	Logger *slog.Logger
	// Interval is the time between two renewals; 0: [RenewInterval].
	Interval time.Duration
	// NodeUID returns the UID of a Node, empty while there is none: a Lease is
	// owned by its Node.
	NodeUID func(node string) string
	// Renewed is told of each renewal: how long after it was due it was done, and
	// whether it succeeded. It may be nil.
	Renewed func(late time.Duration, err error)
}

// Keeper renews Leases. Its methods may be called by several goroutines.
type Keeper struct {
	Options
	problem logging.Sparing

	mu    sync.Mutex
	nodes map[string]*lease
	due   queue
	wake  chan struct{}
}

// lease is a connected node's.
type lease struct {
	node     string
	sessions int
	at       time.Time // when it is due
	index    int       // in the queue; -1: it is being renewed
	renewed  bool      // once at least
	failures int
}

// tried says when a lease is due after a renewal that was tried, and how it ended.
func (l *lease) tried(now time.Time, interval time.Duration, err error) {
	if err != nil {
		l.failures++
		l.at = now.Add(retry.Delay(l.failures))
		return
	}
	jitter := 0.05
	if !l.renewed {
		// Nodes that connect together, after a fault of the network, have their first
		// renewals together. The second ones are spread over the interval.
		jitter = 0.9
	}
	l.failures, l.renewed = 0, true
	l.at = now.Add(backoff.Jitter(interval, jitter))
}

// New returns a keeper; see [Keeper.Run].
func New(o Options) *Keeper {
	if o.Renewed == nil {
		o.Renewed = func(time.Duration, error) {}
	}
	if o.Interval == 0 {
		o.Interval = RenewInterval
	}
	return &Keeper{Options: o, nodes: map[string]*lease{}, wake: make(chan struct{}, 1)}
}

// Add begins to renew a node's Lease, at once; it counts how often it is called.
func (k *Keeper) Add(node string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.nodes[node]
	if l == nil {
		l = &lease{node: node, at: time.Now()}
		k.nodes[node] = l
		heap.Push(&k.due, l)
		k.stir()
	}
	l.sessions++
}

// Remove undoes one Add.
func (k *Keeper) Remove(node string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.nodes[node]
	if l == nil {
		return
	}
	if l.sessions--; l.sessions > 0 {
		return
	}
	delete(k.nodes, node)
	if l.index >= 0 {
		heap.Remove(&k.due, l.index)
	}
}

// stir makes Run look at the queue.
func (k *Keeper) stir() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run renews until ctx is done.
func (k *Keeper) Run(ctx context.Context) error {
	work := make(chan *lease)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for l := range work {
				k.renew(ctx, l)
			}
		})
	}
	defer wait.Wait()
	defer close(work)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l, pause := k.next(time.Now())
		if l != nil {
			select {
			case work <- l:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-timer.C:
		}
	}
}

// next takes the Lease that is due, or says how long there will be none.
func (k *Keeper) next(now time.Time) (*lease, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.due) == 0 {
		return nil, time.Hour
	}
	if pause := k.due[0].at.Sub(now); pause > 0 {
		return nil, pause
	}
	return heap.Pop(&k.due).(*lease), 0
}

// renew renews one, and puts it back into the queue.
func (k *Keeper) renew(ctx context.Context, l *lease) {
	err := k.write(ctx, l.node)
	now := time.Now()
	if ctx.Err() == nil {
		k.Renewed(now.Sub(l.at), err)
		if err != nil {
			k.problem.Log(k.Logger, slog.LevelWarn, "a node's Lease cannot be renewed; trying again", "node", l.node,
				"error", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nodes[l.node] != l {
		return // the node has gone
	}
	l.tried(now, k.Interval, err)
	heap.Push(&k.due, l)
	k.stir()
}

// leaseObject is a coordination.k8s.io/v1 Lease, as far as it is written.
type leaseObject struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        *leaseMeta `json:"metadata,omitempty"`
	Spec            leaseSpec  `json:"spec"`
}

type leaseMeta struct {
	Name            string                  `json:"name"`
	Namespace       string                  `json:"namespace"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

type leaseSpec struct {
	HolderIdentity       string           `json:"holderIdentity"`
	LeaseDurationSeconds int32            `json:"leaseDurationSeconds"`
	RenewTime            metav1.MicroTime `json:"renewTime"`
}

// namespace is that of nodes' Leases.
const namespace = "kube-node-lease"

// write renews the Lease by a merge patch, and creates it if there is none.
func (k *Keeper) write(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	o := leaseObject{Spec: leaseSpec{
		HolderIdentity: node, LeaseDurationSeconds: int32(leaseDuration / time.Second),
		RenewTime: metav1.NewMicroTime(time.Now().UTC()),
	}}
	const path = "/apis/coordination.k8s.io/v1/namespaces/" + namespace + "/leases"
	err := k.send(ctx, node, http.MethodPatch, path+"/"+node, "application/merge-patch+json", o)
	if !apierrors.IsNotFound(err) {
		return err
	}
	uid := k.NodeUID(node)
	if uid == "" {
		return fmt.Errorf("there is no Node %s yet", node)
	}
	o.APIVersion, o.Kind = "coordination.k8s.io/v1", "Lease"
	o.Metadata = &leaseMeta{Name: node, Namespace: namespace, OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Node", Name: node, UID: types.UID(uid)},
	}}
	return k.send(ctx, node, http.MethodPost, path, kube.JSON, o)
}

func (k *Keeper) send(ctx context.Context, node, method, path, contentType string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return k.Client.Do(ctx, kube.Node(node), kube.Request{
		Method: method, Path: path, Query: "fieldManager=cloudcore", ContentType: contentType, Body: data,
	}, maxAnswerBytes, nil)
}

// Due returns how many Leases are overdue, and how many nodes there are.
func (k *Keeper) Due() (overdue, nodes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for _, l := range k.due {
		if l.at.Before(now) {
			overdue++
		}
	}
	return overdue, len(k.nodes)
}

// queue is a heap of Leases by when they are due.
type queue []*lease

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	l := x.(*lease)
	l.index = len(*q)
	*q = append(*q, l)
}

func (q *queue) Pop() any {
	old := *q
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	l.index = -1
	return l
}
