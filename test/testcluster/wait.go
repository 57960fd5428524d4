package testcluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/loadgate"
	"github.com/akri-go/akri/internal/poll"
)

// A Check complains about the state of the cluster, or is content.
type Check = func(context.Context) error

// WaitTimeout is how long a test waits for what depends only on the cluster.
const WaitTimeout = eventually.Patience

// Insist writes a Configuration. While a controller is dead and the API server
// has not noticed, nobody checks what is written, and nothing is accepted; and a
// busy API server answers nobody in time. It fails at once if the answer is no.
func Insist(t *testing.T, write Check) {
	t.Helper()
	tried := false
	Eventually(t, WaitTimeout, func(ctx context.Context) error {
		err := write(ctx)
		switch {
		case tried && apierrors.IsAlreadyExists(err):
			return nil // an earlier attempt got no answer, and succeeded
		case refused(err):
			t.Fatalf("write: %v", err)
		}
		tried = true
		return err
	})
}

// refused tells whether an error is an answer that stays the same.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// Eventually asks until check has nothing to complain of, or fails the test
// with its last complaint.
func Eventually(t *testing.T, within time.Duration, check Check) {
	t.Helper()
	eventually.Succeeds(t, within, check)
}

// Throughout fails the test as soon as check complains within the time.
func Throughout(t *testing.T, length time.Duration, check Check) {
	t.Helper()
	defer eventually.Tell(t, time.Now(), "nothing changes for a while")
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

// All joins checks; the first complaint counts.
func All(checks ...Check) Check {
	return func(ctx context.Context) error {
		for _, check := range checks {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// NewNamespace makes a namespace for a test, which can have Pods. It is deleted
// afterwards, which takes Kubernetes ten seconds or more, so the next test does not
// wait for it: [Main] does, at the end. While the machine is overloaded, the test
// waits ([loadgate]).
func (b *Bed) NewNamespace(t *testing.T) string {
	t.Helper()
	loadgate.Wait(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := b.API.Create(t.Context(), ns); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), WaitTimeout)
		defer cancel()
		if t.Failed() {
			b.describe(ctx, t, ns.Name)
		}
		if err := b.API.Delete(ctx, ns); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete namespace %s: %v", ns.Name, err)
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.deleted = append(b.deleted, deletion{ns: ns.Name, test: t.Name()})
	})
	// A moment later it can have Pods.
	Eventually(t, WaitTimeout, func(ctx context.Context) error {
		return b.API.Get(ctx, client.ObjectKey{Namespace: ns.Name, Name: "default"}, &corev1.ServiceAccount{})
	})
	return ns.Name
}

// deletion is a namespace that a test has deleted.
type deletion struct{ ns, test string }

// awaitDeletions waits until the tests' namespaces are gone, or says which are
// not.
func (b *Bed) awaitDeletions(ctx context.Context) error {
	b.mu.Lock()
	all := b.deleted
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*WaitTimeout)
	defer cancel()
	return poll.Until(ctx, "the namespaces of the tests are gone", 200*time.Millisecond, func(ctx context.Context) error {
		for len(all) > 0 {
			err := b.API.Get(ctx, client.ObjectKey{Name: all[0].ns}, &corev1.Namespace{})
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("namespace %s of %s is still there, something hangs in its deletion: %v", all[0].ns, all[0].test, err)
			}
			all = all[1:]
		}
		return nil
	})
}

// describe logs what there is, for a test that failed.
func (b *Bed) describe(ctx context.Context, t *testing.T, ns string) {
	var (
		configurations v0.ConfigurationList
		instances      v0.InstanceList
		pods           corev1.PodList
		events         corev1.EventList
	)
	for _, list := range []client.ObjectList{&configurations, &instances, &pods, &events} {
		if err := b.API.List(ctx, list, client.InNamespace(ns)); err != nil {
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
		t.Logf("pod %s on %s: %s %s %s, deleted %v", p.Name, p.Spec.NodeName, p.Status.Phase, p.Status.Reason, p.Status.Message, p.DeletionTimestamp)
	}
	for _, e := range events.Items {
		t.Logf("event %s %s/%s: %s", e.Reason, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Message)
	}
}

// HasInstances complains unless the Configuration has n Instances.
func (b *Bed) HasInstances(ns, configuration string, n int) Check {
	return func(ctx context.Context) error {
		all, err := b.Instances(ctx, ns, configuration)
		if err == nil && len(all) != n {
			err = fmt.Errorf("%d Instances of %s, want %d", len(all), configuration, n)
		}
		return err
	}
}

// HasBrokers complains unless n brokers are ready and none else is there.
func (b *Bed) HasBrokers(ns, configuration string, n int) Check {
	return func(ctx context.Context) error {
		pods, err := b.Brokers(ctx, ns, configuration)
		if err != nil {
			return err
		}
		ready, states := 0, ""
		for _, p := range pods {
			if IsReady(&p) {
				ready++
			}
			states += fmt.Sprintf(" %s: %s %s %s;", p.Name, p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		if ready != n || len(pods) != n {
			return fmt.Errorf("%d brokers of %s, %d ready, want %d:%s", len(pods), configuration, ready, n, states)
		}
		return nil
	}
}

// Offers complains unless the nodes together offer n units of a resource, named
// without its domain.
func (b *Bed) Offers(name string, n int64) Check {
	return func(ctx context.Context) error {
		var nodes corev1.NodeList
		if err := b.API.List(ctx, &nodes); err != nil {
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
