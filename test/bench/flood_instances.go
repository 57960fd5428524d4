package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

const (
	floodInstances = 100
	// floodProperties of floodValue bytes are about what the CRD lets an
	// Instance have: 512 KiB.
	floodProperties = 17
	floodValue      = 30_000
	// otherNode is a Node without an agent: the controller leaves it the
	// Instances for five minutes, and deletes those of no node at once.
	otherNode = "bench-other"
)

// measureFloodOfInstances makes the largest possible shared Instances that another
// node sees, as a stolen token of that node could. It reports what they cost
// agent and controller when they come, and agents that start later.
func measureFloodOfInstances(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	before := map[string][]process{}
	for _, component := range []string{"akri-agent", "akri-controller"} {
		if before[component], err = b.processes(ctx, component); err != nil {
			return err
		}
		for _, p := range before[component] {
			if err := p.forgetPeak(); err != nil {
				return err
			}
		}
	}
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: otherNode}}
	if err := b.api.Create(ctx, other); err != nil {
		return err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, b.api.DeleteAllOf(ctx, &v0.Instance{}, client.InNamespace(b.namespace)), b.api.Delete(ctx, other))
	}()
	for i := range floodInstances {
		if err := b.api.Create(ctx, b.floodInstance(i)); err != nil {
			return fmt.Errorf("make Instance %d: %w", i, err)
		}
	}
	if _, err := w.until(ctx, func() bool { return len(w.there) == floodInstances }); err != nil {
		return err
	}
	for _, component := range []string{"akri-agent", "akri-controller"} {
		if err := b.reportPeak("flood-peak-"+component, before[component]); err != nil {
			return err
		}
	}
	started, err := b.restartAgents(ctx, before["akri-agent"])
	if err != nil {
		return err
	}
	return b.reportPeak("flood-peak-akri-agent-started", started)
}

func (b *bench) reportPeak(name string, all []process) error {
	var most float64
	for _, p := range all {
		_, peak, err := p.rss()
		if err != nil {
			return fmt.Errorf("%s: memory: %w", name, err)
		}
		most = max(most, peak)
	}
	b.report(name, most, "MiB", 0)
	return nil
}

func (b *bench) floodInstance(i int) *v0.Instance {
	o := b.instance("", i)
	o.Labels = map[string]string{v0.LabelShared: "true"}
	o.Spec.Shared, o.Spec.Nodes = true, []string{otherNode}
	o.Spec.BrokerProperties = map[string]string{}
	for k := range floodProperties {
		o.Spec.BrokerProperties["K"+strconv.Itoa(k)] = strings.Repeat("x", floodValue)
	}
	return o
}

// restartAgents deletes the agents' Pods and returns the processes of the next
// ones, once they are ready.
func (b *bench) restartAgents(ctx context.Context, old []process) (started []process, err error) {
	agents := []client.DeleteAllOfOption{client.InNamespace(b.release), client.MatchingLabels{"app.kubernetes.io/name": "akri-agent"}}
	if err := b.api.DeleteAllOf(ctx, &corev1.Pod{}, agents...); err != nil {
		return nil, fmt.Errorf("delete the agents' Pods: %w", err)
	}
	err = wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := b.api.List(ctx, &pods, client.InNamespace(b.release), client.MatchingLabels{"app.kubernetes.io/name": "akri-agent"}); err != nil {
			return false, err
		}
		ready := 0
		for _, p := range pods.Items {
			if p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			}) {
				ready++
			}
		}
		if ready < len(b.nodes) || ready < len(pods.Items) {
			return false, nil
		}
		started, err = b.processes(ctx, "akri-agent")
		return err == nil && !slices.ContainsFunc(started, func(p process) bool { return slices.Contains(old, p) }), nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the next agents: %w", err)
	}
	return started, nil
}

// forgetPeak resets the kernel's count of the highest memory use.
func (p process) forgetPeak() error {
	return os.WriteFile(filepath.Join(string(p), "clear_refs"), []byte("5"), 0)
}
