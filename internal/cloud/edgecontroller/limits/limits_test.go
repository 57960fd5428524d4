package limits

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// What an API server that is pretended answers. The real ones are in
// integration_test.go.
func TestAsk(t *testing.T) {
	type answer struct {
		code int
		body string
	}
	status := func(code int, reason, message string) answer {
		return answer{code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":%q}`, reason, code, message)}
	}
	review := func(allowed bool) answer {
		return answer{http.StatusCreated, fmt.Sprintf(`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%v}}`, allowed)}
	}
	allowed, denied := review(true), review(false)
	made := answer{http.StatusCreated, `{"kind":"Node","apiVersion":"v1"}`}
	forbidden := status(http.StatusForbidden, "Forbidden", `node "cloudcore-probe" is not allowed to modify node "cloudcore-probe-2"`)
	nobody := status(http.StatusForbidden, "Forbidden", `users is forbidden: User "x" cannot impersonate resource "users"`)
	broken := status(http.StatusInternalServerError, "InternalError", "a webhook")
	for name, c := range map[string]struct {
		review, node answer
		want         Limits
		fails        bool
	}{
		"a cluster of kubeadm or K3s":     {denied, forbidden, Limits{Reads: true, Writes: true}, false},
		"MicroK8s":                        {allowed, made, Limits{}, false},
		"MicroK8s with rbac":              {denied, made, Limits{Reads: true}, false},
		"only NodeRestriction":            {allowed, forbidden, Limits{Writes: true}, false},
		"cloudcore may not impersonate":   {denied, nobody, Limits{}, true},
		"a webhook that is broken":        {denied, broken, Limits{}, true},
		"it may not ask who may do what":  {forbidden, forbidden, Limits{}, true},
		"the authorizer itself is broken": {broken, forbidden, Limits{}, true},
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := c.review
			if r.URL.Path == "/api/v1/nodes" {
				answer = c.node
				if r.URL.Query().Get("dryRun") != "All" || r.Header.Get("Impersonate-User") != "system:node:"+probe || r.Header.Get("Impersonate-Group") != "system:nodes" {
					t.Errorf("%s: it would make a Node: %s %v", name, r.URL, r.Header)
				}
			}
			w.WriteHeader(answer.code)
			_, _ = io.WriteString(w, answer.body)
		}))
		client, err := kube.New(&rest.Config{Host: api.URL})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Ask(t.Context(), client)
		if (err != nil) != c.fails || !c.fails && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
		api.Close()
	}
}

func TestMissing(t *testing.T) {
	if err := (Limits{Reads: true, Writes: true}).Missing(); err != nil {
		t.Error(err)
	}
	for l, want := range map[Limits][]string{
		{Writes: true}: {"all Secrets", "--authorization-mode=Node,RBAC"},
		{Reads: true}:  {"other Nodes", "NodeRestriction"},
		{}:             {"microk8s enable rbac", "NodeRestriction"},
	} {
		for _, w := range want {
			if err := l.Missing(); err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %v, want %q", l, err, w)
			}
		}
	}
}
