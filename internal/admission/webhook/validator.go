package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/workload"
)

// Path is where the webhook is served.
const Path = "/validate"

const (
	// reviewTimeout is how long the API server waits for an answer: its default. A
	// busy API server needs seconds for the questions of a review.
	reviewTimeout = 10 * time.Second
	// factsTimeout limits the search for facts. What is not found by then becomes
	// a warning, except whether the user has the rights: then the user is told to
	// try again. That is asked last, so the names must leave time for it.
	factsTimeout = 7 * time.Second
	namesTimeout = 3 * time.Second
	// othersTimeout limits the search for what only warnings need.
	othersTimeout = 500 * time.Millisecond
	// maxHeirs is how many Configurations a warning names whose names Instances
	// could get.
	maxHeirs = 20
)

// Validator answers reviews of Configurations.
type Validator struct {
	// Live reads from the API server: of two Configurations that are created at
	// once, the second must see the first.
	Live client.Reader
	// Cached reads from a cache, for what may be a moment old. Nil: what only
	// warnings need is not looked up.
	Cached client.Reader
	// DiscoveryDigest returns the same for Configurations, as written or as
	// cached, with the same discovery request.
	DiscoveryDigest func(v0.DiscoveryHandlerInfo) string
	// DryRun creates objects in a dry run, with the controller's rights and
	// strict field validation. Nil: there are no trials.
	DryRun client.Client
	// Rights is asked what users may create. Nil: nobody is asked, and whoever
	// may write Configurations can make Pods, Jobs and Services by them.
	Rights client.Writer
	Log    *slog.Logger
}

// Handle answers one review. Of a Configuration it logs only the name and the
// paths of fields: values may be secret.
func (v *Validator) Handle(ctx context.Context, req ctrladmission.Request) ctrladmission.Response {
	create := req.Operation == admissionv1.Create
	if req.SubResource != "" || !create && req.Operation != admissionv1.Update {
		return ctrladmission.Allowed("")
	}
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	c, err := decode(req.Object.Raw, req.Namespace)
	var old *v0.Configuration
	if err == nil && !create {
		old, err = decode(req.OldObject.Raw, req.Namespace)
	}
	if err != nil {
		v.Log.Info("refused a Configuration that cannot be read", "namespace", req.Namespace, "name", req.Name)
		return ctrladmission.Errored(http.StatusBadRequest, err)
	}
	facts, err := v.facts(ctx, req.UserInfo, c, old)
	if err != nil {
		v.Log.Warn("put off a Configuration", "namespace", c.Namespace, "name", c.Name, "error", err)
		return later(err)
	}
	errs, warnings := admission.Check(c, old, facts)
	if len(errs) == 0 {
		return ctrladmission.Allowed("").WithWarnings(warnings...)
	}
	v.Log.Info("refused a Configuration", "namespace", c.Namespace, "name", c.Name, "fields", paths(errs))
	status := apierrors.NewInvalid(schema.GroupKind{Group: v0.GroupVersion.Group, Kind: "Configuration"}, c.Name, errs).Status()
	return ctrladmission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &status, Warnings: warnings}}
}

// later tells the client to try again. Those that are made with client-go, such
// as kubectl, do so by themselves.
func later(why error) ctrladmission.Response {
	return ctrladmission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonServerTimeout,
		Message: why.Error() + ". Try again", Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	}}}
}

// decode reads what is checked of a Configuration: its name and spec. The rest
// may be long, and cannot be wrong here.
func decode(raw []byte, namespace string) (*v0.Configuration, error) {
	var o struct {
		Metadata struct{ Name, Namespace string } `json:"metadata"`
		Spec     json.RawMessage                  `json:"spec"`
	}
	bad := func(err error) error { return fmt.Errorf("not a Configuration of %s: %w", v0.GroupVersion, err) }
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, bad(err)
	}
	if n := len(o.Spec); n > maxSpecBytes {
		return nil, fmt.Errorf("spec: has %d bytes: at most %d can be checked. Make it shorter", n, maxSpecBytes)
	}
	c := &v0.Configuration{}
	if o.Spec != nil {
		if err := json.Unmarshal(o.Spec, &c.Spec); err != nil {
			return nil, bad(err)
		}
	}
	c.Name, c.Namespace = o.Metadata.Name, o.Metadata.Namespace
	if c.Namespace == "" {
		c.Namespace = namespace
	}
	return c, nil
}

func paths(errs field.ErrorList) []string {
	out := make([]string, len(errs))
	for i, e := range errs {
		out[i] = e.Field
	}
	return out
}

