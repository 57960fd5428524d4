//go:build integration

package crd_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/charts"
	"github.com/akri-go/akri/internal/admission/crd"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
)

// Check refuses exactly what the API server refuses, with the same fields.
func TestAsTheServer(t *testing.T) {
	server := kubetest.Start(t)
	client, err := dynamic.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	configurations := client.Resource(v0.GroupVersion.WithResource("configurations")).Namespace("default")
	documents, err := charts.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(documents, func(d []byte) bool { return strings.Contains(string(d), "name: configurations.akri.sh") })
	definition, err := crd.New(documents[i])
	if err != nil {
		t.Fatal(err)
	}
	const good = `
apiVersion: akri.sh/v0
kind: Configuration
metadata:
  name: cam
spec:
  discoveryHandler:
    name: mine
    discoveryDetails: |
      names: [a]
  capacity: 2
`
	for _, tt := range []struct {
		name, from, to string
		refused        bool
		says           string // part of the server's own words
	}{
		{name: "good"},
		{name: "no capacity", from: "  capacity: 2\n"},
		{name: "null", from: "capacity: 2", to: "brokerSpec: null"},
		{name: "null that may not be", from: "capacity: 2", to: "capacity: null"},
		{name: "capitals", from: "name: cam", to: "name: Cam", refused: true},
		{name: "long name", from: "name: cam", to: "name: " + strings.Repeat("c", 57), refused: true},
		{name: "bad label", from: "name: cam", to: "name: cam\n  labels: {a: -}", refused: true},
		{name: "labels of another type", from: "name: cam", to: "name: cam\n  labels: {a: 1}", refused: true},
		{name: "much", from: "capacity: 2", to: "capacity: 10001", refused: true},
		{name: "none", from: "capacity: 2", to: "capacity: 0", refused: true},
		{name: "a fraction", from: "capacity: 2", to: "capacity: 1.5", refused: true},
		{name: "quoted", from: "capacity: 2", to: `capacity: "2"`, refused: true},
		{name: "no bar", from: "discoveryDetails: |", to: "discoveryDetails:", refused: true},
		{name: "grace in words", from: "name: mine", to: "name: mine\n    offlineGracePeriod: 5 minutes", refused: true, says: "write numbers with units, as in 300s, 5m or 1h30m"},
		{name: "grace of a number", from: "name: mine", to: "name: mine\n    offlineGracePeriod: 300", refused: true},
		{name: "negative grace", from: "name: mine", to: "name: mine\n    offlineGracePeriod: -5m", refused: true, says: "must not be negative"},
		{name: "endless grace", from: "name: mine", to: "name: mine\n    offlineGracePeriod: 99999999999h", refused: true},
		{name: "grace", from: "name: mine", to: "name: mine\n    offlineGracePeriod: 1h30m0.5s"},
		{name: "no grace", from: "name: mine", to: "name: mine\n    offlineGracePeriod: \"0\""},
		{name: "misspelt", from: "capacity: 2", to: "capacty: 2", refused: true},
		{name: "misspelt metadata", from: "name: cam", to: "name: cam\n  label: {}", refused: true},
		{name: "no handler", from: "    name: mine\n", refused: true},
		{name: "no spec", from: good[strings.Index(good, "spec:"):], refused: true},
		{name: "spec is a list", from: good[strings.Index(good, "spec:"):], to: "spec: []\n", refused: true},
		{name: "both values", from: "name: mine", to: "name: mine\n    discoveryProperties: [{name: a, value: b, valueFrom: {secretKeyRef: {name: c, key: d}}}]", refused: true},
		{name: "property's name", from: "name: mine", to: "name: mine\n    discoveryProperties: [{name: a-b, value: b}]", refused: true},
		{name: "two brokers", from: "capacity: 2", to: "brokerSpec: {brokerPodSpec: {}, brokerJobSpec: {}}", refused: true},
		{name: "several", from: "capacity: 2", to: "capacity: 0\n  brokerSpec: {brokerPodSpec: {}, brokerJobSpec: {}}", refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := yaml.YAMLToJSON([]byte(strings.Replace(good, tt.from, tt.to, 1)))
			if err != nil {
				t.Fatal(err)
			}
			u := &unstructured.Unstructured{}
			if err := utiljson.Unmarshal(text, &u.Object); err != nil {
				t.Fatal(err)
			}
			_, errs := definition.Check(t.Context(), u.Object)
			_, err = configurations.Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: "Strict"})
			t.Logf("server: %v", err)
			t.Logf("Check: %v", errs)
			if (err != nil) != tt.refused || (len(errs) > 0) != tt.refused {
				t.Fatalf("the server says %v, Check %v; want refused: %v", err, errs, tt.refused)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the server says %v, want %q in it", err, tt.says)
			}
			var status apierrors.APIStatus
			if !errors.As(err, &status) || status.Status().Details == nil {
				return
			}
			said := map[string]bool{}
			for _, e := range errs {
				said[e.Field] = true
			}
			for _, cause := range status.Status().Details.Causes {
				if cause.Field != "" && cause.Field != "<nil>" && !said[cause.Field] {
					t.Errorf("the server complains of %s, Check does not", cause.Field)
				}
			}
		})
	}
}
