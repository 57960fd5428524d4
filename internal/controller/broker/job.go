package broker

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// AnnotationJob stands on an Instance and holds the hash of the brokerJobSpec
// that a Job was made from. A Job is made once for an Instance and a spec; the
// annotation is how that is known when the Job is gone, by
// ttlSecondsAfterFinished or by hand. Remove it to have the Job made again.
const AnnotationJob = "akri.sh/broker-job-hash"

// Job is what PlanJobs needs to know of a broker Job.
type Job struct {
	Name        string
	UID         types.UID
	Owner       types.UID
	SpecHash    string // empty if upstream's controller made it
	Terminating bool
	Created     time.Time
	// Active are its Pods that have not ended; Over means that it makes none
	// any more, or for now.
	Active int32
	Over   bool
}

// stuckAfter is how long a Job may take to make its first Pod, and stuckAgain
// how often the namespace is asked about one that has none.
const (
	stuckAfter = 10 * time.Second
	stuckAgain = 30 * time.Second
)

// stuck tells whether a Job should have a Pod and has none; if it is too early
// to say, when to look again.
func (j Job) stuck(now time.Time) (bool, time.Duration) {
	if j.Terminating || j.Over || j.Active > 0 {
		return false, 0
	}
	if left := stuckAfter - now.Sub(j.Created); left > 0 {
		return false, min(left, stuckAfter)
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
	// Hold keeps what is there and makes nothing.
	Hold bool
	Jobs []Job
	// Made is the value of [AnnotationJob].
	Made string
}

// JobPlan says what to do about the Jobs of one Instance.
type JobPlan struct {
	Delete []Job
	Create bool
	// Made is the value that [AnnotationJob] shall have when the rest is done.
	Made string
}

// PlanJobs decides about the broker Jobs of one Instance: one Job for each
// spec, made once. Jobs of another spec are deleted, one of upstream's
// controller counts as made from the first spec that is seen with it.
func PlanJobs(s JobState) JobPlan {
	out := JobPlan{Made: s.Made}
	gone := s.Instance == nil || s.Instance.Deleting
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
		// Made before; or the name becomes free, or the device is back, first.
	default:
		out.Create, out.Made = true, s.Hash
	}
	return out
}

// online tells whether any node sees the device now.
func online(inst *Instance) bool {
	for _, n := range inst.Nodes {
		if !inst.Offline[n] {
			return true
		}
	}
	return false
}
