package workload

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJobFromTemplate(t *testing.T) {
	tmpl, err := ParseJob(fromYAML(t, `
ttlSecondsAfterFinished: 5
futureField: x
template:
  metadata: {labels: {mine: "1"}, annotations: {a: b}}
  spec:
    restartPolicy: Never
    containers: [{name: a, image: i, resources: {limits: {"{{PLACEHOLDER}}": "1"}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	job, err := tmpl.Job(instance("cam.x-4294ea", false, "a"), 7)
	if err != nil {
		t.Fatal(err)
	}
	got, err := job.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := fromYAML(t, `
apiVersion: batch/v1
kind: Job
metadata:
  name: cam-x-4294ea-7-job
  namespace: ns
  labels: {app: cam-x-4294ea-7-job, controller: akri.sh, akri.sh/configuration: cam, akri.sh/instance: cam.x-4294ea}
  annotations: {akri.sh/broker-spec-hash: `+tmpl.Hash+`}
  ownerReferences:
  - {apiVersion: akri.sh/v0, kind: Instance, name: cam.x-4294ea, uid: instance, controller: true, blockOwnerDeletion: true}
spec:
  ttlSecondsAfterFinished: 5
  futureField: x
  template:
    metadata:
      labels: {mine: "1", controller: akri.sh, akri.sh/configuration: cam, akri.sh/instance: cam.x-4294ea}
      annotations: {a: b}
    spec:
      restartPolicy: Never
      containers: [{name: a, image: i, resources: {limits: {akri.sh/cam.x-4294ea: "1"}}}]
`)
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil {
		t.Fatal("not JSON")
	}
	if d := cmp.Diff(b, a); d != "" {
		t.Errorf("Job (-want +got):\n%s", d)
	}
	if _, err := ParseJob(fromYAML(t, `{template: {spec: {}}}`)); err == nil {
		t.Error("a Job without containers is accepted")
	}
}
