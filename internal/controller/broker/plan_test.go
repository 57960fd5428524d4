package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ago returns a time before the plans of these tests.
func ago(d time.Duration) time.Time { return t0.Add(-d) }

const (
	owner = types.UID("instance")
	hash  = "h1"
)

// local and shared make states without Pods.
func local(capacity int64) State {
	return State{
		Instance: &Instance{Name: "cam-1", UID: owner, Capacity: capacity, Nodes: []string{"a"}},
		Spec:     &Spec{Hash: hash, Quantity: 1},
		Now:      t0,
	}
}

func shared(capacity int64, nodes ...string) State {
	s := local(capacity)
	s.Instance.Shared, s.Instance.Nodes = true, nodes
	s.Usable = map[string]bool{}
	for _, n := range nodes {
		s.Usable[n] = true
	}
	return s
}

// pod makes a broker Pod that waits for the scheduler.
func pod(node string, with ...func(*Pod)) Pod {
	p := Pod{
		Name: "pod-" + node, UID: types.UID("uid-" + node), Owner: owner, Node: node,
		SpecHash: hash, Quantity: 1, Created: ago(time.Hour),
	}
	for _, f := range with {
		f(&p)
	}
	return p
}

func bound(p *Pod) { p.Bound, p.RunsOn = true, p.Node }
func running(p *Pod) {
	bound(p)
	p.Ready, p.Phase, p.Started = true, Running, ago(time.Hour)
}
func notReady(p *Pod)    { p.Ready = false }
func terminating(p *Pod) { p.Terminating = true }
func failed(when time.Duration) func(*Pod) {
	return func(p *Pod) {
		bound(p)
		p.Phase, p.EndedAt, p.Why = Ended, ago(when), "exit code 1"
		p.Started = ago(when + time.Second)
	}
}
func denied(p *Pod) {
	failed(0)(p)
	p.Denied = true
}
func unschedulable(since time.Duration) func(*Pod) {
	return func(p *Pod) { p.Unschedulable = ago(since) }
}
func madeFrom(h string) func(*Pod)     { return func(p *Pod) { p.SpecHash = h } }
func named(name string) func(*Pod)     { return func(p *Pod) { p.Name, p.UID = name, types.UID(name) } }
func after(h History) func(*Pod)       { return func(p *Pod) { p.Failures = h } }
func ownedBy(uid types.UID) func(*Pod) { return func(p *Pod) { p.Owner = uid } }
func takes(n int64) func(*Pod)         { return func(p *Pod) { p.Quantity = n } }

func held(nodes ...string) []v0.Usage {
	var out []v0.Usage
	for _, n := range nodes {
		out = append(out, v0.Usage{Node: n, Door: v0.DoorInstance})
	}
	return out
}

// brief writes a plan's actions as "+node" and "-pod reason".
func brief(r Result) []string {
	out := []string{}
	for _, a := range r.Actions {
		if a.Delete != nil {
			out = append(out, fmt.Sprintf("-%s %s", a.Delete.Name, a.Reason))
		} else {
			out = append(out, "+"+a.Node)
		}
	}
	return out
}

