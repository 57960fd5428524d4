package charthook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/charts"
)

// pollInterval is how often the API server is asked while waiting.
const pollInterval = 200 * time.Millisecond

// UpdateCRDs updates the cluster's CRDs to those of this program's chart. It
// returns when the API server has accepted them or, when ctx ends, with the
// reason why not. No CRD is ever deleted, so no object is lost. A CRD that a
// newer version wrote is left unchanged.
func UpdateCRDs(ctx context.Context, cfg *rest.Config, log *slog.Logger) error {
	wanted, err := Wanted()
	if err != nil {
		return err
	}
	quiet := rest.CopyConfig(cfg)
	quiet.WarningHandler = rest.NoWarnings{} // the schema is checked where it is generated
	client, err := dynamic.NewForConfig(quiet)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	crds := client.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	for _, want := range wanted {
		if err := update(ctx, crds, want, log.With("crd", want.GetName())); err != nil {
			return err
		}
	}
	return nil
}

// Wanted returns the CRDs of this program's chart, marked with its version.
func Wanted() ([]*unstructured.Unstructured, error) {
	version, err := charts.Version()
	if err != nil {
		return nil, err
	}
	documents, err := charts.CRDs()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, data := range documents {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(data, &u.Object); err != nil {
			return nil, fmt.Errorf("read the chart's CRDs: %w", err)
		}
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[VersionAnnotation] = version
		u.SetAnnotations(annotations)
		out = append(out, u)
	}
	return out, nil
}

// update carries out Plan for one CRD.
func update(ctx context.Context, crds dynamic.ResourceInterface, want *unstructured.Unstructured, log *slog.Logger) error {
	wanted, err := typed(want)
	if err != nil {
		return err
	}
	written := false
	return until(ctx, "CRD "+want.GetName(), func() (string, error) {
		have, err := get(ctx, crds, want.GetName())
		if err != nil {
			return "", err
		}
		if written && have != nil {
			why, refused := missing(have)
			if refused {
				return "", final(errors.New(why))
			}
			return why, nil
		}
		step, err := Plan(have, wanted)
		if err != nil {
			return "", final(err)
		}
		switch step {
		case Keep:
			log.Warn("left unchanged: a newer version of Akri wrote it", "theirs", have.Annotations[VersionAnnotation], "ours", wanted.Annotations[VersionAnnotation])
			return "", nil
		case Wait:
			return "it is being deleted, and some of its objects still exist", nil
		}
		_, err = crds.Apply(ctx, want.GetName(), want, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
		if err != nil {
			return "", fmt.Errorf("write it: %w", err)
		}
		written = true
		log.Info("written", "version", wanted.Annotations[VersionAnnotation])
		return "the API server has not accepted it yet", nil
	})
}

func get(ctx context.Context, crds dynamic.ResourceInterface, name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	u, err := crds.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	return typed(u)
}

func typed(u *unstructured.Unstructured) (*apiextensionsv1.CustomResourceDefinition, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &crd); err != nil {
		return nil, fmt.Errorf("CRD %s: %w", u.GetName(), err)
	}
	return &crd, nil
}
