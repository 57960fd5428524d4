// Package history judges what happened in a cluster while its parts were killed.
//
// A [History] is everything that was seen, in the order of time: what the test
// itself did (devices that came and went, faults, Pods that it deleted), every
// version of the objects, and what the kubelets said of their containers.
// [Check] looks for what must never happen. It is a pure function and knows no
// cluster.
//
// The cluster reports late, so every rule leaves room for that: a violation is
// certain.
// was wrong for certain.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v0 "github.com/akri-go/akri/api/v0"
)

// Device identifies a thing that handlers can see.
type Device struct {
	Configuration string
	ID            string
	Shared        bool
}

// Presence says that a device came to a node, or left it.
type Presence struct {
	At     time.Time
	Device Device
	Node   string
	There  bool
}

// Fault is what the test did to the cluster: kill a part, delete a Pod.
type Fault struct {
	At     time.Time
	Kind   string // agent, controller, kubelet, handler, delete
	Node   string
	Object string // of the fault: a Pod's name for instance
}

// Instance is a version of an Instance.
type Instance struct {
	At       time.Time
	Name     string
	UID      string
	Device   Device
	Capacity int
	Nodes    []string
	Usage    map[string]v0.Usage // by slot id; only those that are held
	Gone     bool                // this is the last version
}

// Pod is a version of a broker or another user of slots.
type Pod struct {
	At       time.Time
	Name     string
	UID      string
	Node     string
	Instance string // of which it is a broker; "" if it is none
	SpecHash string
	Phase    string // of Kubernetes
	Reason   string // of an end, or of a deletion
	Deleting bool
	Gone     bool
}

// Hold is a slot that a Pod has, as a kubelet says.
type Hold struct {
	Pod      string // namespace/name
	Resource string
	Slot     string
}

// Job is a Job that was made for an Instance.
type Job struct {
	At       time.Time
	Name     string
	UID      string
	Instance string
	Owner    string // UID of the Instance
}

// Poll is the answer of one kubelet.
type Poll struct {
	At    time.Time
	Node  string
	Holds []Hold
}

// History is all that was seen.
type History struct {
	Presences []Presence
	Faults    []Fault
	Instances []Instance
	Pods      []Pod
	Jobs      []Job
	Polls     []Poll
	End       time.Time
}

// Violation is something that must never happen.
type Violation struct {
	At     time.Time
	Rule   string
	Object string // an Instance or Pod, whose history tells more
	Text   string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s %s: %s: %s", v.At.Format(stamp), v.Rule, v.Object, v.Text)
}

const stamp = "15:04:05.000"

// Of returns the history of an object, one line per fact, with the faults in
// between, its devices, and what the kubelets said of it.
func (h *History) Of(object string) []string {
	var lines []line
	add := func(at time.Time, format string, args ...any) {
		lines = append(lines, line{at, fmt.Sprintf(format, args...)})
	}
	device := Device{}
	for _, i := range h.Instances {
		if i.Name == object || strings.HasPrefix(object, i.Name+"-") {
			device = i.Device
			add(i.At, "instance %s uid=%.8s nodes=%v capacity=%d usage=%v gone=%v", i.Name, i.UID, i.Nodes, i.Capacity, i.Usage, i.Gone)
		}
	}
	for _, p := range h.Pods {
		if p.Name == object || p.Instance != "" && p.Instance == object {
			add(p.At, "pod %s uid=%.8s on %s: %s %s deleting=%v gone=%v", p.Name, p.UID, p.Node, p.Phase, p.Reason, p.Deleting, p.Gone)
		}
	}
	for _, j := range h.Jobs {
		if j.Instance == object {
			add(j.At, "job %s uid=%.8s of %.8s", j.Name, j.UID, j.Owner)
		}
	}
	for _, p := range h.Presences {
		if p.Device == device {
			add(p.At, "device %s on %s: there=%v", p.Device.ID, p.Node, p.There)
		}
	}
	for _, f := range h.Faults {
		add(f.At, "fault %s", f)
	}
	for _, o := range h.holdings() {
		if o.instance() == object || strings.HasSuffix(o.Pod, "/"+object) {
			add(o.first, "kubelet of %s: %s has %s as %s, until %s", o.node, o.Pod, o.Slot, o.Resource, o.last.Format(stamp))
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	text := make([]string, len(lines))
	for i, l := range lines {
		text[i] = l.at.Format(stamp) + " " + l.text
	}
	return text
}

type line struct {
	at   time.Time
	text string
}

func (f Fault) String() string {
	return strings.TrimSpace(strings.Join([]string{f.Kind, f.Node, f.Object}, " "))
}

// holding is a time in which a kubelet said, in every answer, that a Pod has a
// slot. It certainly had it from first to last.
type holding struct {
	Hold
	node        string
	first, last time.Time
}

func (h holding) instance() string {
	name, _, err := v0.ParseSlotID(h.Slot)
	if err != nil {
		return ""
	}
	return name
}

func (h holding) overlaps(o holding) bool {
	return !h.last.Before(o.first) && !o.last.Before(h.first)
}

// holdings joins the answers of the kubelets, sorted by time.
func (h *History) holdings() []holding {
	type key struct {
		node string
		Hold
	}
	open := map[key]*holding{}
	var all []holding
	for _, p := range h.Polls {
		now := map[Hold]bool{}
		for _, x := range p.Holds {
			now[x] = true
			if o := open[key{p.Node, x}]; o != nil {
				o.last = p.At
			} else {
				open[key{p.Node, x}] = &holding{Hold: x, node: p.Node, first: p.At, last: p.At}
			}
		}
		for k, o := range open {
			if k.node == p.Node && !now[k.Hold] {
				all = append(all, *o)
				delete(open, k)
			}
		}
	}
	for _, o := range open {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b holding) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.node, b.node), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}
