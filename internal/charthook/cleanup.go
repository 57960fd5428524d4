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
	// agentDaemonSet is the name of the agents' DaemonSet in the chart.
	agentDaemonSet = "akri-agent-daemonset"
	// helmRelease is Helm's annotation on what it installs.
	helmRelease = "meta.helm.sh/release-name"
	// pageSize is how many objects are listed and deleted at a time.
	pageSize = 500
)

// CleanupOptions configure Cleanup.
type CleanupOptions struct {
	Config *rest.Config
	Log    *slog.Logger
	// Namespace and Release are those of the installed chart.
	Namespace, Release string
	// Timeout is how long to wait until the deleted objects are gone.
	Timeout time.Duration
}

// Cleanup deletes the Configurations of all namespaces, as upstream's chart
// does at an uninstall. It waits until they and their Instances are gone, while
// agents and controller still run and can do their part (the controller removes
// upstream's finalizers). What is left after Timeout is logged but is no error:
// it must not keep Helm from removing the rest.
//
// If the agent's DaemonSet exists and is not of the Helm release, this is no
// uninstall: the hook was applied as an ordinary manifest. Then nothing is
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
		o.Log.Warn("nothing is deleted: "+agentDaemonSet+" does not belong to this Helm release, so this is no uninstall",
			"namespace", o.Namespace, "release", o.Release)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	c := cleaner{client: client, log: o.Log, deleted: map[types.UID]bool{}}
	told := false // said that all Configurations are deleted
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
	o.Log.Warn("stopped waiting; the garbage collector continues", "error", err)
	return nil
}

// installed reports whether the agent's DaemonSet, if it exists, is Helm's.
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

// cleaner deletes objects, and remembers which, to log each once.
type cleaner struct {
	client  metadata.Interface
	log     *slog.Logger
	deleted map[types.UID]bool
}

// sweep returns how many objects there are in all namespaces, and deletes the
// first page of them if remove is set. If there is no CRD there are none.
func (c *cleaner) sweep(ctx context.Context, resource string, remove bool) (int, error) {
	all := c.client.Resource(v0.GroupVersion.WithResource(resource))
	l, err := all.List(ctx, metav1.ListOptions{Limit: pageSize})
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
		// Gone, or replaced: the next list shows it.
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
