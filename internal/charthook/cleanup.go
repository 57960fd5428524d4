package charthook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	v0 "github.com/akri-go/akri/api/v0"
)

const (
	// agentDaemonSet is the chart's name of it.
	agentDaemonSet = "akri-agent-daemonset"
	// helmRelease is Helm's annotation on what it installs.
	helmRelease = "meta.helm.sh/release-name"
	// page is how many objects are listed and deleted at a time.
	page = 500
)

// CleanupOptions say what Cleanup works on.
type CleanupOptions struct {
	Config *rest.Config
	Log    *slog.Logger
	// Namespace and Release are those of the installed chart.
	Namespace, Release string
	// Patience is how long to wait for what was deleted to be gone.
	Patience time.Duration
}

// Cleanup deletes the Configurations of all namespaces, as upstream's chart
// does when it is uninstalled, and waits until they and their Instances are
// gone, so that agents and controller can still do their part (the controller
// takes upstream's finalizers off). What is left when Patience ends is logged
// and is no error: it must not keep Helm from removing the rest.
//
// If the agent's DaemonSet is there and is not of the Helm release, nothing is
// uninstalled: the hook was applied as an ordinary manifest. Then nothing is
// deleted.
func Cleanup(ctx context.Context, o CleanupOptions) error {
	client, err := metadata.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	ours, err := installed(ctx, client, o.Namespace, o.Release)
	if err != nil {
		return err
	}
	if !ours {
		o.Log.Warn("nothing is deleted: "+agentDaemonSet+" is not of this Helm release, so this is no uninstall",
			"namespace", o.Namespace, "release", o.Release)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	c := cleaner{client: client, log: o.Log, deleted: map[types.UID]bool{}}
	told := false // all Configurations were deleted as far as the API server does it
	err = until(ctx, "what is left", func() (string, error) {
		configurations, err := c.sweep(ctx, "configurations", true)
		if err != nil {
			return "", err
		}
		told = true
		// Instances go with their Configurations, by owner references.
		instances, err := c.sweep(ctx, "instances", false)
		if err != nil || configurations+instances == 0 {
			return "", err
		}
		return fmt.Sprintf("%d Configurations and %d Instances", configurations, instances), nil
	})
	switch {
	case err == nil:
		o.Log.Info("all Configurations and Instances are gone", "configurations", len(c.deleted))
		return nil
	case !told, hopeless(err), !errors.Is(err, context.DeadlineExceeded):
		return err
	}
	o.Log.Warn("not waited for any longer; the garbage collector goes on", "error", err)
	return nil
}

// installed tells whether the agent's DaemonSet, if there is one, is Helm's.
func installed(ctx context.Context, client metadata.Interface, namespace, release string) (bool, error) {
	resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	ds, err := client.Resource(resource).Namespace(namespace).Get(ctx, agentDaemonSet, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read DaemonSet %s/%s: %w", namespace, agentDaemonSet, err)
	}
	return ds.Annotations[helmRelease] == release, nil
}

// cleaner deletes things, and remembers which, to log each once.
type cleaner struct {
	client  metadata.Interface
	log     *slog.Logger
	deleted map[types.UID]bool
}

// sweep returns how many objects of all namespaces there are, and deletes them
// if it is to. Of many it deletes the first page; they are gone when it is
// called next. Without a CRD there are none.
func (c *cleaner) sweep(ctx context.Context, resource string, remove bool) (int, error) {
	all := c.client.Resource(v0.GroupVersion.WithResource(resource))
	l, err := all.List(ctx, metav1.ListOptions{Limit: page})
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", resource, err)
	}
	background := metav1.DeletePropagationBackground
	for _, o := range l.Items {
		if !remove || o.DeletionTimestamp != nil {
			continue
		}
		err := all.Namespace(o.Namespace).Delete(ctx, o.Name,
			metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(o.UID)), PropagationPolicy: &background})
		// Gone, or another of that name: the next list tells.
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return 0, fmt.Errorf("delete %s %s/%s: %w", resource, o.Namespace, o.Name, err)
		}
		if err == nil && !c.deleted[o.UID] {
			c.deleted[o.UID] = true
			c.log.Info("deleted", "resource", resource, "object", o.Namespace+"/"+o.Name)
		}
	}
	total := len(l.Items)
	if l.RemainingItemCount != nil {
		total += int(*l.RemainingItemCount)
	}
	return total, nil
}
