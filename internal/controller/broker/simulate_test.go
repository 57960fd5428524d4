package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// simulation is a small model of what surrounds Plan: a scheduler and kubelets
// that grant slots first come, first served, and agents that free them late.
type simulation struct {
	State
	mem    *memory
	serial int
	// claims by Pod, and those whose Pod is gone, with the rounds that the
	// agent still needs to free them.
	claims map[types.UID]int64
	stale  map[string]int64
	others map[string]int64
}

func (w *simulation) used() (n int64) {
	for _, q := range w.claims {
		n += q
	}
	for _, q := range w.stale {
		n += q
	}
	for _, q := range w.others {
		n += q
	}
	return n
}

// usage records who holds what, as agents do.
func (w *simulation) usage() {
	var u []v0.Usage
	add := func(node string, n int64) {
		for range n {
			u = append(u, v0.Usage{Node: node, Door: v0.DoorInstance})
		}
	}
	for _, p := range w.Pods {
		add(p.Node, w.claims[p.UID])
	}
	for n, q := range w.stale {
		add(n, q)
	}
	for n, q := range w.others {
		add(n, q)
	}
	w.Instance.Usage = u
}

// kubernetes runs a round of scheduler, kubelets and garbage collection.
func (w *simulation) kubernetes() {
	w.Pods = slices.DeleteFunc(w.Pods, func(p Pod) bool {
		if !p.Terminating {
			return false
		}
		w.stale[p.Node] += w.claims[p.UID]
		delete(w.claims, p.UID)
		return true
	})
	for i := range w.Pods {
		p := &w.Pods[i]
		if p.Phase != Pending || p.Bound && w.claims[p.UID] > 0 {
			continue
		}
		reuse := min(p.Quantity, w.stale[p.Node])
		if w.used()-reuse+p.Quantity > w.Instance.Capacity {
			if !p.Bound && p.Unschedulable.IsZero() {
				p.Unschedulable = w.Now
			}
			if p.Bound {
				p.Phase, p.Denied, p.EndedAt = Ended, true, w.Now
			}
			continue
		}
		w.stale[p.Node] -= reuse
		w.claims[p.UID] = p.Quantity
		p.Bound, p.Phase, p.Ready, p.Started = true, Running, true, w.Now
		p.Unschedulable = time.Time{}
	}
}

// act carries out a plan.
func (w *simulation) act(t *testing.T, r Result) {
	t.Helper()
	for _, a := range r.Actions {
		i := slices.IndexFunc(w.Pods, func(p Pod) bool {
			return a.Delete != nil && p.UID == a.Delete.UID || a.Delete == nil && p.Node == a.Node
		})
		switch {
		case a.Delete == nil && i >= 0:
			t.Fatalf("creates a Pod on node %s, where %s is still there", a.Node, w.Pods[i].Name)
		case a.Delete == nil:
			w.serial++
			uid := types.UID(fmt.Sprint("p", w.serial))
			w.Pods = append(w.Pods, Pod{
				Name: string(uid), UID: uid, Owner: owner, Node: a.Node, SpecHash: w.Spec.Hash,
				Quantity: w.Spec.Quantity, Created: w.Now, Failures: r.History,
			})
		case w.Pods[i].Bound && w.Pods[i].Phase != Ended:
			w.Pods[i].Terminating = true
		default:
			w.stale[w.Pods[i].Node] += w.claims[w.Pods[i].UID]
			delete(w.claims, w.Pods[i].UID)
			w.Pods = slices.Delete(w.Pods, i, i+1)
		}
	}
}

// From any state, following the plans ends in a state in which nothing is to be
// done and as many brokers run as there is room for.
func TestPlanSettles(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var nodes []string
		for i := range 1 + rnd.IntN(5) {
			nodes = append(nodes, fmt.Sprint("n", i))
		}
		w := &simulation{
			State: shared(int64(rnd.IntN(7)), nodes...), mem: newMemory(owner),
			claims: map[types.UID]int64{}, stale: map[string]int64{}, others: map[string]int64{},
		}
		w.Spec.Quantity = int64(1 + rnd.IntN(3))
		for range rnd.IntN(4) {
			if w.used() < w.Instance.Capacity {
				w.others[nodes[rnd.IntN(len(nodes))]]++
			}
		}
		for _, n := range nodes {
			if rnd.IntN(2) == 0 {
				continue
			}
			p := pod(n, takes(w.Spec.Quantity), []func(*Pod){
				bound, notReady, failed(time.Second), denied, unschedulable(time.Minute), terminating, ownedBy("old"),
			}[rnd.IntN(7)], []func(*Pod){madeFrom("h0"), madeFrom(""), madeFrom(hash)}[rnd.IntN(3)])
			w.Pods = append(w.Pods, p)
		}
		var r Result
		quiet := 0
		for round := 0; quiet < 40; round++ {
			if round > 2000 {
				t.Fatalf("seed %d: still busy after %d rounds: %v, pods %+v", seed, round, brief(r), w.Pods)
			}
			w.usage()
			w.mem.observe(w.Pods, w.Now)
			w.Gone = w.mem.goneNodes()
			seen := w.State
			seen.Pods = slices.Clone(w.Pods) // the plan points into it
			r = Plan(seen)
			w.History = r.History
			w.act(t, r)
			w.kubernetes()
			if len(r.Actions) > 0 {
				quiet = 0
			} else {
				quiet++
			}
			step := 5 * time.Second
			if r.RequeueAfter > 0 {
				step = r.RequeueAfter
			}
			w.Now = w.Now.Add(step)
			if rnd.IntN(3) == 0 {
				clear(w.stale)
			}
		}
		var others int64
		for _, q := range w.others {
			others += q
		}
		want := min((w.Instance.Capacity-others)/w.Spec.Quantity, int64(len(nodes)))
		run := 0
		for _, p := range w.Pods {
			if p.Phase == Running {
				run++
			}
		}
		if int64(run) != want {
			t.Fatalf("seed %d: %d brokers run, want %d (capacity %d, others %d, quantity %d, %d nodes): %+v",
				seed, run, want, w.Instance.Capacity, others, w.Spec.Quantity, len(nodes), w.Pods)
		}
	}
}
