package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// A message names at most maxNamedTwins; at most maxFoundTwins are looked
	// for.
	maxNamedTwins, maxFoundTwins = 3, 100
	// twinSettlePeriod is how long to wait for more devices before looking for
	// twins: devices come in crowds.
	twinSettlePeriod = time.Second
)

// Twin is an Instance that has the same device as an Instance of another
// Configuration. The device is handed out twice, and neither knows of the
// other's slots.
type Twin struct {
	Instance, Device string
	// Other is the other Instance, of the Configuration Of.
	Other string
	Of    types.NamespacedName
}

// OfTwins returns the condition DevicesExclusive. It does not reveal names from
// other namespaces.
func OfTwins(c *v0.Configuration, twins []Twin, now metav1.Time) []metav1.Condition {
	old := c.Status.Conditions
	if len(twins) == 0 {
		if meta.FindStatusCondition(old, DevicesExclusive) == nil {
			return nil
		}
		return []metav1.Condition{settle(old, metav1.Condition{
			Type: DevicesExclusive, Status: metav1.ConditionTrue, Reason: ReasonExclusive,
			Message: "no other Configuration has any of its devices",
		}, c.Generation, now)}
	}
	twins = slices.Clone(twins)
	slices.SortFunc(twins, func(a, b Twin) int {
		return cmp.Or(strings.Compare(a.Instance, b.Instance), strings.Compare(a.Of.String(), b.Of.String()), strings.Compare(a.Other, b.Other))
	})
	twins = slices.Compact(twins)
	var parts []string
	for _, t := range twins[:min(len(twins), maxNamedTwins)] {
		other := fmt.Sprintf("Instance %s of Configuration %s", t.Other, t.Of.Name)
		if t.Of.Namespace != c.Namespace {
			other = "one of a Configuration in another namespace"
		}
		parts = append(parts, fmt.Sprintf("Instance %s (%s) is the same device as %s", t.Instance, t.Device, other))
	}
	more := ""
	switch n := len(twins) - maxNamedTwins; {
	case len(twins) >= maxFoundTwins:
		more = "; and more"
	case n > 0:
		more = fmt.Sprintf("; and %d more", n)
	}
	return []metav1.Condition{settle(old, metav1.Condition{
		Type: DevicesExclusive, Status: metav1.ConditionFalse, Reason: ReasonFoundTwice,
		Message: shorten.Text(strings.Join(parts, "; ")+more+": two users can have it at the same time. Narrow the discovery details of one of the two", maxMessageBytes),
	}, c.Generation, now)}
}

// twins finds Instances that have the same devices as a Configuration's.
func (r *Reconcilers) twins(ctx context.Context, c *v0.Configuration) ([]Twin, error) {
	all := &v0.ConfigurationList{}
	if err := r.Client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Configurations: %w", err)
	}
	others := map[types.NamespacedName]bool{}
	for i := range all.Items {
		o := &all.Items[i]
		if o.UID != c.UID && o.Spec.DiscoveryHandler.Name == c.Spec.DiscoveryHandler.Name {
			others[client.ObjectKeyFromObject(o)] = true
		}
	}
	if len(others) == 0 {
		return nil, nil
	}
	mine := &v0.InstanceList{}
	if err := r.Client.List(ctx, mine, client.InNamespace(c.Namespace),
		client.MatchingFields{view.ByConfiguration: c.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Instances of Configuration %s: %w", c.Name, err)
	}
	var out []Twin
	for i := range mine.Items {
		inst := &mine.Items[i]
		err := r.sameDevice(ctx, inst, func(o *v0.Instance) {
			if of := configurationOf(o); others[of] && len(out) < maxFoundTwins {
				out = append(out, Twin{inst.Name, inst.Annotations[v0.AnnotationDeviceID], o.Name, of})
			}
		})
		if err != nil || len(out) >= maxFoundTwins {
			return out, err
		}
	}
	return out, nil
}

// sameDevice calls found with each other Instance, of any handler, that has the
// same device. It may call it twice with the same one.
func (r *Reconcilers) sameDevice(ctx context.Context, inst *v0.Instance, found func(*v0.Instance)) error {
	for _, key := range view.DevicesOf(inst) {
		list := &v0.InstanceList{}
		if err := r.Client.List(ctx, list, client.MatchingFields{view.ByDevice: key}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list Instances of the device of Instance %s: %w", inst.Name, err)
		}
		for i := range list.Items {
			if o := &list.Items[i]; o.UID != inst.UID && o.DeletionTimestamp == nil {
				found(o)
			}
		}
	}
	return nil
}

func configurationOf(inst *v0.Instance) types.NamespacedName {
	return types.NamespacedName{Namespace: inst.Namespace, Name: inst.Spec.ConfigurationName}
}

// onDevices requeues Configurations when a device comes or goes that another
// one may have too.
func (r *Reconcilers) onDevices() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	look := func(ctx context.Context, o client.Object, q queue) {
		inst, ok := o.(*v0.Instance)
		if !ok {
			return
		}
		met := map[types.NamespacedName]bool{}
		err := r.sameDevice(ctx, inst, func(o *v0.Instance) {
			if of := configurationOf(o); of != configurationOf(inst) {
				met[of], met[configurationOf(inst)] = true, true
			}
		})
		if err != nil {
			r.Log.Error("look for other Instances of a device", "error", err)
		}
		for c := range met {
			q.AddAfter(reconcile.Request{NamespacedName: c}, twinSettlePeriod)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { look(ctx, e.Object, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { look(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, ok := e.ObjectOld.(*v0.Instance)
			now, is := e.ObjectNew.(*v0.Instance)
			if ok && is && !slices.Equal(view.DevicesOf(was), view.DevicesOf(now)) {
				look(ctx, was, q)
				look(ctx, now, q)
			}
		},
	}
}