func TestPlan(t *testing.T) {
	with := func(s State, change func(*State)) State {
		change(&s)
		return s
	}
	pods := func(s State, p ...Pod) State {
		s.Pods = p
		return s
	}
	changed := func(s State, node string) State {
		inst := *s.Instance
		inst.Outdated = map[string]map[types.UID]string{node: {types.UID("uid-" + node): "device node /dev/x1 instead of /dev/x0"}}
		s.Instance = &inst
		return s
	}
	for _, tt := range []struct {
		name  string
		state State
		want  []string
		again time.Duration
	}{
		// A local device.
		{"local: new", local(1), []string{"+a"}, 0},
		{"local: waits for the scheduler", pods(local(1), pod("a")), nil, 0},
		{"local: runs", pods(local(1), pod("a", running)), nil, 0},
		{"local: one broker whatever the capacity", pods(local(5), pod("a", running)), nil, 0},
		{"local: slots of others are the scheduler's business",
			with(local(1), func(s *State) { s.Instance.Usage = held("a") }), []string{"+a"}, 0},
		{"local: no room stays", pods(local(1), pod("a", unschedulable(time.Hour))), nil, 0},
		{"local: cordoned node all the same",
			with(local(1), func(s *State) { s.Usable = nil }), []string{"+a"}, 0},
		{"local: more than one node is a mistake of somebody",
			with(local(1), func(s *State) { s.Instance.Nodes = []string{"a", "b"} }), []string{"+a"}, 0},

		// What ends it all.
		{"Instance gone", State{Pods: []Pod{pod("a", running), pod("b")}, Now: t0},
			[]string{"-pod-a InstanceGone", "-pod-b InstanceGone"}, 0},
		{"Instance gone, Pods on their way out", State{Pods: []Pod{pod("a", running, terminating)}, Now: t0}, nil, 0},
		{"Instance being deleted", with(pods(local(1), pod("a", running)), func(s *State) { s.Instance.Deleting = true }),
			[]string{"-pod-a InstanceGone"}, 0},
		{"broker no longer wanted", with(pods(local(1), pod("a", running)), func(s *State) { s.Spec = nil }),
			[]string{"-pod-a BrokerNotWanted"}, 0},
		{"Configuration unknown: nothing is concluded",
			with(pods(local(1), pod("a", running)), func(s *State) { s.Spec, s.Hold = nil, true }), nil, 0},
		{"Configuration unknown: no new ones", with(local(1), func(s *State) { s.Spec, s.Hold = nil, true }), nil, 0},
		{"Configuration unknown, node left", with(pods(local(1), pod("b", running)), func(s *State) { s.Spec, s.Hold = nil, true }),
			[]string{"-pod-b NodeLeft"}, 0},
		{"no node sees it", with(pods(local(1), pod("a", running)), func(s *State) { s.Instance.Nodes = nil }),
			[]string{"-pod-a NodeLeft"}, 0},
		{"Pod of an earlier Instance of the name, then its successor",
			pods(local(1), pod("a", running, ownedBy("old"))), []string{"-pod-a BrokerOfOldInstance"}, 0},
		{"still on its way out: nothing under its name",
			pods(local(1), pod("a", running, ownedBy("old"), terminating)), nil, 0},
		{"deleted by somebody: waits until gone", pods(local(1), pod("a", running, terminating)), nil, 0},
		{"two Pods for one node: the running one stays",
			pods(local(1), pod("a", named("x")), pod("a", named("y"), running)), []string{"-x BrokerDuplicate"}, 0},

		// The device is away for a moment.
		{"offline: broker stays", with(pods(local(1), pod("a", running)), func(s *State) { s.Instance.Offline = map[string]bool{"a": true} }), nil, 0},
		{"offline: none is made", with(local(1), func(s *State) { s.Instance.Offline = map[string]bool{"a": true} }), nil, 0},
		{"offline: one that ended is kept to be read",
			with(pods(local(1), pod("a", failed(time.Hour))), func(s *State) { s.Instance.Offline = map[string]bool{"a": true} }), nil, 0},

		// Back-off.
		{"ended now", pods(local(1), pod("a", failed(0))), nil, 10 * time.Second},
		{"ended 4 s ago", pods(local(1), pod("a", failed(4*time.Second))), nil, 6 * time.Second},
		{"ended 10 s ago", pods(local(1), pod("a", failed(10*time.Second))), []string{"-pod-a BrokerReplaced"}, 0},
		{"ended in the future of another clock", pods(local(1), pod("a", failed(-time.Hour))), nil, 10 * time.Second},
		{"ended, third in a row", pods(local(1), pod("a", failed(0), after(History{"a": {Count: 2, Last: ago(time.Minute)}}))), nil, 40 * time.Second},
		{"ended, hundredth in a row", pods(local(1), pod("a", failed(0), after(History{"a": {Count: 99, Last: ago(time.Minute)}}))), nil, 5 * time.Minute},
		{"ended after a long calm", pods(local(1), pod("a", failed(0), after(History{"a": {Count: 9, Last: ago(time.Hour)}}))), nil, 10 * time.Second},
		{"back-off over, Pod gone", with(local(1), func(s *State) { s.History = History{"a": {Count: 3, Last: ago(41 * time.Second)}} }), []string{"+a"}, 0},
		{"denied on the one node", pods(local(1), pod("a", denied)), nil, 10 * time.Second},
		{"deleted by somebody: at once, whatever happened before",
			with(local(1), func(s *State) { s.Gone = map[string]bool{"a": true} }), []string{"+a"}, 0},

		// A shared device.
		{"shared: capacity 1 on one of three", shared(1, "a", "b", "c"), []string{"+c"}, 0},
		{"shared: capacity 2", shared(2, "a", "b", "c"), []string{"+c", "+b"}, 0},
		{"shared: one per node", shared(10, "a", "b"), []string{"+b", "+a"}, 0},
		{"shared: quantity 2 of 5", with(shared(5, "a", "b", "c"), func(s *State) { s.Spec.Quantity = 2 }), []string{"+c", "+b"}, 0},
		{"shared: quantity 0 is not limited", with(shared(1, "a", "b"), func(s *State) { s.Spec.Quantity = 0 }), []string{"+b", "+a"}, 0},
		{"shared: quantity over capacity", with(shared(1, "a", "b"), func(s *State) { s.Spec.Quantity = 2 }), nil, 0},
		{"shared: others hold all", with(shared(2, "a", "b"), func(s *State) { s.Instance.Usage = held("x", "y") }), nil, 0},
		{"shared: others hold one", with(shared(2, "a", "b"), func(s *State) { s.Instance.Usage = held("a") }), []string{"+b"}, 0},
		{"shared: somebody unreadable holds one", with(shared(1, "a"), func(s *State) { s.Instance.Usage = []v0.Usage{{}} }), nil, 0},
		{"shared: node not ready", with(shared(1, "a", "b"), func(s *State) { s.Usable["a"] = false }), []string{"+b"}, 0},
		{"shared: node offline", with(shared(1, "a", "b"), func(s *State) { s.Instance.Offline = map[string]bool{"a": true} }), []string{"+b"}, 0},
		{"shared: all well", with(pods(shared(1, "a", "b"), pod("b", running)), func(s *State) { s.Instance.Usage = held("b") }), nil, 0},
		{"shared: claim not made yet", pods(shared(1, "a", "b"), pod("b", bound)), nil, 0},
		{"shared: claim seen before the binding", with(pods(shared(1, "a", "b"), pod("b")), func(s *State) { s.Instance.Usage = held("b") }), nil, 0},
		{"shared: our node holds another's slot too",
			with(pods(shared(2, "a", "b"), pod("b", running)), func(s *State) { s.Instance.Usage = held("b", "b") }), nil, 0},
		{"shared: one more fits", with(pods(shared(2, "a", "b"), pod("b", running)), func(s *State) { s.Instance.Usage = held("b") }), []string{"+a"}, 0},
		{"shared: node left, another takes over",
			with(pods(shared(1, "b", "c"), pod("a", running)), func(s *State) { s.Instance.Usage = nil }), []string{"-pod-a NodeLeft", "+c"}, 0},
		{"shared: lost node still holds the slot",
			with(pods(shared(1, "b", "c"), pod("a", running, terminating)), func(s *State) { s.Instance.Usage = held("a") }), nil, 0},
		{"shared: lost node's slot is free, its Pod hangs in deletion",
			pods(shared(1, "b", "c"), pod("a", running, terminating)), []string{"+c"}, 0},
		{"shared: Pod on its way out keeps its slot", pods(shared(1, "a", "b"), pod("a", running, terminating)), nil, 0},

		// The device has changed under its id.
		{"changed: replaced at once", changed(pods(local(1), pod("a", running)), "a"), []string{"-pod-a DeviceChanged"}, 0},
		{"changed: also one that waits for its containers", changed(pods(local(1), pod("a", bound)), "a"), []string{"-pod-a DeviceChanged"}, 0},
		{"changed: no back-off for one that has ended of it", changed(pods(local(1), pod("a", failed(time.Second))), "a"), []string{"-pod-a DeviceChanged"}, 0},
		{"changed: one of two nodes", changed(pods(shared(2, "a", "b"), pod("a", running), pod("b", running)), "b"), []string{"-pod-b DeviceChanged"}, 0},
		{"changed: on its way already", changed(pods(local(1), pod("a", running, terminating)), "a"), nil, 0},
		{"changed: the device is away", with(changed(pods(local(1), pod("a", running)), "a"), func(s *State) {
			s.Instance.Offline = map[string]bool{"a": true}
		}), nil, 0},
		{"changed: another Pod by now", changed(pods(local(1), pod("a", running, named("next"))), "a"), nil, 0},
		{"changed: an agent speaks of its own node only", with(changed(pods(local(1), pod("a", running)), "a"), func(s *State) {
			s.Instance.Outdated = map[string]map[types.UID]string{"b": s.Instance.Outdated["a"]}
		}), nil, 0},
		{"changed: the label does not say where it runs", with(changed(pods(local(1), pod("a", running)), "a"), func(s *State) {
			s.Pods[0].RunsOn = "b"
		}), nil, 0},
		{"changed: it has no slot", changed(pods(local(1), pod("a", running, takes(0))), "a"), nil, 0},
		{"changed: nothing is known of what is wanted", with(changed(pods(local(1), pod("a", running)), "a"), func(s *State) { s.Hold = true }), nil, 0},
		{"changed again and again: held back", with(local(1), func(s *State) {
			p := pod("a", running)
			p.Created = ago(20 * time.Second)
			s.History = Plan(changed(pods(*s, p), "a")).History
		}), nil, 10 * time.Second},
		{"changed after a while: made again at once", with(local(1), func(s *State) {
			s.History = Plan(changed(pods(*s, pod("a", running)), "a")).History
		}), []string{"+a"}, 0},

		// Capacity changed.
		{"shrunk: running brokers stay", with(pods(shared(1, "a", "b"), pod("a", running), pod("b", running)), func(s *State) { s.Instance.Usage = held("a", "b") }), nil, 0},
		{"shrunk: waiting ones go", pods(shared(1, "a", "b"), pod("a", running), pod("b")), []string{"-pod-b NoFreeSlot"}, 0},
		{"upstream's surplus goes", pods(shared(1, "a", "b", "c"), pod("a", madeFrom(""), running), pod("b", madeFrom("")), pod("c", madeFrom(""))),
			[]string{"-pod-b NoFreeSlot", "-pod-c NoFreeSlot"}, 0},
		{"slot gone to others: a waiting broker goes",
			with(pods(shared(1, "a", "b"), pod("a", unschedulable(time.Second))), func(s *State) { s.Instance.Usage = held("b") }), []string{"-pod-a NoFreeSlot"}, 0},
		{"a Pod that may have been bound since costs no other its slot", with(
			pods(shared(2, "a", "b"), pod("a", unschedulable(time.Second)), pod("b", unschedulable(time.Second))),
			func(s *State) { s.Instance.Usage = held("a") }), nil, 29 * time.Second},
		{"and none is made on that node for a while",
			with(shared(1, "a"), func(s *State) {
				s.Instance.Usage, s.Gone = held("a"), map[string]bool{"a": true}
				s.History = History{"a": {Count: 1, Last: ago(time.Second)}}
			}), nil, 9 * time.Second},

		// The slots of a broker that vanished are ours on its own node only.
		{"vanished: its node is granted again", with(shared(1, "b", "a", "c"), func(s *State) {
			s.Instance.Usage, s.Gone = held("c"), map[string]bool{"c": true}
		}), []string{"+c"}, 0},
		{"vanished: other nodes wait", with(shared(1, "a", "b", "c"), func(s *State) {
			s.Instance.Usage, s.Gone, s.Usable["c"] = held("c"), map[string]bool{"c": true}, false
		}), nil, 0},
		{"ended and replaced: keeps its slot meanwhile",
			with(pods(shared(1, "a", "b"), pod("b", failed(0))), func(s *State) { s.Instance.Usage = held("b") }), nil, 10 * time.Second},

		// The next node.
		{"no room for 10 s", pods(shared(1, "a", "b"), pod("a", unschedulable(10*time.Second))), nil, 20 * time.Second},
		{"no room for 30 s", pods(shared(1, "a", "b"), pod("a", unschedulable(30*time.Second))), []string{"-pod-a BrokerReplaced", "+b"}, 0},
		{"no room and no other node", pods(shared(1, "a"), pod("a", unschedulable(time.Hour))), nil, 0},
		{"no room, the other node failed a moment ago",
			with(pods(shared(1, "a", "b"), pod("a", unschedulable(time.Hour))), func(s *State) { s.History = History{"b": {Count: 2, Last: ago(5 * time.Second)}} }),
			nil, 15 * time.Second},
		{"two without room, one node to try",
			pods(shared(2, "a", "b", "c"), pod("a", unschedulable(time.Hour)), pod("b", unschedulable(time.Hour))), []string{"-pod-a BrokerReplaced", "+c"}, 0},
		{"denied: next node at once", pods(shared(1, "a", "b"), pod("a", denied)), []string{"-pod-a BrokerReplaced", "+b"}, 0},
		{"denied: the slot is another's now",
			with(pods(shared(1, "a", "b"), pod("a", denied)), func(s *State) { s.Instance.Usage = held("b") }), []string{"-pod-a BrokerReplaced"}, 0},
		{"denied everywhere: waits for the first", with(shared(1, "a", "b"), func(s *State) {
			s.History = History{"a": {Count: 1, Last: ago(2 * time.Second)}, "b": {Count: 1, Last: ago(5 * time.Second)}}
		}), nil, 5 * time.Second},
		{"a node without failures is preferred", with(shared(1, "a", "b"), func(s *State) {
			s.History = History{"a": {Count: 1, Last: ago(time.Minute)}}
		}), []string{"+b"}, 0},

		// A new spec.
		{"roll-out: first one", pods(shared(2, "a", "b"), pod("a", running, madeFrom("h0")), pod("b", running, madeFrom("h0"))),
			[]string{"-pod-a BrokerRolledOut"}, 0},
		{"roll-out: waits while one goes", pods(shared(2, "a", "b"), pod("a", running, terminating, madeFrom("h0")), pod("b", running, madeFrom("h0"))), nil, 0},
		{"roll-out: fills the gap first", pods(shared(2, "a", "b"), pod("b", running, madeFrom("h0"))), []string{"+a"}, 0},
		{"roll-out: waits until the new one is ready", pods(shared(2, "a", "b"), pod("a", running, notReady), pod("b", running, madeFrom("h0"))), nil, 0},
		{"roll-out: next one", pods(shared(2, "a", "b"), pod("a", running), pod("b", running, madeFrom("h0"))), []string{"-pod-b BrokerRolledOut"}, 0},
		{"roll-out: one that is not ready anyway goes first",
			pods(shared(2, "a", "b"), pod("a", running, madeFrom("h0")), pod("b", running, notReady, madeFrom("h0"))), []string{"-pod-b BrokerRolledOut"}, 0},
		{"roll-out: what does not run is replaced at once",
			pods(shared(3, "a", "b", "c"), pod("a", running, madeFrom("h0")), pod("b", madeFrom("h0")), pod("c", bound, madeFrom("h0"))),
			[]string{"-pod-b BrokerRolledOut", "-pod-c BrokerRolledOut"}, 0},
		{"roll-out: what ended is replaced without back-off", pods(local(1), pod("a", failed(0), madeFrom("h0"))), []string{"-pod-a BrokerRolledOut"}, 0},
		{"roll-out: upstream's are adopted", pods(local(1), pod("a", running, madeFrom(""))), nil, 0},
		{"adopted one that ended is replaced", pods(local(1), pod("a", failed(time.Minute), madeFrom(""))), []string{"-pod-a BrokerReplaced"}, 0},
		{"roll-out of a larger quantity waits for its slots",
			with(pods(shared(2, "a", "b"), pod("a", running, takes(1), madeFrom("h0"))), func(s *State) {
				s.Spec.Quantity, s.Instance.Usage = 2, held("a")
			}), []string{"-pod-a BrokerRolledOut"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == nil {
				tt.want = []string{}
			}
			before := fmt.Sprintf("%+v %+v", tt.state, tt.state.Instance)
			got := Plan(tt.state)
			if d := cmp.Diff(tt.want, brief(got)); d != "" {
				t.Errorf("actions (-want +got):\n%s", d)
			}
			if got.RequeueAfter != tt.again {
				t.Errorf("again in %s, want %s", got.RequeueAfter, tt.again)
			}
			if after := fmt.Sprintf("%+v %+v", tt.state, tt.state.Instance); after != before {
				t.Errorf("Plan changed its input:\n%s\n%s", before, after)
			}
		})
	}
}

