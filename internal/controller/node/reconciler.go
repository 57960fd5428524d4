package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
)

const (
	// lookInterval is the longest time between two looks at a node. A look may
	// be late by maxLookDelay and still count.
	lookInterval = 10 * time.Second
	maxLookDelay = 5 * time.Second
	// maxWitnesses is how many nodes that the cache has as ready are read at
	// most.
	maxWitnesses = 5
)

// Reconciler removes lost nodes from Instances, as [Plan] decides, and deletes
// those that are [Abandoned]. Requests name nodes, or [nobody].
type Reconciler struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	// Live reads from the API server.
	Live   client.Reader
	Events loop.Recorder
	Log    *slog.Logger
	Grace  Grace
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	health health
}

var _ reconcile.Reconciler = (*Reconciler)(nil)

// Reconcile reconciles one node.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	name := req.Name
	if name == nobody {
		return reconcile.Result{}, r.abandoned(ctx)
	}
	cached := &corev1.Node{}
	err := r.Client.Get(ctx, req.NamespacedName, cached, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		cached = nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("read Node %s: %w", name, err)
	case view.NodeReady(cached) || r.Grace.Node <= 0:
		r.forget(name)
		return reconcile.Result{}, nil
	}
	instances := &v0.InstanceList{}
	if err := r.Client.List(ctx, instances, client.MatchingFields{view.ByNode: name}, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("list Instances of node %s: %w", name, err)
	}
	var configurations []types.NamespacedName
	if cached == nil {
		if configurations, err = r.configurations(ctx, name); err != nil {
			return reconcile.Result{}, err
		}
	}
	if len(instances.Items) == 0 && len(configurations) == 0 {
		return reconcile.Result{}, nil
	}

	node, counts, err := r.look(ctx, name)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !counts {
		return reconcile.Result{RequeueAfter: r.interval()}, nil
	}
	var errs []error
	var again time.Duration
	for i := range instances.Items {
		wait, err := r.instance(ctx, &instances.Items[i], node)
		errs = append(errs, err)
		again = loop.Sooner(again, wait)
	}
	if node.Gone && node.HoldFor <= 0 {
		for _, c := range configurations {
			errs = append(errs, r.configuration(ctx, c, name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: min(again, r.interval())}, nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// forget notes that a node is no longer away.
func (r *Reconciler) forget(name string) {
	if r.health.forget(name) {
		r.Log.Info("a lost node is back", "node", name)
	}
}

// interval is how often a node that is away is looked at.
func (r *Reconciler) interval() time.Duration {
	if r.Grace.Node <= 0 {
		return lookInterval
	}
	return min(lookInterval, max(r.Grace.Node/6, 50*time.Millisecond))
}

// look reads a node from the API server. It does not count if the node is ready
// after all, or if no other node is.
func (r *Reconciler) look(ctx context.Context, name string) (n Node, counts bool, err error) {
	witness, err := r.witness(ctx, name)
	if err != nil {
		return n, false, err
	}
	if !witness {
		r.health.interrupt(name)
		return n, false, nil
	}
	live, err := r.node(ctx, name)
	if err != nil {
		return n, false, err
	}
	var uid types.UID
	if live != nil {
		if uid = live.UID; view.NodeReady(live) {
			r.forget(name)
			return n, false, nil
		}
	}
	return r.health.look(name, uid, r.now()), true, nil
}

// witness reports whether another node is ready.
func (r *Reconciler) witness(ctx context.Context, than string) (bool, error) {
	list := &corev1.NodeList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list Nodes: %w", err)
	}
	asked := 0
	for i := range list.Items {
		if n := &list.Items[i]; n.Name != than && view.NodeReady(n) && asked < maxWitnesses {
			asked++
			live, err := r.node(ctx, n.Name)
			if err != nil {
				return false, err
			}
			if live != nil && view.NodeReady(live) {
				return true, nil
			}
		}
	}
	return false, nil
}

// node reads a Node from the API server, nil if there is none.
func (r *Reconciler) node(ctx context.Context, name string) (*corev1.Node, error) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, nil // no Node can have this name
	}
	n := &corev1.Node{}
	err := r.Live.Get(ctx, types.NamespacedName{Name: name}, n)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Node %s: %w", name, err)
	}
	return n, nil
}

func (r *Reconciler) state(inst *v0.Instance, n Node) State {
	return State{
		Node: n, Grace: r.Grace, Lost: r.health.lost(inst.Spec.Nodes, r.Grace), Instance: of(inst),
	}
}

// of returns what a plan needs to know of an Instance.
func of(inst *v0.Instance) Instance {
	i := Instance{
		UID: inst.UID, ResourceVersion: inst.ResourceVersion, Shared: inst.Spec.Shared,
		Nodes: inst.Spec.Nodes, Usage: inst.Spec.DeviceUsage,
	}
	for _, e := range inst.Status.Nodes {
		i.StatusNodes = append(i.StatusNodes, e.Name)
	}
	return i
}

