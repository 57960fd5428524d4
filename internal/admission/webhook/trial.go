package webhook

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/workload"
)

// faultTypes are passed on; all other types become [field.ErrorTypeInvalid].
var faultTypes = [...]field.ErrorType{
	field.ErrorTypeRequired, field.ErrorTypeNotSupported, field.ErrorTypeDuplicate,
	field.ErrorTypeForbidden, field.ErrorTypeTooLong, field.ErrorTypeTooMany,
}

// trialHash stands for a device's hash.
const trialHash = "000000"

// trial makes what the controller would make from a spec, for one Instance.
func trial(s workload.Spec, c *v0.Configuration) (*unstructured.Unstructured, error) {
	inst := trialOwner(c)
	var out *unstructured.Unstructured
	switch s.Kind {
	case workload.Pod:
		t, err := workload.ParsePod(s.Raw)
		if err != nil {
			return nil, err
		}
		if out, err = t.Pod(inst, "trial"); err != nil {
			return nil, err
		}
	case workload.Job:
		t, err := workload.ParseJob(s.Raw)
		if err != nil {
			return nil, err
		}
		if out, err = t.Job(inst, 1); err != nil {
			return nil, err
		}
	default:
		var spec map[string]any
		if err := utiljson.Unmarshal(s.Raw, &spec); err != nil {
			return nil, err
		}
		out = &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		out.SetAPIVersion("v1")
		out.SetKind("Service")
		out.SetNamespace(c.Namespace)
		out.SetName(workload.ServiceName(inst.Name))
	}
	out.SetOwnerReferences(nil) // there is no such Instance
	return out, nil
}

// trialOwner is the Instance that trials are made for.
func trialOwner(c *v0.Configuration) *v0.Instance {
	inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: trialInstance(c)}}
	inst.Spec.ConfigurationName = c.Name
	return inst
}

func trialInstance(c *v0.Configuration) string { return v0.InstanceName(c.Name, trialHash) }

// try creates an object in a dry run. The client must do dry runs with strict
// field validation.
func try(ctx context.Context, dryRun client.Client, s workload.Spec, c *v0.Configuration) (admission.Verdict, bool) {
	o, err := trial(s, c)
	if err != nil {
		return admission.Verdict{}, false // Check finds the same, and says so
	}
	resource := v0.ResourceName(trialInstance(c))
	verdict := judge(dryRun.Create(ctx, o), resource)
	if s.Kind == workload.Job && verdict.Answered && len(verdict.Faults) == 0 && verdict.Objection == "" {
		verdict.Objection = podObjection(ctx, dryRun, s, c, resource)
	}
	return verdict, true
}

// podObjection is why the Pods of a Job would be refused right now. The API
// server does not say so of the Job.
func podObjection(ctx context.Context, dryRun client.Client, s workload.Spec, c *v0.Configuration, resource string) string {
	t, err := workload.ParseJob(s.Raw)
	if err != nil {
		return ""
	}
	pod, err := t.Pod(trialOwner(c))
	if err != nil {
		return ""
	}
	v := judge(dryRun.Create(ctx, pod), resource)
	for _, f := range v.Faults {
		return strings.TrimPrefix(f.Field+": "+f.Reason, ": ")
	}
	return v.Objection
}

var (
	// unreadable matches the API server's error for an object that it cannot
	// decode.
	unreadable   = regexp.MustCompile(`(?s)cannot be handled as a \w+: (?:strict decoding error: )?(.*)`)
	unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)
	forbidden    = regexp.MustCompile(`^.* is forbidden: `)
)

// judge interprets the answer to a trial. Resource is what replaced the
// placeholder.
func judge(err error, resource string) admission.Verdict {
	var status apierrors.APIStatus
	if apierrors.IsBadRequest(err) { // other webhooks may answer that too
		if m := unreadable.FindStringSubmatch(err.Error()); m != nil {
			return admission.Verdict{Answered: true, Faults: unknown(m[1])}
		}
	}
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		// That it exists is found last: all else is right.
		return admission.Verdict{Answered: true}
	case apierrors.IsInvalid(err) && errors.As(err, &status):
		v := admission.Verdict{Answered: true}
		var causes []metav1.StatusCause
		if d := status.Status().Details; d != nil {
			causes = d.Causes
		}
		for _, c := range causes {
			f := admission.Fault{Field: strings.ReplaceAll(c.Field, resource, v0.Placeholder), Type: field.ErrorTypeInvalid}
			for _, t := range faultTypes {
				if string(t) == string(c.Type) {
					f.Type = t
				}
			}
			f.Reason = strings.ReplaceAll(c.Message, resource, v0.Placeholder)
			f.Reason = strings.TrimPrefix(strings.TrimPrefix(f.Reason, f.Type.String()), ": ")
			if strings.Contains(f.Reason, "already allocated") {
				v.Objection = f.Reason // a node port or an address, perhaps of our own Service
				continue
			}
			var within bool
			if f.Field, within = strings.CutPrefix(f.Field, "spec."); !within {
				f.Field, f.Reason = "", strings.TrimPrefix(f.Field+": "+f.Reason, ": ")
			}
			v.Faults = append(v.Faults, f)
		}
		if len(causes) == 0 {
			v.Faults = []admission.Fault{{Type: field.ErrorTypeInvalid, Reason: err.Error()}}
		}
		return v
	case apierrors.IsForbidden(err):
		return admission.Verdict{Answered: true, Objection: forbidden.ReplaceAllString(err.Error(), "")}
	}
	return admission.Verdict{Objection: err.Error()}
}

func unknown(text string) []admission.Fault {
	var out []admission.Fault
	for _, m := range unknownField.FindAllStringSubmatch(text, -1) {
		out = append(out, admission.Fault{
			Field: strings.TrimPrefix(m[1], "spec."), Type: field.ErrorTypeInvalid,
			Reason: "this cluster's Kubernetes has no such field: check its spelling and place",
		})
	}
	if out == nil {
		out = []admission.Fault{{Type: field.ErrorTypeInvalid, Reason: fmt.Sprintf("cannot be read: %s", text)}}
	}
	return out
}