func TestPlanNotes(t *testing.T) {
	s := local(1)
	s.Pods = []Pod{pod("a", failed(0))}
	r := Plan(s)
	if len(r.Notes) != 1 || r.Notes[0].Reason != ReasonFailed || !strings.Contains(r.Notes[0].Message, "exit code 1") {
		t.Errorf("notes = %v, want the failure", r.Notes)
	}
	s.History = r.History
	if r = Plan(s); len(r.Notes) != 0 || r.History["a"].Count != 1 {
		t.Errorf("planned again: notes %v, history %v; want the failure counted once", r.Notes, r.History)
	}
	s.Pods, s.Spec.Quantity = nil, 3
	if r = Plan(s); len(r.Notes) != 1 || r.Notes[0].Reason != ReasonTooFewSlots {
		t.Errorf("notes = %v, want %s", r.Notes, ReasonTooFewSlots)
	}
}

// The count of failures survives the controller in the Pods' annotations.
func TestBackoffIsRebuilt(t *testing.T) {
	s := local(1)
	now, h := t0, History{}
	var delays []time.Duration
	for i := range 8 {
		p := pod("a", named(fmt.Sprint("p", i)), failed(0), after(h))
		p.EndedAt, p.Started = now, now
		s.Pods, s.Now, s.History = []Pod{p}, now, nil // a controller without memory
		r := Plan(s)
		delays = append(delays, r.RequeueAfter)
		again, err := decodeHistory(r.History.encode())
		if err != nil {
			t.Fatal(err)
		}
		h, now = again, now.Add(r.RequeueAfter)
	}
	var want []time.Duration
	for _, sec := range []int{10, 20, 40, 80, 160, 300, 300, 300} {
		want = append(want, time.Duration(sec)*time.Second)
	}
	if !slices.Equal(delays, want) {
		t.Errorf("delays %v, want %v", delays, want)
	}
}

