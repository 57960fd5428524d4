package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
)

const fieldOwner = client.FieldOwner("akri-demo")

func newClient(c *devcluster.Cluster) (client.Client, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	ctrllog.SetLogger(logr.Discard()) // it would disturb the table
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), akri.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// mark marks a cluster that a demo has just made, and reports whether a demo
// made the cluster, now or before.
func mark(ctx context.Context, api client.Client, made bool) (bool, error) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "akri-demo"}}
	if made {
		if err := client.IgnoreAlreadyExists(api.Create(ctx, m)); err != nil {
			return true, fmt.Errorf("mark the cluster as the demo's: %w", err)
		}
		return true, nil
	}
	err := api.Get(ctx, client.ObjectKeyFromObject(m), m)
	return err == nil, client.IgnoreNotFound(err)
}

// objects reads the documents of a manifest.
func objects(manifest []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for r := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest))); ; {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			return nil, err
		}
		if u.Object != nil {
			out = append(out, u)
		}
	}
}

// apply applies a manifest's objects and records those that did not exist.
// Objects of others are left unchanged.
func (d *demo) apply(ctx context.Context, manifest []byte) error {
	list, err := objects(manifest)
	if err != nil {
		return err
	}
	for _, u := range list {
		have := &unstructured.Unstructured{}
		have.SetGroupVersionKind(u.GroupVersionKind())
		err := d.api.Get(ctx, client.ObjectKeyFromObject(u), have)
		switch {
		case apierrors.IsNotFound(err), apimeta.IsNoMatchError(err): // the chart has just created the kind
			d.objects = append(d.objects, u)
		case err == nil && !byDemo(have):
			d.say("%s %s already exists and is left unchanged", u.GetKind(), u.GetName())
			continue
		}
		if err := applyOne(ctx, d.api, u); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// byDemo reports whether a demo, this one or an earlier one, made an object.
func byDemo(u *unstructured.Unstructured) bool {
	return slices.ContainsFunc(u.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == string(fieldOwner) })
}

// finds returns an error unless the cluster's Akri has the handler that the
// demo needs.
func (d *demo) finds(ctx context.Context) error {
	there, err := hasHandler(ctx, d.api, "udev")
	if err != nil || there {
		return err
	}
	return errors.New("the Akri in this cluster has no udev handler: add udev.discovery.enabled=true to its values, or use another cluster with --dir")
}

// hasHandler reports whether the cluster's Akri runs one of its own handlers.
func hasHandler(ctx context.Context, api client.Client, name string) (bool, error) {
	var sets appsv1.DaemonSetList
	if err := api.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
		return false, err
	}
	return slices.ContainsFunc(sets.Items, func(s appsv1.DaemonSet) bool { return runsHandler(s, name) }), nil
}

// runsHandler reports whether a DaemonSet of the chart is, or has, a handler: alone,
// with others in a process, or in the agent.
func runsHandler(s appsv1.DaemonSet, name string) bool {
	names, ok := strings.CutSuffix(s.Name, "-discovery-daemonset")
	if names, of := strings.CutPrefix(names, "akri-"); ok && of && slices.Contains(strings.Split(names, "-"), name) {
		return true
	}
	return slices.ContainsFunc(s.Spec.Template.Spec.Containers[0].Args, func(arg string) bool {
		list, ok := strings.CutPrefix(arg, "--builtin=")
		return ok && slices.Contains(strings.Split(list, ","), name)
	})
}

// applyOne retries until the API server knows a new kind and can reach the
// webhook.
func applyOne(ctx context.Context, api client.Client, u *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := api.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()), fieldOwner, client.ForceOwnership)
		if err == nil || !apimeta.IsNoMatchError(err) && !apierrors.IsInternalError(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func remove(ctx context.Context, api client.Client, list []*unstructured.Unstructured) error {
	var errs []error
	for _, u := range list {
		if err := client.IgnoreNotFound(api.Delete(ctx, u, client.PropagationPolicy("Background"))); err != nil {
			errs = append(errs, fmt.Errorf("delete %s %s: %w", u.GetKind(), u.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

// list reads the Instances, and the Pods that are brokers.
func list(ctx context.Context, api client.Client) ([]akri.Instance, []corev1.Pod, error) {
	var instances akri.InstanceList
	var pods corev1.PodList
	err := errors.Join(api.List(ctx, &instances, client.InNamespace(namespace)),
		api.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{akri.LabelController: akri.ControllerName}))
	return instances.Items, pods.Items, err
}
