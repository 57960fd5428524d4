package explain

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// maxFindings bounds an answer.
const maxFindings = 1000

// Answer is what [Explained.All] and [Explained.Of] say.
type Answer struct {
	// Subject is what was asked about; nil for the whole cluster.
	Subject *Subject `json:"subject,omitempty"`
	// Well means that no finding is a Problem.
	Well bool `json:"well"`
	// Answer says it in one sentence.
	Answer string `json:"answer"`
	// Facts are how things are, whether that is good or not.
	Facts []Evidence `json:"facts,omitempty"`
	// Findings are what is not well, the cause first. Of a Subject, there are
	// Notes too.
	Findings []Finding `json:"findings"`
	// More is how many findings were left out, since there are too many.
	More int `json:"more,omitempty"`
	// Unseen is what could not be read.
	Unseen []Unseen `json:"unseen,omitempty"`
}

// UnknownError means that there is no object of that name.
type UnknownError struct {
	Subject Subject
	// Near are names of others of its kind.
	Near []string
}

func (e *UnknownError) Error() string {
	text := "there is no " + e.Subject.String()
	if len(e.Near) > 0 {
		text += ": there are " + names(e.Near)
	}
	return text
}

// Explained is a Cluster of which everything has been found out. It may be asked
// by several goroutines.
type Explained struct{ v *view }

// Explain finds everything. The Cluster must not be changed afterwards.
func Explain(c Cluster) Explained {
	v := newView(c)
	v.release()
	v.nodesAndAgents()
	for i := range v.Configurations {
		v.configuration(&v.Configurations[i])
	}
	for i := range v.Instances {
		v.device(&v.Instances[i])
	}
	for i := range v.Configurations {
		if v.Configurations[i].DeletionTimestamp == nil {
			v.brokerSpec(&v.Configurations[i])
			v.heldOf(&v.Configurations[i])
		}
	}
	for i := range v.Instances {
		v.broker(&v.Instances[i])
		v.service(&v.Instances[i])
	}
	for _, pod := range v.relevant() {
		v.pod(pod)
	}
	for i := range v.Nodes {
		v.leftOver(&v.Nodes[i])
	}
	return Explained{v}
}

// All is [Explained.All] of a Cluster.
func All(c Cluster, namespace string) Answer { return Explain(c).All(namespace) }

// Of is [Explained.Of] of a Cluster.
func Of(c Cluster, s Subject) (Answer, error) { return Explain(c).Of(s) }

// All returns everything that is not well, without Notes. With a namespace, it
// leaves out what concerns only others.
func (e Explained) All(namespace string) Answer {
	v := e.v
	a := Answer{Unseen: v.Unseen}
	a.take(v.where(func(f Finding) bool {
		elsewhere := namespace != "" && f.Subject.Namespace != "" && f.Subject.Namespace != namespace &&
			f.Step != StepRelease
		return f.Level != Note && !elsewhere
	}))
	devices := plural(len(v.Instances), "device", "devices")
	a.Facts = []Evidence{{"cluster", fmt.Sprintf("%s with an agent, %s, %s", plural(len(v.agents), "node", "nodes"),
		plural(len(v.Configurations), "Configuration", "Configurations"), devices)}}
	if len(a.Findings) == 0 {
		a.Answer = "Nothing is wrong: " + a.Facts[0].Says
	} else {
		a.Answer = a.headline("")
	}
	return a
}

