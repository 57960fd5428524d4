package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/shorten"
)

// Level says how bad a finding is.
type Level string

const (
	// Problem: something that was asked for does not work.
	Problem Level = "problem"
	// Warning: it works, or may be meant to be so, but not as one would expect.
	Warning Level = "warning"
	// Note: nothing is wrong; it says why something is as it is.
	Note Level = "note"
)

func (l Level) rank() int { return slices.Index([]Level{Problem, Warning, Note}, l) }

// Step is a part of a device's way from the release to its user.
type Step string

// The steps, in their order.
const (
	StepRelease       Step = "release"       // agents, controllers and the webhook run
	StepNode          Step = "node"          // the node is there, and its agent responds
	StepConfiguration Step = "configuration" // the Configuration can be used
	StepHandler       Step = "handler"       // a handler answers
	StepDevice        Step = "device"        // the device is found, and has an Instance
	StepSlots         Step = "slots"         // the node offers it, and a slot is free
	StepBroker        Step = "broker"        // there is a broker
	StepPod           Step = "pod"           // the Pod runs
	StepService       Step = "service"       // a Service leads to it
)

func (s Step) rank() int {
	return slices.Index([]Step{StepRelease, StepNode, StepConfiguration, StepHandler, StepDevice, StepSlots,
		StepBroker,
		StepPod, StepService}, s)
}

// Kind is what a Subject is. What is not in the list below is named as in
// Kubernetes: Deployment, DaemonSet.
type Kind string

// Kinds of subjects that can be asked about.
const (
	Configuration Kind = "Configuration"
	Device        Kind = "Device" // an Instance, or the device that one wants
	Node          Kind = "Node"
	Pod           Kind = "Pod"
)

// Subject names an object.
type Subject struct {
	Kind      Kind   `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String returns "Pod default/logger".
func (s Subject) String() string {
	if s.Name == "" {
		return string(s.Kind)
	}
	return string(s.Kind) + " " + s.key()
}

func (s Subject) key() string {
	if s.Namespace == "" {
		return s.Name
	}
	return s.Namespace + "/" + s.Name
}

func compareSubjects(a, b Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Evidence is a fact, and who says it.
type Evidence struct {
	// From is an object, such as "Node edge-1" or "Event DeviceRefused".
	From string `json:"from"`
	Says string `json:"says"`
}

// Remedy is what to do. Commands are for a shell; in angle brackets is what the
// reader knows and we do not.
type Remedy struct {
	Text     string   `json:"text,omitempty"`
	Commands []string `json:"commands,omitempty"`
	// See is a page of the documentation.
	See string `json:"see,omitempty"`
}

// Ref names a finding.
type Ref struct {
	Cause   Cause   `json:"cause"`
	Subject Subject `json:"subject"`
}

// Finding is one thing that is not well.
type Finding struct {
	Level   Level   `json:"level"`
	Step    Step    `json:"step"`
	Cause   Cause   `json:"cause"`
	Subject Subject `json:"subject"`
	// Summary goes on after the Subject's name and a colon; it has no full stop.
	Summary  string     `json:"summary"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Remedy   Remedy     `json:"remedy"`
	// Because is the finding that this one follows from.
	Because *Ref `json:"because,omitempty"`
	// Nodes are where it is so, if it is not so everywhere.
	Nodes []string `json:"nodes,omitempty"`
}

func (f Finding) ref() Ref { return Ref{f.Cause, f.Subject} }

// Limits of what a finding quotes: messages come from strangers.
const (
	maxSaysBytes = 1024
	maxEvidence  = 12
	// maxNames is how many names a sentence lists.
	maxNames = 5
)

// says adds evidence, as long as there is not too much of it.
func (f *Finding) says(from, format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	if text == "" || len(f.Evidence) >= maxEvidence {
		return
	}
	f.Evidence = append(f.Evidence, Evidence{From: from, Says: shorten.Text(text, maxSaysBytes)})
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Step.rank(), b.Step.rank()),
		cmp.Compare(a.Level.rank(), b.Level.rank()),
		compareSubjects(a.Subject, b.Subject),
		cmp.Compare(a.Cause, b.Cause),
		cmp.Compare(a.Summary, b.Summary),
	)
}

// names lists the first few names, and says how many more there are.
func names(all []string) string {
	all = slices.Clone(all)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) <= maxNames {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNames], ", "), len(all)-maxNames)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
