package workload

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestNewService(t *testing.T) {
	inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cam.x-4294ea", UID: "i"}}
	in, err := yaml.YAMLToJSON([]byte(`{futureField: 1, ports: [{port: 80}], selector: {extra: x, controller: mine}}`))
	if err != nil {
		t.Fatal(err)
	}
	svc, err := NewService(in, inst)
	if err != nil {
		t.Fatal(err)
	}
	hash := svc.GetAnnotations()[AnnotationServiceHash]
	want, err := yaml.YAMLToJSON([]byte(`
apiVersion: v1
kind: Service
metadata:
  namespace: ns
  name: cam-x-4294ea-svc
  labels: {app: cam-x-4294ea-svc, controller: akri.sh, akri.sh/instance: cam.x-4294ea}
  annotations: {akri.sh/service-spec-hash: ` + hash + `}
  ownerReferences:
  - {apiVersion: akri.sh/v0, kind: Instance, name: cam.x-4294ea, uid: i, controller: true, blockOwnerDeletion: true}
spec: {futureField: 1, ports: [{port: 80}], selector: {extra: x, controller: akri.sh, akri.sh/instance: cam.x-4294ea}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := svc.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil {
		t.Fatal("not JSON")
	}
	if d := cmp.Diff(b, a); d != "" {
		t.Errorf("Service (-want +got):\n%s", d)
	}
	for _, bad := range []string{``, `[]`, `null`, `{"ports": 1}`, `{"selector": []}`} {
		if _, err := NewService([]byte(bad), inst); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzNewService(f *testing.F) {
	f.Add([]byte(`{"ports":[{"port":80}],"selector":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		svc, err := NewService(raw, &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Name: "cam"}})
		if err != nil {
			return
		}
		if _, err := svc.MarshalJSON(); err != nil {
			t.Fatalf("encode: %v", err)
		}
	})
}
