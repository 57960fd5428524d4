package autonomy

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLift(t *testing.T) {
	const both = `{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute"},` +
		`{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute"}`
	for _, tt := range []struct{ name, pod, want string }{ // want is empty where nothing differs
		{"the API server's own 300 s", `{"spec":{"tolerations":[
			{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},
			{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}}`,
			`[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists"},` +
				`{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists"}]`},
		{"a DaemonSet's", `{"spec":{"tolerations":[` + both + `]}}`, ""},
		{"none", `{}`, "[" + both + "]"},
		{"0 s, and others stay with what is not known of them", `{"spec":{"tolerations":[
			{"key":"x","operator":"Exists","effect":"NoExecute","tolerationSeconds":5},
			{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":0,"new":1}]}}`,
			`[{"key":"x","operator":"Exists","effect":"NoExecute","tolerationSeconds":5},` +
				`{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","new":1,"operator":"Exists"},` +
				`{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute"}]`},
		{"all taints for ever", `{"spec":{"tolerations":[{"operator":"Exists"}]}}`, ""},
		{"all taints for a while, as the author wrote it",
			`{"spec":{"tolerations":[{"operator":"Exists","tolerationSeconds":9}]}}`, ""},
		{"only NoSchedule", `{"spec":{"tolerations":[{"operator":"Exists","effect":"NoSchedule"}]}}`,
			`[{"operator":"Exists","effect":"NoSchedule"},` + both + "]"},
		{"Equal with an empty value",
			`{"spec":{"tolerations":[{"key":"node.kubernetes.io/not-ready","tolerationSeconds":1},` +
				`{"key":"node.kubernetes.io/unreachable","operator":"Equal","tolerationSeconds":1}]}}`,
			`[{"key":"node.kubernetes.io/not-ready"},{"key":"node.kubernetes.io/unreachable","operator":"Equal"}]`},
		{"being deleted", `{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}`, ""},
		{"ended", `{"status":{"phase":"Succeeded"}}`, ""},
		{"a static Pod", `{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x"}}}`, ""},
	} {
		var p Pod
		if err := json.Unmarshal([]byte(tt.pod), &p); err != nil {
			t.Fatal(err)
		}
		got, differ, err := Lift(&p)
		if err != nil || differ != (tt.want != "") {
			t.Errorf("%s: %s, %v, %v", tt.name, got, differ, err)
			continue
		}
		if text, _ := json.Marshal(got); differ && string(text) != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, text, tt.want)
		}
	}
	bad := Pod{}
	bad.Spec.Tolerations = []json.RawMessage{json.RawMessage(`{"tolerationSeconds":"x"}`)}
	if _, _, err := Lift(&bad); err == nil {
		t.Error("nonsense is lifted")
	}
}

func TestPatch(t *testing.T) {
	p := Pod{}
	p.Metadata.UID, p.Metadata.ResourceVersion = "u", "7"
	patch, err := Patch(&p)
	if err != nil || !strings.Contains(string(patch), `"resourceVersion":"7","uid":"u"`) {
		t.Errorf("%s, %v", patch, err)
	}
	p.Status.Phase = "Failed"
	if patch, err := Patch(&p); patch != nil || err != nil {
		t.Errorf("%s, %v", patch, err)
	}
}

func TestWanted(t *testing.T) {
	no, yes, other := map[string]string{Annotation: "false"}, map[string]string{Annotation: "true"}, map[string]string{"x": "false"}
	for _, tt := range []struct {
		pod, namespace, node map[string]string
		want                 bool
	}{
		{nil, nil, nil, true},
		{other, other, other, true},
		{no, nil, nil, false},
		{nil, no, nil, false},
		{nil, nil, no, false},
		{yes, no, no, true},
		{nil, yes, no, true},
		{no, yes, yes, false},
	} {
		if got := Wanted(tt.pod, tt.namespace, tt.node); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
