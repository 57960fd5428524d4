package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/akri-go/akri/internal/edge/metamanager/protobuf"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// Whatever a body is, it is translated or refused.
func FuzzToCloud(f *testing.F) {
	f.Add("PUT", "application/json", []byte(`{"kind":"Pod","metadata":{"resourceVersion":"15"}}`))
	f.Add("PATCH", "application/json-patch+json", []byte(`[{"op":"test","path":"/metadata/resourceVersion","value":"15"}]`))
	f.Add("DELETE", "application/json", []byte(`{"preconditions":{"resourceVersion":"15"}}`))
	o := &store.Object{Key: store.Key{Name: "a"}, Version: "7", Since: 10, RV: 20}
	f.Fuzz(func(t *testing.T, method, contentType string, body []byte) {
		got, err := toCloud(o, method, contentType, body)
		if err == nil && json.Valid(body) && !json.Valid(got) {
			t.Fatalf("%s %s %q became %q", method, contentType, body, got)
		}
	})
}

// packed is an object in protobuf that has a resourceVersion and nothing else.
func packed(rv string) string {
	return "k8s\x00" + wrapped(2, wrapped(1, wrapped(6, rv)))
}

// packedOptions are DeleteOptions with that precondition.
func packedOptions(rv string) string {
	return "k8s\x00" + wrapped(2, wrapped(2, wrapped(2, rv)))
}

func wrapped(field protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), value))
}

func TestIsGone(t *testing.T) {
	for metadata, want := range map[string]bool{
		`"deletionTimestamp":"2026-01-02T03:04:05Z"`:                                                       false, // a Namespace
		`"deletionTimestamp":"2026-01-02T03:04:05Z","deletionGracePeriodSeconds":30`:                       false,
		`"deletionTimestamp":"2026-01-02T03:04:05Z","deletionGracePeriodSeconds":0`:                        true,
		`"deletionTimestamp":"2026-01-02T03:04:05Z","deletionGracePeriodSeconds":0,"finalizers":["a.b/c"]`: false,
		`"uid":"u"`: true,
	} {
		h, err := store.ReadHead([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n",` + metadata + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := isGone(h); got != want {
			t.Errorf("%s: %v", metadata, got)
		}
	}
}

func TestDryRun(t *testing.T) {
	dry := "k8s\x00" + wrapped(2, wrapped(5, "All"))
	for _, c := range []struct {
		method, query, kind, body string
		want                      bool
	}{
		{"DELETE", "", "application/json", `{"dryRun":["All"]}`, true},
		{"DELETE", "", "application/json", `{"dryRun":["All"],"DryRun":[]}`, true}, // the API server knows the first alone
		{"DELETE", "", "application/json", `{"DryRun":["All"]}`, false},
		{"DELETE", "", "application/json", `{"gracePeriodSeconds":0}`, false},
		{"DELETE", "", protobuf.ContentType, dry, true},
		{"DELETE", "", protobuf.ContentType, packedOptions("15"), false},
		{"DELETE", "", "", "", false},
		{"DELETE", "?dryRun=All", "", "", true},
		{"PUT", "?dryRun=All", "", "{}", true},
		{"PUT", "", "application/json", `{"dryRun":["All"]}`, false},
	} {
		r := httptest.NewRequest(c.method, "/"+c.query, nil)
		r.Header.Set("Content-Type", c.kind)
		if got := isDryRun(r, []byte(c.body)); got != c.want {
			t.Errorf("%s %s %s %q: %v", c.method, c.query, c.kind, c.body, got)
		}
	}
}

func TestToCloud(t *testing.T) {
	o := &store.Object{Key: store.Key{Name: "a"}, Version: "7", Since: 10, RV: 20}
	for _, c := range []struct{ method, kind, body, want string }{
		{"PUT", "application/json", `{"metadata":{"resourceVersion":"15"}}`, `{"metadata":{"resourceVersion":"7"}}`},
		{"PUT", "application/json", `{"metadata":{"resourceVersion":"10"}}`, `{"metadata":{"resourceVersion":"7"}}`},
		{"PUT", "application/json", `{"metadata":{"resourceVersion":"9"}}`, "Conflict"},
		{"PUT", "application/json", `{"metadata":{"resourceVersion":"21"}}`, "Conflict"},
		{"PUT", "application/json", `{"metadata":{"resourceVersion":"7"}}`, `{"metadata":{"resourceVersion":"7"}}`},
		{"PUT", "application/json", `{"metadata":{}}`, `{"metadata":{}}`},
		{"PUT", protobuf.ContentType, packed("15"), packed("7")},
		{"PUT", protobuf.ContentType, packed("9"), "Conflict"},
		{"PUT", protobuf.ContentType, packed(""), packed("")},
		{"PUT", protobuf.ContentType, "k8s\x00\xff", "BadRequest"},
		{"PUT", protobuf.ContentType, `{"metadata":{"resourceVersion":"15"}}`, "BadRequest"},
		{"POST", protobuf.ContentType, packed("15"), packed("15")},
		{"DELETE", protobuf.ContentType, packedOptions("15"), packedOptions("7")},
		{"DELETE", protobuf.ContentType, packedOptions("21"), "Conflict"},
		{"PUT", "application/yaml", "metadata: {}", "UnsupportedMediaType"},
		{"DELETE", "application/yaml", "dryRun: [All]", "UnsupportedMediaType"},
		{"PATCH", "application/apply-patch+yaml", "metadata: {name: a}", "metadata: {name: a}"},
		{"PATCH", "application/apply-patch+yaml", "metadata: {resourceVersion: '15'}", "UnsupportedMediaType"},
		{"PATCH", "application/merge-patch+json; charset=utf-8", `{"metadata":{"resourceVersion":"20"}}`, `{"metadata":{"resourceVersion":"7"}}`},
		{"PATCH", "application/json-patch+json", `[{"op":"test","path":"/metadata/resourceVersion","value":"9"}]`, "Conflict"},
		{"PATCH", "application/json-patch+json", `[{"op":"add","path":"/x","value":"15"}]`, `[{"op":"add","path":"/x","value":"15"}]`},
		{"PATCH", "application/json-patch+json", `{}`, "BadRequest"},
		{"DELETE", "application/json", `{"preconditions":{"uid":"x","resourceVersion":"15"}}`, `{"preconditions":{"uid":"x","resourceVersion":"7"}}`},
		{"DELETE", "application/json", `{"preconditions":{"resourceVersion":"1"}}`, "Conflict"},
		{"DELETE", "application/json", `{"gracePeriodSeconds":0}`, `{"gracePeriodSeconds":0}`},
		{"DELETE", "", ``, ``},
	} {
		got, err := toCloud(o, c.method, c.kind, []byte(c.body))
		text := string(got)
		if err != nil {
			text = string(asStatus(err).Reason)
		}
		if text != c.want {
			t.Errorf("%s %s %q: %q, want %q", c.method, c.kind, c.body, text, c.want)
		}
	}
	// Of an object that is not known nothing can be translated.
	if got, err := toCloud(nil, "PUT", "application/json", []byte(`{"metadata":{"resourceVersion":"15"}}`)); err != nil || !strings.Contains(string(got), "15") {
		t.Errorf("%s, %v", got, err)
	}
}