// A failure that a slow clock dates before the previous one still counts, also
// when the plan is made again while its Pod is being deleted.
func TestFailureOfASlowClock(t *testing.T) {
	s := local(1)
	s.Pods = []Pod{pod("a", failed(30*time.Second), after(History{"a": {Count: 1, Last: ago(21 * time.Second)}}))}
	r := Plan(s)
	if got := brief(r); !slices.Equal(got, []string{"-pod-a BrokerReplaced"}) {
		t.Fatalf("actions %v", got)
	}
	s.History, s.Pods[0].Terminating = r.History, true
	s.Pods = []Pod{s.Pods[0]}
	if r = Plan(s); r.History["a"].Count != 2 {
		t.Errorf("history %v, want two failures", r.History)
	}
}

// Not all Instances start with the same node.
func TestSpread(t *testing.T) {
	count := map[string]int{}
	for i := range 300 {
		s := shared(1, "a", "b", "c")
		s.Instance.Name = fmt.Sprintf("cam-%06x", i)
		for _, a := range Plan(s).Actions {
			count[a.Node]++
		}
	}
	for _, n := range []string{"a", "b", "c"} {
		if count[n] < 60 {
			t.Errorf("node %s has %d of 300 brokers, want about a third: %v", n, count[n], count)
		}
	}
}