// instance reconciles one Instance, and returns when to look again; 0 is never.
func (r *Reconciler) instance(ctx context.Context, cached *v0.Instance, n Node) (time.Duration, error) {
	if result := Plan(r.state(cached, n)); result.Nothing() {
		return result.RequeueAfter, nil
	}
	key := client.ObjectKeyFromObject(cached)
	inst := &v0.Instance{}
	if err := r.Live.Get(ctx, key, inst); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	state := r.state(inst, n)
	result := Plan(state)
	if result.Nothing() || inst.DeletionTimestamp != nil {
		return result.RequeueAfter, nil
	}
	if result.Delete || result.Leave || len(result.Free) > 0 {
		if hold, back := r.health.cameBack(n.Name, key); back {
			r.Log.Warn("the agent of a lost node still runs: the node is left alone", "node", n.Name, "instance", key, "for", hold)
			return hold, nil
		}
		if err := r.remove(ctx, inst, state, result); err != nil {
			return 0, err
		}
		r.health.removed(n.Name, key)
	}
	if result.Clear {
		return 0, r.clear(ctx, &v0.Instance{}, key, inst.UID, slices.Index(state.Instance.StatusNodes, n.Name), n.Name)
	}
	return 0, nil
}

// remove removes a node from an Instance, or deletes the Instance.
func (r *Reconciler) remove(ctx context.Context, inst *v0.Instance, s State, result Result) error {
	key, why := client.ObjectKeyFromObject(inst), "is gone"
	if !s.Node.Gone {
		why = "has not been ready for " + s.Node.AwayFor.Round(time.Second).String()
	}
	if result.Delete {
		err := r.Client.Delete(ctx, inst, client.Preconditions{UID: &inst.UID, ResourceVersion: &inst.ResourceVersion})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("delete Instance %s of lost node %s: %w", key, s.Node.Name, err)
		}
		r.Log.Warn("Instance deleted: its last node is lost", "instance", key, "node", s.Node.Name, "why", why)
		r.Events.Eventf(inst, nil, corev1.EventTypeWarning, "NodeLost", "DeleteInstance",
			"node %s %s, and no other node sees the device: the Instance is deleted", s.Node.Name, why)
		return nil
	}
	patch, err := Patch(s, result)
	if err != nil {
		return err
	}
	o := &v0.Instance{}
	o.Namespace, o.Name = inst.Namespace, inst.Name
	err = r.Client.Patch(ctx, o, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(view.FieldManager))
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("remove lost node %s from Instance %s: %w", s.Node.Name, key, err)
	}
	r.Log.Warn("lost node removed from an Instance", "instance", key, "node", s.Node.Name, "why", why, "freed", result.Free)
	r.Events.Eventf(inst, nil, corev1.EventTypeWarning, "NodeLost", "RemoveNode",
		"node %s %s: removed from the nodes that see the device; slots freed: %d", s.Node.Name, why, len(result.Free))
	return nil
}

// clear removes an element of status.nodes.
func (r *Reconciler) clear(ctx context.Context, o client.Object, key types.NamespacedName, uid types.UID, i int, node string) error {
	patch, err := StatusNodePatch(uid, i, node)
	if err != nil {
		return err
	}
	o.SetNamespace(key.Namespace)
	o.SetName(key.Name)
	err = r.Client.Status().Patch(ctx, o, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(view.FieldManager))
	if err = client.IgnoreNotFound(err); err != nil { // gone, or the CRD has no status
		return fmt.Errorf("remove lost node %s from status.nodes of %s: %w", node, key, err)
	}
	return nil
}

// configurations returns those whose status names a node.
func (r *Reconciler) configurations(ctx context.Context, node string) ([]types.NamespacedName, error) {
	list := &v0.ConfigurationList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Configurations: %w", err)
	}
	var out []types.NamespacedName
	for i := range list.Items {
		if slices.ContainsFunc(list.Items[i].Status.Nodes, func(n v0.ConfigurationNode) bool { return n.Name == node }) {
			out = append(out, client.ObjectKeyFromObject(&list.Items[i]))
		}
	}
	return out, nil
}

// configuration removes a node that is gone from status.nodes: there is no
// agent to do it.
func (r *Reconciler) configuration(ctx context.Context, key types.NamespacedName, node string) error {
	c := &v0.Configuration{}
	if err := r.Live.Get(ctx, key, c); err != nil {
		return client.IgnoreNotFound(err)
	}
	i := slices.IndexFunc(c.Status.Nodes, func(n v0.ConfigurationNode) bool { return n.Name == node })
	if i < 0 {
		return nil
	}
	return r.clear(ctx, &v0.Configuration{}, key, c.UID, i, node)
}
