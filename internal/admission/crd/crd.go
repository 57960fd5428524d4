// Package crd checks an object against its CustomResourceDefinition, as the API
// server does first: unknown fields, types, limits and CEL rules, with all
// errors at once and in plain words. It is for checks without a cluster, and
// links large libraries.
package crd

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/admission"
)

// Definition is the stored version of a CRD.
type Definition struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

// New parses a CRD in YAML.
func New(document []byte) (*Definition, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(document, &crd); err != nil {
		return nil, fmt.Errorf("read the CRD: %w", err)
	}
	i := slices.IndexFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Storage })
	if i < 0 || crd.Spec.Versions[i].Schema == nil {
		return nil, fmt.Errorf("CRD %s: no version with a schema is stored", crd.Name)
	}
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
		crd.Spec.Versions[i].Schema, &internal, nil); err != nil {
		return nil, fmt.Errorf("CRD %s: %w", crd.Name, err)
	}
	d := &Definition{}
	var err error
	if d.structural, err = schema.NewStructural(internal.OpenAPIV3Schema); err != nil {
		return nil, fmt.Errorf("CRD %s: %w", crd.Name, err)
	}
	if d.schema, _, err = validation.NewSchemaValidator(internal.OpenAPIV3Schema); err != nil {
		return nil, fmt.Errorf("CRD %s: %w", crd.Name, err)
	}
	d.rules = cel.NewValidator(d.structural, true, math.MaxInt64)
	return d, nil
}

// Check returns why the API server would refuse to create an object, and the
// object as it would be stored, without the faulty fields, so that the rest can
// be checked too. It does not change given.
func (d *Definition) Check(ctx context.Context, given map[string]any) (map[string]any, field.ErrorList) {
	object := runtime.DeepCopyJSON(given)
	var errs field.ErrorList
	unknown := func(paths []string) {
		for _, p := range paths {
			errs = append(errs, &field.Error{Type: field.ErrorTypeInvalid, Field: p, BadValue: field.OmitValueType{},
				Detail: "there is no such field: check its spelling and place"})
		}
	}
	unknown(pruning.PruneWithOptions(object, d.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}))
	meta, _, paths, err := objectmeta.GetObjectMetaWithOptions(object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	unknown(paths)
	if meta == nil {
		meta = &metav1.ObjectMeta{}
	}
	if meta.Namespace == "" {
		meta.Namespace = "default" // as kubectl does
	}
	if err != nil {
		errs = append(errs, &field.Error{Type: field.ErrorTypeTypeInvalid, Field: "metadata", BadValue: field.OmitValueType{}, Detail: admission.Plain(err)})
	} else {
		errs = append(errs, apivalidation.ValidateObjectMeta(meta, true, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))...)
	}
	if err != nil || meta.Name == "" {
		object["metadata"] = map[string]any{"name": "nameless"} // for rules about metadata
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, d.structural)
	defaulting.Default(object, d.structural)

	wrong := validation.ValidateCustomResource(nil, object, d.schema)
	wrong = append(wrong, listtype.ValidateListSetsAndMaps(nil, d.structural, object)...)
	for _, e := range wrong {
		// Rules are about values of the right type.
		remove(object, strings.Split(e.Field, "."))
	}
	rules, _ := d.rules.Validate(ctx, nil, d.structural, object, nil, math.MaxInt64)
	for _, e := range rules {
		remove(object, strings.Split(e.Field, "."))
	}
	// A map in the wrong place makes errors for its fields too.
	errs = slices.DeleteFunc(errs, func(e *field.Error) bool {
		return slices.ContainsFunc(wrong, func(w *field.Error) bool { return strings.HasPrefix(e.Field, w.Field+".") })
	})
	for _, e := range append(wrong, rules...) {
		if e = inWords(e); e != nil {
			errs = append(errs, e)
		}
	}
	return object, errs
}

// remove removes a field; if it is in a list, the whole list.
func remove(object map[string]any, path []string) {
	name, _, list := strings.Cut(path[0], "[")
	child, ok := object[name].(map[string]any)
	if len(path) == 1 || list || !ok {
		if name != "spec" && name != "metadata" {
			delete(object, name)
		}
		return
	}
	remove(child, path[1:])
}

// wrongType matches the schema's error for a value of another type.
var wrongType = regexp.MustCompile(`must be of type (\w+): "(\w+)"$`)

// inWords rewrites an error of the schema so that a person knows what to write;
// nil if another error says the same.
func inWords(e *field.Error) *field.Error {
	out := *e
	out.Detail = strings.TrimPrefix(e.Detail, e.Field+" in body ")
	if _, rule, ok := strings.Cut(out.Detail, " evaluating rule: "); ok { // it could not even be evaluated
		out.Detail, out.BadValue = rule, field.OmitValueType{}
	}
	if strings.HasPrefix(out.Detail, "Checked value must be of type") {
		return nil
	}
	const name = "metadata.name"
	if words, ok := strings.CutPrefix(out.Detail, name+" "); ok {
		out.Field, out.Detail, out.BadValue = name, words, field.OmitValueType{}
	}
	m := wrongType.FindStringSubmatch(out.Detail)
	if m == nil {
		return &out
	}
	want, is := m[1], m[2]
	out.BadValue = field.OmitValueType{}
	out.Detail = fmt.Sprintf("must be %s, and this is %s", article(want), article(is))
	switch name := e.Field[strings.LastIndexByte(e.Field, '.')+1:]; {
	case want == "string" && (is == "object" || is == "array"):
		out.Detail += fmt.Sprintf(": write `%s: |` and leave the lines below as they are", name)
	case want == "string" && name == "offlineGracePeriod":
		out.Detail += ": say the unit too, as in 300s or 5m"
	case want == "string":
		out.Detail += ": put it between quotes"
	case (want == "integer" || want == "boolean") && is == "string":
		out.Detail += ": write it without quotes"
	}
	return &out
}

func article(kind string) string {
	switch kind {
	case "string":
		return "text"
	case "object":
		return "a map"
	case "array":
		return "a list"
	case "integer", "int32", "int64":
		return "an integer"
	case "float64":
		return "a fraction"
	}
	return "a " + kind
}
