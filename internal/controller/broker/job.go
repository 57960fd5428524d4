package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// AnnotationJob stands on an Instance and holds the hash of the brokerJobSpec
// that a Job was made from. A Job is made once for an Instance and a spec; the
// annotation is how that is known when the Job is gone, by
// ttlSecondsAfterFinished or by hand. Remove it to have the Job made again.
const AnnotationJob = "akri.sh/broker-job-hash"

// JobTemplate is a brokerJobSpec that was read and found usable.
type JobTemplate struct {
	spec map[string]any
	// Hash identifies the spec.
	Hash string
	// asks tells that its Pods ask for the Instance's resource: then they run
	// where a kubelet offers it, also on nodes that come to see the device later.
	asks bool
}

// ParseJobTemplate reads a brokerJobSpec. Its errors name the field at fault.
func ParseJobTemplate(raw []byte) (*JobTemplate, error) {
	spec, hash, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	var typed batchv1.JobSpec
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, fmt.Errorf("not a JobSpec: %w", err)
	}
	if len(typed.Template.Spec.Containers) == 0 {
		return nil, errors.New("template.spec.containers: at least one is needed")
	}
	t := &JobTemplate{spec: spec, Hash: hash, asks: Quantity(&typed.Template.Spec, v0.Placeholder) > 0}
	if _, err := t.jobSpec(&v0.Instance{Spec: v0.InstanceSpec{Nodes: []string{"trial"}}}); err != nil {
		return nil, err
	}
	return t, nil
}

// Job returns the broker Job of an Instance.
func (t *JobTemplate) Job(inst *v0.Instance, generation int64) (*unstructured.Unstructured, error) {
	spec, err := t.jobSpec(inst)
	if err != nil {
		return nil, err
	}
	name := JobName(inst.Name, generation)
	job := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	job.SetAPIVersion("batch/v1")
	job.SetKind("Job")
	job.SetNamespace(inst.Namespace)
	job.SetName(name)
	job.SetLabels(map[string]string{
		v0.LabelApp:           name,
		v0.LabelController:    v0.ControllerName,
		v0.LabelConfiguration: inst.Spec.ConfigurationName,
		v0.LabelInstance:      inst.Name,
	})
	job.SetAnnotations(map[string]string{v0.AnnotationSpecHash: t.Hash})
	job.SetOwnerReferences([]metav1.OwnerReference{view.OwnerRef(inst)})
	return job, nil
}

// Pod returns a Pod as the Job of an Instance makes it, for trials: whether the
// namespace allows the Pods of a Job is not asked when the Job is made.
func (t *JobTemplate) Pod(inst *v0.Instance) (*unstructured.Unstructured, error) {
	spec, err := t.jobSpec(inst)
	if err != nil {
		return nil, err
	}
	template, err := ensure(spec, "template")
	if err != nil {
		return nil, err
	}
	pod := &unstructured.Unstructured{Object: map[string]any{"metadata": template["metadata"], "spec": template["spec"]}}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(inst.Namespace)
	pod.SetName(JobName(inst.Name, 0) + "-trial")
	return pod, nil
}

// jobSpec returns a copy of the spec for one Instance. Its Pods carry the
// label controller, which upstream's do not, so that Services select them, and
// run on no other nodes than those of the Instance.
func (t *JobTemplate) jobSpec(inst *v0.Instance) (map[string]any, error) {
	spec := runtime.DeepCopyJSON(t.spec)
	template, err := ensure(spec, "template")
	if err != nil {
		return nil, err
	}
	podSpec, err := ensure(template, "spec")
	if err != nil {
		return nil, fmt.Errorf("template.%w", err)
	}
	if err := substitute(podSpec, v0.ResourceName(inst.Name)); err != nil {
		return nil, fmt.Errorf("template.spec.%w", err)
	}
	if !t.asks {
		nodes := inst.Spec.Nodes
		if !inst.Spec.Shared && len(nodes) > 1 {
			nodes = nodes[:1]
		}
		if err := pin(podSpec, nodes); err != nil {
			return nil, fmt.Errorf("template.spec.%w", err)
		}
	}
	metadata, err := ensure(template, "metadata")
	if err != nil {
		return nil, fmt.Errorf("template.%w", err)
	}
	labels, err := ensure(metadata, "labels")
	if err != nil {
		return nil, fmt.Errorf("template.metadata.%w", err)
	}
	labels[v0.LabelController] = v0.ControllerName
	labels[v0.LabelConfiguration] = inst.Spec.ConfigurationName
	labels[v0.LabelInstance] = inst.Name
	return spec, nil
}

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