// facts asks the API server for what Check needs. What gets no answer becomes a
// gap: an API server that fails must not keep users from repairs, and agents
// and controller check again anyway. It fails if it is unknown whether the user
// has a right: without one, this would be a way around it.
func (v *Validator) facts(ctx context.Context, who authenticationv1.UserInfo, c, old *v0.Configuration) (admission.Facts, error) {
	f := admission.Facts{Trials: map[string]admission.Verdict{}, Denials: map[string]string{}}
	if err := v.names(ctx, c, old, &f); err != nil {
		v.Log.Warn("cannot look up whether a name is taken", "namespace", c.Namespace, "name", c.Name, "error", err)
		f.Gaps = append(f.Gaps, "metadata.name: could not be looked up, so it may be taken")
	}
	before := map[string]workload.Spec{}
	for _, s := range workload.SpecsOf(old) {
		before[s.Path.String()] = s
	}
	for _, s := range workload.SpecsOf(c) {
		path := s.Path.String()
		if s.Same(before[path]) {
			continue
		}
		if v.Rights != nil {
			why, err := denial(ctx, v.Rights, who, c.Namespace, s.Kind)
			if err != nil {
				return f, err
			}
			if f.Denials[path] = why; why != "" {
				continue // a trial's result is not for this user
			}
		}
		if v.DryRun == nil {
			continue
		}
		if verdict, ok := try(ctx, v.DryRun, s, c); ok {
			f.Trials[path] = verdict
		}
	}
	v.others(ctx, who, c, old, &f)
	return f, nil
}

// names finds out to whom the name belongs already.
func (v *Validator) names(ctx context.Context, c, old *v0.Configuration, f *admission.Facts) error {
	ctx, cancel := context.WithTimeout(ctx, namesTimeout)
	defer cancel()
	called := func(name string) ([]types.NamespacedName, error) {
		all := &metav1.PartialObjectMetadataList{}
		all.SetGroupVersionKind(v0.GroupVersion.WithKind("ConfigurationList"))
		if err := v.Live.List(ctx, all, client.MatchingFields{"metadata.name": name}); err != nil {
			return nil, fmt.Errorf("list Configurations: %w", err)
		}
		var out []types.NamespacedName
		for _, o := range all.Items {
			if o.DeletionTimestamp == nil {
				out = append(out, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
			}
		}
		return out, nil
	}
	same, err := called(c.Name)
	if err != nil {
		return err
	}
	for _, o := range same {
		if o.Namespace != c.Namespace {
			f.Namesakes = append(f.Namesakes, o)
		}
	}
	if old != nil {
		return nil
	}
	if parent := parentOf(c.Name); parent != "" {
		found, err := called(parent)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			f.Parent = &found[0]
		}
	}
	instances := &v0.InstanceList{}
	if err := v.Live.List(ctx, instances, client.MatchingFields{"metadata.name": c.Name}); err != nil {
		return fmt.Errorf("list Instances: %w", err)
	}
	if len(instances.Items) > 0 {
		f.Instance = &instances.Items[0]
	}
	return nil
}

// others finds Configurations for warnings: those with the same discovery
// request, if they are in the same namespace or the user may list all, and
// those whose names Instances could get.
func (v *Validator) others(ctx context.Context, who authenticationv1.UserInfo, c, old *v0.Configuration, f *admission.Facts) {
	if v.Cached == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, othersTimeout)
	defer cancel()
	all := &v0.ConfigurationList{}
	if err := v.Cached.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		v.Log.Warn("cannot look at other Configurations", "error", err)
		return
	}
	digest := v.DiscoveryDigest(c.Spec.DiscoveryHandler)
	unchanged := old != nil && v.DiscoveryDigest(old.Spec.DiscoveryHandler) == digest
	var elsewhere []types.NamespacedName
	for i := range all.Items {
		o := &all.Items[i]
		name := client.ObjectKeyFromObject(o)
		if o.DeletionTimestamp != nil || name.Name == c.Name && name.Namespace == c.Namespace {
			continue
		}
		if parentOf(name.Name) == c.Name && len(f.Heirs) < maxHeirs {
			f.Heirs = append(f.Heirs, name)
		}
		switch {
		case unchanged || v.DiscoveryDigest(o.Spec.DiscoveryHandler) != digest:
		case name.Namespace != c.Namespace:
			elsewhere = append(elsewhere, name)
		default:
			f.Same = append(f.Same, name)
		}
	}
	if len(elsewhere) > 0 && v.Rights != nil && mayList(ctx, v.Rights, who) {
		f.Same = append(f.Same, elsewhere...)
	}
}

// parentOf returns the name of the Configuration one of whose Instances could
// have this name, or "". Hashes have six digits, or more if two collide.
func parentOf(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 1 || len(name)-i-1 < 6 || strings.Trim(name[i+1:], "0123456789abcdef") != "" {
		return ""
	}
	return name[:i]
}
