// Package view is what the controller sees of the cluster: which objects its
// cache holds, what it keeps of them, and how they are indexed.
//
// The cache holds all Configurations, Instances and Nodes of the cluster, and
// the Pods, Services and Jobs that carry the label akri.sh/configuration. What
// no reconciler reads is cut off before an object is stored: of a Pod it keeps
// owners, node, requests and how it is doing. So never write back a whole
// object from the cache.
package view

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// FieldManager is the controller's name as a field manager.
const FieldManager = "akri-controller"

// Indexes of the cache; use them with client.MatchingFields.
const (
	// ByOwnerInstance finds Pods, Jobs and Services by the name of the
	// Instance that is their controlling owner.
	ByOwnerInstance = "ownerInstance"
	// ByConfiguration finds Instances by the name of their Configuration, and
	// Pods by the label.
	ByConfiguration = "configuration"
	// ByInstanceLabel finds Pods by the label akri.sh/instance.
	ByInstanceLabel = "instanceLabel"
	// ByNode finds Instances by a node that they name; see [NodesOf].
	ByNode = "node"
)

// Scheme returns the types that the controller uses.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("register Kubernetes types: %w", err)
	}
	if err := v0.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("register akri.sh/v0 types: %w", err)
	}
	return s, nil
}

// CacheOptions says what the cache holds.
func CacheOptions() (cache.Options, error) {
	has, err := labels.NewRequirement(v0.LabelConfiguration, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("selector of label %s: %w", v0.LabelConfiguration, err)
	}
	labelled := labels.NewSelector().Add(*has)
	service, err := labels.Parse(v0.LabelController + "=" + v0.ControllerName)
	if err != nil {
		return cache.Options{}, fmt.Errorf("selector of label %s: %w", v0.LabelController, err)
	}
	return cache.Options{
		DefaultTransform: trim,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Label: labelled},
			// Instance Services carry no label of their Configuration.
			&corev1.Service{}: {Label: service},
			&batchv1.Job{}:    {Label: labelled},
		},
	}, nil
}

// Index registers the indexes.
func Index(ctx context.Context, ix client.FieldIndexer) error {
	for _, i := range []struct {
		obj  client.Object
		name string
		keys client.IndexerFunc
	}{
		{&corev1.Pod{}, ByOwnerInstance, ownerInstance},
		{&corev1.Pod{}, ByConfiguration, label(v0.LabelConfiguration)},
		{&corev1.Pod{}, ByInstanceLabel, label(v0.LabelInstance)},
		{&batchv1.Job{}, ByOwnerInstance, ownerInstance},
		{&v0.Instance{}, ByConfiguration, func(o client.Object) []string {
			if inst, ok := o.(*v0.Instance); ok {
				return []string{inst.Spec.ConfigurationName}
			}
			return nil
		}},
		{&v0.Instance{}, ByNode, func(o client.Object) []string {
			if inst, ok := o.(*v0.Instance); ok {
				return NodesOf(inst)
			}
			return nil
		}},
		{&v0.Instance{}, ByDevice, deviceKeys},
	} {
		if err := ix.IndexField(ctx, i.obj, i.name, i.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.obj, i.name, err)
		}
	}
	return nil
}

// NodesOf returns the nodes that an Instance names, each once: those in
// spec.nodes, the holders of its slots, and those in status.nodes.
func NodesOf(inst *v0.Instance) []string {
	out := slices.Clone(inst.Spec.Nodes)
	for _, value := range inst.Spec.DeviceUsage {
		if u, err := v0.ParseUsage(value); err == nil && !u.Free() {
			out = append(out, u.Node)
		}
	}
	for i := range inst.Status.Nodes {
		out = append(out, inst.Status.Nodes[i].Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func label(key string) client.IndexerFunc {
	return func(o client.Object) []string {
		if v := o.GetLabels()[key]; v != "" {
			return []string{v}
		}
		return nil
	}
}

func ownerInstance(o client.Object) []string {
	if ref := workload.OwnerInstance(o); ref != nil {
		return []string{ref.Name}
	}
	return nil
}

// NodeUsable reports whether a node exists, is ready, and accepts Pods.
func NodeUsable(node *corev1.Node) bool {
	return NodeReady(node) && !node.Spec.Unschedulable
}

// NodeReady reports whether a node exists and its kubelet says that it is
// ready.
func NodeReady(node *corev1.Node) bool {
	if node.DeletionTimestamp != nil {
		return false
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
