package admission

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// faultsOf finds what every API server refuses in a broker's spec. It is not
// all that a server would say; where there is one, it is asked instead.
func faultsOf(s workload.Spec) []Fault {
	out := unknownFields(s)
	switch s.Kind {
	case workload.Pod:
		var spec corev1.PodSpec
		if json.Unmarshal(s.Raw, &spec) == nil {
			out = append(out, podFaults(nil, &spec)...)
		}
	case workload.Job:
		var spec batchv1.JobSpec
		if json.Unmarshal(s.Raw, &spec) == nil {
			path := field.NewPath("template", "spec")
			out = append(out, podFaults(path, &spec.Template.Spec)...)
			if p := spec.Template.Spec.RestartPolicy; p != corev1.RestartPolicyNever && p != corev1.RestartPolicyOnFailure {
				out = append(out, Fault{path.Child("restartPolicy").String(), field.ErrorTypeRequired, "a Job needs OnFailure or Never"})
			}
		}
	}
	return out
}

func podFaults(path *field.Path, spec *corev1.PodSpec) (out []Fault) {
	add := func(at *field.Path, kind field.ErrorType, format string, args ...any) {
		out = append(out, Fault{at.String(), kind, fmt.Sprintf(format, args...)})
	}
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	names := map[string]bool{}
	for _, list := range []struct {
		field      string
		containers []corev1.Container
	}{{"initContainers", spec.InitContainers}, {"containers", spec.Containers}} {
		for i, c := range list.containers {
			at := path.Child(list.field).Index(i)
			switch wrong := validation.IsDNS1123Label(c.Name); {
			case c.Name == "":
				add(at.Child("name"), field.ErrorTypeRequired, "each container has a name")
			case len(wrong) > 0:
				add(at.Child("name"), field.ErrorTypeInvalid, "%s", wrong[0])
			case names[c.Name]:
				add(at.Child("name"), field.ErrorTypeDuplicate, "another container has this name")
			}
			names[c.Name] = true
			if c.Image == "" {
				add(at.Child("image"), field.ErrorTypeRequired, "each container has an image")
			}
			for j, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					add(at.Child("volumeMounts").Index(j).Child("name"), field.ErrorTypeNotFound, "there is no volume %q", Short(m.Name, 60))
				}
			}
			out = append(out, amountFaults(at.Child("resources"), c.Resources)...)
		}
	}
	return out
}

// amountFaults finds invalid amounts of devices: they must be whole, and
// requests must equal limits.
func amountFaults(path *field.Path, r corev1.ResourceRequirements) (out []Fault) {
	add := func(list string, name corev1.ResourceName, kind field.ErrorType, format string, args ...any) {
		out = append(out, Fault{path.Child(list).Key(string(name)).String(), kind, fmt.Sprintf(format, args...)})
	}
	for list, amounts := range map[string]corev1.ResourceList{"limits": r.Limits, "requests": r.Requests} {
		for name, amount := range amounts {
			switch {
			case !isDevice(name):
			case amount.MilliValue()%1000 != 0:
				add(list, name, field.ErrorTypeInvalid, "is %s: write a whole number of devices", amount.String())
			case amount.Sign() < 0:
				add(list, name, field.ErrorTypeInvalid, "is %s: it cannot be negative", amount.String())
			}
		}
	}
	for name, requested := range r.Requests {
		limit, limited := r.Limits[name]
		switch {
		case !isDevice(name):
		case !limited:
			add("limits", name, field.ErrorTypeRequired, "is only in requests: write it in limits, where it is enough")
		case limit.Cmp(requested) != 0:
			add("requests", name, field.ErrorTypeInvalid, "is %s, and %s in limits: for a device both must be equal", requested.String(), limit.String())
		}
	}
	slices.SortFunc(out, func(a, b Fault) int { return cmp.Compare(a.Field, b.Field) })
	return out
}

// isDevice reports whether a resource is not one of Kubernetes' own.
func isDevice(name corev1.ResourceName) bool {
	if name == v0.Placeholder {
		return true
	}
	domain, _, ok := strings.Cut(string(name), "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// inGo rewrites the decoders' errors, which speak of Go, in plain words.
var inGo = []struct {
	pattern *regexp.Regexp
	words   string
}{
	{regexp.MustCompile(`error converting YAML to JSON: `), ""},
	{regexp.MustCompile(`(^|: )yaml: (unmarshal errors:\s*)?`), "$1"},
	{regexp.MustCompile(`json: cannot unmarshal (\w+) into Go struct field \w*\.?([\w.]+) of type \S+`), "$2 cannot be of the type $1"},
	{regexp.MustCompile(`json: cannot unmarshal (\w+) into Go value of type \S+`), "cannot be of the type $1"},
	{regexp.MustCompile(`quantities must match the regular expression '[^']*'`), "an amount is a number, such as 1, 500m or 2Gi"},
}

// Plain returns a decoder's error in one line, for people who do not know Go.
func Plain(err error) string {
	text := err.Error()
	for _, g := range inGo {
		text = g.pattern.ReplaceAllString(text, g.words)
	}
	return strings.Join(strings.Fields(text), " ")
}
