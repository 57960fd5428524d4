package workload

import (
	"encoding/json"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	v0 "github.com/akri-go/akri/api/v0"
)

// JobTemplate is a parsed brokerJobSpec.
type JobTemplate struct {
	spec map[string]any
	// Hash identifies the spec.
	Hash string
	// asks is set if its Pods request the Instance's resource: then they run
	// where a kubelet offers it, including nodes that see the device later.
	asks bool
}

// ParseJob parses a brokerJobSpec. Its errors name the field at fault.
func ParseJob(raw []byte) (*JobTemplate, error) {
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
	job.SetOwnerReferences([]metav1.OwnerReference{OwnerRef(inst)})
	return job, nil
}

// Pod returns a Pod as the Job of an Instance makes it, for dry runs: when a
// Job is created, the API server does not check whether the namespace allows
// its Pods.
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

// jobSpec returns a copy of the spec for one Instance. Its Pods carry the label
// controller, unlike upstream's, so that Services select them, and run only on
// the Instance's nodes.
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
