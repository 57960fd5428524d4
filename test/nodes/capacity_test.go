//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

// Capacity is raised and lowered while brokers run: new slots are used, and
// held slots stay until they are freed.
func TestCapacityChanges(t *testing.T) {
	t.Parallel()
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-capacity", 1, 1, "one")
	one := r.uids(c.Name)
	r.always(r.capacity(c.Name, 2))

	change(t, c, `{"spec":{"capacity":2}}`)
	r.await(waitTimeout, r.slots(c.Name, 2), r.brokers(c.Name, 2))
	two := r.uids(c.Name)
	for what, uid := range one {
		if two[what] != uid {
			t.Errorf("%s was replaced when the capacity was raised", what)
		}
	}

	change(t, c, `{"spec":{"capacity":1}}`)
	r.await(waitTimeout, r.slots(c.Name, 1))
	r.throughout(5*time.Second, r.brokers(c.Name, 2), r.unchanged(two, c.Name))

	// The one that holds slot 0 goes. Its slot is free then, but the other is
	// all that may be used.
	var goes, stays *corev1.Pod
	r.read(func() {
		i := r.instancesOf(c.Name)[0]
		for _, p := range r.podsOf(c.Name) {
			if held(i)[v0.SlotID(i.Name, 0)] == p.Spec.NodeName {
				goes = p
			} else {
				stays = p
			}
		}
	})
	if goes == nil || stays == nil {
		t.Fatalf("the brokers do not hold both slots")
	}
	remove(t, goes)
	r.await(waitTimeout, r.brokers(c.Name, 1))
	instance := goes.Labels[v0.LabelInstance]
	r.await(waitTimeout,
		r.allocatable(goes.Spec.NodeName, instance, 0), r.allocatable(stays.Spec.NodeName, instance, 1),
		r.allocatable(goes.Spec.NodeName, c.Name, 0), r.allocatable(stays.Spec.NodeName, c.Name, 0))
	r.throughout(5*time.Second, r.brokers(c.Name, 1), func() error {
		if r.pods[stays.UID] == nil {
			return fmt.Errorf("broker %s is gone", stays.Name)
		}
		return nil
	})

	// Its successor has one slot, too.
	remove(t, stays)
	r.await(waitTimeout, r.brokers(c.Name, 1), func() error {
		if r.pods[stays.UID] != nil {
			return fmt.Errorf("broker %s is still there", stays.Name)
		}
		return nil
	})
}

// slots complains unless the Instances have this capacity.
func (r *record) slots(configuration string, n int64) look {
	return func() error {
		for _, i := range r.instancesOf(configuration) {
			if i.Spec.Capacity != n {
				return fmt.Errorf("capacity of %s is %d, want %d", i.Name, i.Spec.Capacity, n)
			}
		}
		return nil
	}
}

// heard waits until the agents of both nodes know a Configuration as it is now.
func heard(t *testing.T, c *v0.Configuration) {
	t.Helper()
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		if err := api.Get(ctx, client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		know := map[string]bool{}
		for _, n := range c.Status.Nodes {
			know[n.Name] = n.ObservedGeneration == c.Generation
		}
		for _, node := range all() {
			if !know[node] {
				return fmt.Errorf("%s does not know generation %d: %+v", node, c.Generation, c.Status.Nodes)
			}
		}
		return nil
	})
}

// Properties change in place: the Instance has them, both nodes agree, running
// brokers stay, and the next one gets them.
func TestBrokerPropertiesChange(t *testing.T) {
	t.Parallel()
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-properties", 1, 1, "one")
	before := r.uids(c.Name)
	for _, value := range []string{"first", "second"} {
		change(t, c, `{"spec":{"brokerProperties":{"PURPOSE":"`+value+`"}}}`)
		r.await(waitTimeout, func() error {
			for _, i := range r.instancesOf(c.Name) {
				if got := i.Spec.BrokerProperties["PURPOSE"]; got != value {
					return fmt.Errorf("PURPOSE of %s is %q, want %q", i.Name, got, value)
				}
			}
			return nil
		})
	}
	agree := func() error {
		for _, i := range r.instancesOf(c.Name) {
			for _, n := range i.Status.Nodes {
				if n.Reason == v0.ReasonPropertiesDiffer {
					return fmt.Errorf("%s disagrees: %s", n.Name, n.Message)
				}
			}
		}
		return nil
	}
	// The Instance is as the first to hear of it has it. The other one may be
	// late, and right to disagree until then.
	heard(t, c)
	r.await(waitTimeout, agree)
	r.throughout(10*time.Second, r.unchanged(before, c.Name), agree)

	var old, next *corev1.Pod
	r.read(func() { old = r.podsOf(c.Name)[0] })
	remove(t, old)
	r.await(waitTimeout, r.brokers(c.Name, 1), func() error {
		if next = r.podsOf(c.Name)[0]; next.UID == old.UID {
			return fmt.Errorf("broker %s has not been replaced", old.Name)
		}
		return nil
	})
	pids, err := testcluster.ProcessesOf("show", string(next.UID))
	if err != nil || len(pids) != 1 {
		t.Fatalf("processes of %s: %v, %v", next.Name, pids, err)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Split(string(environ), "\x00"), "PURPOSE=second") {
		t.Errorf("environment of the new broker: %q", environ)
	}
}
