package broker

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// AnnotationJob is set on an Instance and holds the hash of the brokerJobSpec
// that its Job was made from. An Instance gets one Job for each spec; the
// annotation remembers that when the Job is gone, through
// ttlSecondsAfterFinished or by hand. Remove it to get a new Job.
const AnnotationJob = v0.AnnotationBrokerJob

// Job is what PlanJobs needs to know of a broker Job.
type Job struct {
	Name        string
	UID         types.UID
	Owner       types.UID
	SpecHash    string // empty if upstream's controller made it
	Terminating bool
	Created     time.Time
	// Active is the number of its Pods that have not ended; Over means that it
	// has ended or is suspended.
	Active int32
	Over   bool
}

// firstPodTimeout is how long a Job may take to create its first Pod.
// stuckCheckInterval is how often the reason is looked for if there is none.
const (
	firstPodTimeout    = 10 * time.Second
	stuckCheckInterval = 30 * time.Second
)

// stuck reports whether a Job should have a Pod and has none; if it is too
// early to say, it returns when to look again.
func (j Job) stuck(now time.Time) (bool, time.Duration) {
	if j.Terminating || j.Over || j.Active > 0 {
		return false, 0
	}
	if left := firstPodTimeout - now.Sub(j.Created); left > 0 {
		return false, min(left, firstPodTimeout)
	}
	return true, 0
}

// JobState is all that a plan for Jobs depends on.
type JobState struct {
	// Instance is nil if it is gone.
	Instance *Instance
	// Hash of the wanted brokerJobSpec; empty if no Job is wanted.
	Hash string
	// Name that a new Job would have.
	Name string
	// Hold means: change nothing.
	Hold bool
	Jobs []Job
	// Made is the value of [AnnotationJob].
	Made string
}

// JobPlan says what to do about the Jobs of one Instance.
type JobPlan struct {
	Delete []Job
	Create bool
	// Made is the value for [AnnotationJob] once the rest is done.
	Made string
}

// PlanJobs decides about the broker Jobs of one Instance: one Job for each
// spec, created once. Jobs of another spec are deleted. A Job of upstream's
// controller counts as made from the first spec that is seen with it.
func PlanJobs(s JobState) JobPlan {
	out := JobPlan{Made: s.Made}
	// Without nodes, an Instance stays only for the slots that containers still
	// hold. If the device comes back, it gets another Job.
	gone := s.Instance == nil || s.Instance.Deleting || len(s.Instance.Nodes) == 0
	if s.Hold && !gone {
		return out
	}
	current, taken := false, false
	for _, j := range s.Jobs {
		adopted := j.SpecHash == "" && (s.Made == "" || s.Made == s.Hash)
		switch {
		case !gone && s.Hash != "" && j.Owner == s.Instance.UID && (j.SpecHash == s.Hash || adopted):
			current = true
		case !j.Terminating:
			out.Delete = append(out.Delete, j)
		}
		taken = taken || j.Name == s.Name
	}
	switch {
	case gone:
		out.Made = ""
	case s.Hash == "":
		out.Made = ""
	case current:
		out.Made = s.Hash
	case s.Made == s.Hash || taken || !online(s.Instance):
		// Made before; or the name must become free, or the device come back,
		// first.
	default:
		out.Create, out.Made = true, s.Hash
	}
	return out
}

// online reports whether any node sees the device now.
func online(inst *Instance) bool {
	for _, n := range inst.Nodes {
		if !inst.Offline[n] {
			return true
		}
	}
	return false
}