// Of explains one subject: what is wrong with it, and the causes. The error is
// an [UnknownError] if it is not there; a device that nobody has found is
// explained.
//
// Its namespace may be empty if its name is unique.
func (e Explained) Of(s Subject) (Answer, error) {
	v := e.v
	s, err := v.resolve(s)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Subject: &s, Unseen: v.Unseen}
	var state string
	var concerned []Finding
	switch s.Kind {
	case Configuration:
		a.Facts, state = v.factsOfConfiguration(v.configurations[s.name()])
		concerned = v.ofConfiguration(s)
	case Node:
		a.Facts, state = v.factsOfNode(s.Name)
		concerned = v.ofNode(s.Name)
	case Pod:
		pod := v.podNamed(s)
		a.Facts, state = v.factsOfPod(pod)
		concerned = v.ofPod(pod)
	case Device:
		inst := v.instances[s.name()]
		if inst == nil {
			concerned = []Finding{v.wanted(s)}
			break
		}
		a.Facts, state = v.factsOfDevice(inst)
		concerned = v.ofDevice(inst)
	}
	a.take(v.withCauses(concerned))
	switch {
	case len(a.Findings) == 0:
		a.Answer = s.String() + " is well: " + state
	default:
		a.Answer = a.headline(state)
	}
	return a, nil
}

func (s Subject) name() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

// take sorts findings into the answer.
func (a *Answer) take(found []Finding) {
	slices.SortStableFunc(found, compareFindings)
	a.Well = !slices.ContainsFunc(found, func(f Finding) bool { return f.Level == Problem })
	if len(found) > maxFindings {
		a.More = len(found) - maxFindings
		found = found[:maxFindings]
	}
	a.Findings = found
	if a.Findings == nil {
		a.Findings = []Finding{}
	}
}

// worstOf returns the first of the worst of some findings; those that follow from
// another one, and notes, count less.
func worstOf(found []Finding) Finding { return slices.MinFunc(found, compareBadness) }

func compareBadness(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Level.rank(), b.Level.rank()), cmp.Compare(depth(a), depth(b)))
}

func depth(f Finding) int {
	if f.Because != nil {
		return 1
	}
	return 0
}

// root returns what a finding follows from in the end.
func (a *Answer) root(f Finding) Finding {
	for range a.Findings { // so often at most
		i := slices.IndexFunc(a.Findings, func(o Finding) bool { return f.Because != nil && o.ref() == *f.Because })
		if i < 0 {
			break
		}
		f = a.Findings[i]
	}
	return f
}

// headline is the answer in one sentence.
func (a *Answer) headline(state string) string {
	if a.Subject == nil {
		f := worstOf(a.Findings)
		others := 0
		for _, o := range a.Findings {
			if o.Level == Problem && o.Because == nil && o.ref() != f.ref() {
				others++
			}
		}
		says := f.Subject.String() + ": " + f.Summary
		if others > 0 {
			says += fmt.Sprintf(" (and %s)", plural(others, "other problem", "other problems"))
		}
		return says
	}
	own := slices.DeleteFunc(slices.Clone(a.Findings), func(f Finding) bool { return f.Subject != *a.Subject })
	worst := worstOf(a.Findings)
	switch {
	case worst.Level == Note:
		return fmt.Sprintf("%s is well: %s", a.Subject, state)
	case len(own) == 0 || worstOf(own).Level == Note || worst.Level == Problem && worstOf(own).Level != Problem:
		return fmt.Sprintf("%s: %s. But %s: %s", a.Subject, state, worst.Subject, worst.Summary)
	}
	f := worstOf(own)
	if root := a.root(f); root.ref() != f.ref() {
		return fmt.Sprintf("%s: %s. The cause is %s: %s", a.Subject, f.Summary, root.Subject, root.Summary)
	}
	return a.Subject.String() + ": " + f.Summary
}

// about returns the findings about a subject.
func (v *view) about(s Subject) []Finding {
	return v.where(func(f Finding) bool { return f.Subject == s })
}

func (v *view) where(is func(Finding) bool) []Finding {
	var out []Finding
	for _, f := range v.found {
		if is(f) {
			out = append(out, f)
		}
	}
	return out
}

// withCauses adds the findings that others follow from.
func (v *view) withCauses(found []Finding) []Finding {
	have := map[Ref]bool{}
	for _, f := range found {
		have[f.ref()] = true
	}
	for i := 0; i < len(found); i++ {
		because := found[i].Because
		if because == nil || have[*because] {
			continue
		}
		have[*because] = true
		found = append(found, v.where(func(f Finding) bool { return f.ref() == *because })...)
	}
	return found
}
