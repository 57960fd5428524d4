package charthook

import (
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// Step is what to do with one CRD.
type Step string

// The steps.
const (
	// Write it: it does not exist, or is not of a newer version.
	Write Step = "write"
	// Keep it: a newer version wrote it, and it serves what this one needs.
	Keep Step = "keep"
	// Wait: it is being deleted.
	Wait Step = "wait"
)

// Plan decides what to do with a CRD. Have is the cluster's (nil: none), want
// is this version's. An error means that a person must decide.
func Plan(have, want *apiextensionsv1.CustomResourceDefinition) (Step, error) {
	if have == nil {
		return Write, nil
	}
	if have.DeletionTimestamp != nil {
		return Wait, nil
	}
	if !newer(have.Annotations[VersionAnnotation], want.Annotations[VersionAnnotation]) {
		return Write, nil
	}
	for _, v := range served(want) {
		if !slices.Contains(served(have), v) {
			theirs, ours := have.Annotations[VersionAnnotation], want.Annotations[VersionAnnotation]
			return "", fmt.Errorf("it belongs to Akri %s and no longer serves %s, which Akri %s needs: install Akri %s or newer", theirs, v, ours, theirs)
		}
	}
	return Keep, nil
}

// newer reports whether version a comes after b. What is not a version, as on
// CRDs that upstream or Helm wrote, comes before all.
func newer(a, b string) bool {
	va, err := version.ParseSemantic(a)
	if err != nil {
		return false
	}
	vb, err := version.ParseSemantic(b)
	return err != nil || vb.LessThan(va)
}

func served(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var out []string
	for _, v := range crd.Spec.Versions {
		if v.Served {
			out = append(out, v.Name)
		}
	}
	return out
}

// missing says why a written CRD cannot be used yet; "" if it can. Refused
// means that waiting does not help.
func missing(crd *apiextensionsv1.CustomResourceDefinition) (why string, refused bool) {
	why = "the API server has not accepted it yet"
	for _, c := range crd.Status.Conditions {
		switch {
		case c.Type == apiextensionsv1.NamesAccepted && c.Status == apiextensionsv1.ConditionFalse:
			return "its names are in use: " + strings.TrimSpace(c.Message), true
		case c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue:
			why = ""
		}
	}
	return why, false
}
