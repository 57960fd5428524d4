package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

const podA = "/api/v1/namespaces/n/pods/a"

// What the kubelet may delete while the link is cut, and what it is told.
func TestDeleteWhileCut(t *testing.T) {
	e := filled(t)
	options := func(uid, more string) string {
		return fmt.Sprintf(`{"gracePeriodSeconds":0,"preconditions":{"uid":%q%s}}`, uid, more)
	}
	old := fmt.Sprintf(`,"resourceVersion":"%d"`, e.store.RV()+1000)
	for _, c := range []struct {
		path, body string
		code       int
		says       string
	}{
		{podA, "", 503, "its uid"},
		{podA, "{}", 503, "its uid"},
		{podA, `{"gracePeriodSeconds":0}`, 503, "its uid"},
		{podA, `{"gracePeriodSeconds":30,"preconditions":{"uid":"a"}}`, 503, "gracePeriodSeconds 0"},
		{podA, `{"dryRun":["All"],"gracePeriodSeconds":0,"preconditions":{"uid":"a"}}`, 503, ""},
		{podA + "?dryRun=All", options("a", ""), 503, ""},
		{podA, options("other", ""), 409, "UID in precondition"},
		{podA, options("a", old), 409, "modified"},
		{podA + "/eviction", options("a", ""), 503, ""},
		{"/api/v1/namespaces/n/pods", options("a", ""), 503, ""},
		{"/api/v1/namespaces/n/pods/b", options("b", ""), 503, "never synced"},
		{"/api/v1/namespaces/n/configmaps/a", options("a", ""), 503, ""},
		{podA, options("a", ""), 200, `"uid":"a"`},
		{podA, options("a", ""), 404, "not found"},
	} {
		resp, body := e.ask(t, "DELETE", c.path, "", c.body)
		if resp.StatusCode != c.code || !strings.Contains(body, c.says) {
			t.Errorf("DELETE %s %s: %d, want %d with %q\n%s", c.path, c.body, resp.StatusCode, c.code, c.says, body)
		}
	}
	if resp, _ := e.ask(t, "GET", podA, "", ""); resp.StatusCode != 404 {
		t.Errorf("it is got: %d", resp.StatusCode)
	}
	if _, body := e.ask(t, "GET", podsQuery, "", ""); strings.Contains(body, `"name":"a"`) {
		t.Errorf("it is listed: %s", body)
	}
	all := e.store.Entries()
	if len(all) != 1 || all[0].Call.Method != "DELETE" || all[0].Call.Path != podA || !all[0].Durable ||
		string(all[0].Call.Body) != `{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"preconditions":{"uid":"a"}}` {
		t.Errorf("what waits is %+v", all)
	}
}

// A Pod with finalizers stays until who has them is done, which the cloud knows.
func TestDeleteWithFinalizers(t *testing.T) {
	e := filled(t)
	if err := e.store.Put(podsOfNode, "8", fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n","uid":"a","finalizers":["batch.kubernetes.io/job-tracking"]},"spec":{"nodeName":%q}}`, node)); err != nil {
		t.Fatal(err)
	}
	if resp, body := e.ask(t, "DELETE", podA, "", `{"gracePeriodSeconds":0,"preconditions":{"uid":"a"}}`); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := e.ask(t, "GET", podA, "", ""); resp.StatusCode != 200 {
		t.Errorf("it is gone: %d", resp.StatusCode)
	}
	if n := len(e.store.Entries()); n != 1 {
		t.Errorf("%d wait", n)
	}
}

// failing is an outbox that takes nothing.
type failing struct{ error }

func (f failing) Post(context.Context, store.Entry) error { return f.error }

// What must be on the disk and cannot be is refused; reads go on.
func TestDiskFull(t *testing.T) {
	e := filled(t)
	e.server.Outbox = failing{store.ErrNotWritten}
	resp, body := e.ask(t, "DELETE", podA, "", `{"gracePeriodSeconds":0,"preconditions":{"uid":"a"}}`)
	if resp.StatusCode != http.StatusInsufficientStorage || !strings.Contains(body, "make room on its disk") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for _, path := range []string{podA, podsQuery} {
		if resp, body := e.ask(t, "GET", path, "", ""); resp.StatusCode != 200 || !strings.Contains(body, `"uid":"a"`) {
			t.Errorf("GET %s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// Requests are counted by what they do and how they are answered.
func TestRequestsAreCounted(t *testing.T) {
	e := filled(t)
	e.ask(t, "GET", podsQuery, "", "")
	e.ask(t, "GET", podsQuery, "", "")
	e.ask(t, "GET", podA, "", "")
	e.ask(t, "GET", "/api", "", "")
	e.ask(t, "GET", "/api/v1/pods?watch=1", "", "")
	e.ask(t, "DELETE", podA, "", "")
	e.ask(t, "PURGE", podA, "", "")
	got := e.server.Stats().Requests
	for r, n := range map[Request]uint64{
		{"list", 200}: 2, {"get", 200}: 1, {"get", 503}: 1, {"watch", 503}: 1, {"delete", 503}: 1, {"other", 503}: 1,
	} {
		if got[r] != n {
			t.Errorf("%v: %d, want %d", r, got[r], n)
		}
	}
}

// Whatever the options are, the cloud gets none but the deletion of that one Pod,
// at once.
func FuzzDeletion(f *testing.F) {
	f.Add([]byte(`{"gracePeriodSeconds":0,"preconditions":{"uid":"a","resourceVersion":"15"}}`))
	f.Add([]byte(`{"gracePeriodSeconds":0,"preconditions":{"uid":"b"}}`))
	f.Add([]byte(`{"dryRun":["All"]}`))
	o := &store.Object{Key: store.Key{Name: "a"}, UID: "a", Version: "7", Since: 10, RV: 20}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := deletion(o, body)
		if err != nil {
			return
		}
		var options metav1.DeleteOptions
		if err := json.Unmarshal(got, &options); err != nil {
			t.Fatalf("%q became %q: %v", body, got, err)
		}
		p := options.Preconditions
		if p == nil || p.UID == nil || *p.UID != "a" || p.ResourceVersion != nil || options.GracePeriodSeconds == nil ||
			*options.GracePeriodSeconds != 0 || len(options.DryRun) > 0 || options.Kind != "DeleteOptions" {
			t.Fatalf("%q became %q", body, got)
		}
	})
}
