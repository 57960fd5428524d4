//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// eventually asks until check has nothing to complain of, or fails the test
// with its last complaint.
func eventually(t *testing.T, within time.Duration, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %v: %v", within, last)
		case <-tick.C:
		}
	}
}

// throughout fails the test as soon as check complains within the time.
func throughout(t *testing.T, length time.Duration, check func(context.Context) error) {
	t.Helper()
	end := time.NewTimer(length)
	defer end.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := check(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

// namespace makes a namespace for a test, gone afterwards.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := api.Create(t.Context(), ns); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if t.Failed() {
			describe(ctx, t, ns.Name)
		}
		if err := api.Delete(ctx, ns); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete namespace %s: %v", ns.Name, err)
			return
		}
		err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(ns), ns)), nil
		})
		if err != nil {
			t.Errorf("namespace %s is still there: something hangs in deletion", ns.Name)
		}
	})
	return ns.Name
}

// describe logs what there is, for a test that failed.
func describe(ctx context.Context, t *testing.T, ns string) {
	var (
		configurations v0.ConfigurationList
		instances      v0.InstanceList
		pods           corev1.PodList
		events         corev1.EventList
	)
	for _, list := range []client.ObjectList{&configurations, &instances, &pods, &events} {
		if err := api.List(ctx, list, client.InNamespace(ns)); err != nil {
			t.Logf("list: %v", err)
		}
	}
	for _, c := range configurations.Items {
		t.Logf("configuration %s: %+v", c.Name, c.Status)
	}
	for _, i := range instances.Items {
		t.Logf("instance %s: %+v %+v", i.Name, i.Spec, i.Status)
	}
	for _, p := range pods.Items {
		t.Logf("pod %s: %s %s %s, deleted %v", p.Name, p.Status.Phase, p.Status.Reason, p.Status.Message, p.DeletionTimestamp)
	}
	for _, e := range events.Items {
		t.Logf("event %s %s/%s: %s", e.Reason, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Message)
	}
}

// instancesOf returns the Instances of a Configuration, by name.
func instancesOf(ctx context.Context, ns, configuration string) ([]v0.Instance, error) {
	var list v0.InstanceList
	if err := api.List(ctx, &list, client.InNamespace(ns)); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(i v0.Instance) bool { return i.Spec.ConfigurationName != configuration }), nil
}

// hasInstances complains unless the Configuration has n Instances.
func hasInstances(ns, configuration string, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := instancesOf(ctx, ns, configuration)
		if err == nil && len(all) != n {
			err = fmt.Errorf("%d Instances of %s, want %d", len(all), configuration, n)
		}
		return err
	}
}

// brokersOf returns the Pods of a Configuration's brokers.
func brokersOf(ctx context.Context, ns, configuration string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := api.List(ctx, &list, client.InNamespace(ns), client.MatchingLabels{v0.LabelConfiguration: configuration})
	return list.Items, err
}

// hasBrokers complains unless n brokers are ready and none else is there.
func hasBrokers(ns, configuration string, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		pods, err := brokersOf(ctx, ns, configuration)
		if err != nil {
			return err
		}
		ready := 0
		var states []string
		for _, p := range pods {
			if isReady(&p) {
				ready++
			}
			states = append(states, fmt.Sprintf("%s: %s %s %s", p.Name, p.Status.Phase, p.Status.Reason, p.Status.Message))
		}
		if ready != n || len(pods) != n {
			return fmt.Errorf("%d brokers of %s, %d ready, want %d: %s", len(pods), configuration, ready, n, strings.Join(states, ", "))
		}
		return nil
	}
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && p.DeletionTimestamp == nil {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// offers complains unless the nodes together offer n units of a resource.
func offers(name string, n int64) func(context.Context) error {
	return func(ctx context.Context) error {
		var nodes corev1.NodeList
		if err := api.List(ctx, &nodes); err != nil {
			return err
		}
		var sum int64
		for _, node := range nodes.Items {
			q := node.Status.Allocatable[corev1.ResourceName(v0.ResourceName(name))]
			sum += q.Value()
		}
		if sum != n {
			return fmt.Errorf("the nodes offer %d of %s, want %d", sum, v0.ResourceName(name), n)
		}
		return nil
	}
}

// both joins checks; the first complaint counts.
func both(checks ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, check := range checks {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}
