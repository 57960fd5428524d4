package explain

import v0 "github.com/akri-go/akri/api/v0"

// What a picture of the whole cluster needs to know of each thing in it.

// Worst returns what is worst about each subject that something is wrong with;
// notes do not count.
func (e Explained) Worst() map[Subject]Finding {
	worst := map[Subject]Finding{}
	for _, f := range e.v.found {
		if f.Level == Note {
			continue
		}
		if old, there := worst[f.Subject]; there && compareBadness(old, f) <= 0 {
			continue
		}
		worst[f.Subject] = f
	}
	return worst
}

// Holder is who has a slot.
type Holder struct {
	Slot string
	Node string
	// Pods are those on the node that can have it: of the Pods that ask for one
	// resource on a node, it is not known which slot each has.
	Pods []Subject
}

// Holders returns who has the slots of an Instance, sorted by slot.
func (e Explained) Holders(inst *v0.Instance) []Holder {
	var out []Holder
	for _, h := range e.v.holders(inst) {
		holder := Holder{Slot: h.slot, Node: h.node}
		for _, pod := range h.pods {
			holder.Pods = append(holder.Pods, subjectOf(Pod, pod))
		}
		out = append(out, holder)
	}
	return out
}

// Root returns the findings that follow from no other, the first in the order of
// steps first, at most so many; and how many there are in all.
func (e Explained) Root(most int) (first []Finding, all int) {
	var a Answer
	a.take(e.v.where(func(f Finding) bool { return f.Level != Note && f.Because == nil }))
	return a.Findings[:min(most, len(a.Findings))], len(a.Findings) + a.More
}
