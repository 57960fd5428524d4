package writer

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

func TestCheck(t *testing.T) {
	type call = edgev1.Call
	for _, tt := range []struct {
		call
		code int // 0: it passes
	}{
		// What kubelet, kube-proxy, agents and kubectl ask.
		{call{Method: "GET", Path: "/api/v1/nodes/n"}, 0},
		{call{Method: "GET", Path: "/api"}, 0},
		{call{Method: "GET", Path: "/apis",
			Accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}, 0},
		{call{Method: "GET", Path: "/apis/akri.sh"}, 0},
		{call{Method: "GET", Path: "/apis/akri.sh/v0"}, 0},
		{call{Method: "GET", Path: "/openapi/v3"}, 0},
		{call{Method: "GET", Path: "/openapi/v3/apis/akri.sh/v0", Query: "hash=0123"}, 0},
		{call{Method: "GET", Path: "/openid/v1/jwks"}, 0},
		{call{Method: "POST", Path: "/api/v1/namespaces/default/events", ContentType: "application/json",
			Body: []byte("{}")}, 0},
		{call{Method: "PATCH", Path: "/api/v1/nodes/n/status", Query: "timeout=10s",
			ContentType: "application/strategic-merge-patch+json", Body: []byte("{}")}, 0},
		{call{Method: "PATCH", Path: "/apis/akri.sh/v0/namespaces/x/instances/y",
			Query: "fieldManager=akri-agent%2Fn&force=true", ContentType: "application/apply-patch+yaml", Body: []byte("{}")}, 0},
		{call{Method: "POST", Path: "/api/v1/namespaces/default/serviceaccounts/web/token", Body: []byte("{}")}, 0},
		{call{Method: "DELETE", Path: "/apis/resource.k8s.io/v1/resourceslices",
			Query: "fieldSelector=spec.nodeName%3Dn"}, 0},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "watch=false&limit=500&resourceVersion=0"}, 0},
		{call{Method: "GET", Path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"}, 0},
		{call{Method: "GET", Path: "/api/v1/namespaces/exec/pods/log/status"}, 0},
		{call{Method: "GET", Path: "/api/v1/namespaces/default/pods/exec"}, 0}, // a Pod of that name

		// Methods.
		{call{Method: "CONNECT", Path: "/api/v1/nodes/n"}, 405},
		{call{Method: "get", Path: "/api/v1/nodes/n"}, 405},
		{call{Method: "GET /api/v1/secrets HTTP/1.1\r\nX: y\r\n\r\nGET", Path: "/api/v1/nodes/n"}, 405},
		{call{Path: "/api/v1/nodes/n"}, 405},
		{call{Method: "POST", Path: "/apis"}, 405},
		{call{Method: "GET", Path: "/api/v1/nodes/n", Body: []byte("{}")}, 400},
		{call{Method: "POST", Path: "/api/v1/nodes", Body: make([]byte, MaxBodyBytes+1)}, 413},
		{call{Method: "GET", Path: "/api/v1/nodes/n", Timeout: -time.Second}, 400},

		// Paths.
		{call{Method: "GET"}, 400},
		{call{Method: "GET", Path: "api/v1/nodes"}, 400},
		{call{Method: "GET", Path: "//evil.example/api/v1"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/"}, 400},
		{call{Method: "GET", Path: "/api/v1//nodes"}, 400},
		{call{Method: "GET", Path: "/api/v1/../../metrics"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/."}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/%2e%2e/x"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/n%2fproxy"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/n?watch=true"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/n#x"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/n HTTP/1.1\r\nImpersonate-User: admin\r\n"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/n\x00"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/ü"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes/" + strings.Repeat("n", maxPathBytes)}, 414},
		{call{Method: "GET", Path: "/metrics"}, 403},
		{call{Method: "GET", Path: "/logs/kube-apiserver.log"}, 403},
		{call{Method: "GET", Path: "/debug/pprof/heap"}, 403},
		{call{Method: "GET", Path: "/apisx/v1"}, 403},
		{call{Method: "GET", Path: "/"}, 403},
		{call{Method: "GET", Path: "/api/v1/watch/pods"}, 403},
		{call{Method: "GET", Path: "/apis/apps/v1/watch/deployments"}, 403},
		{call{Method: "GET", Path: "/api/v1/proxy/nodes/n"}, 403},

		// Streams.
		{call{Method: "GET", Path: "/api/v1/namespaces/default/pods/x/exec", Query: ""}, 403},
		{call{Method: "POST", Path: "/api/v1/namespaces/default/pods/x/attach"}, 403},
		{call{Method: "POST", Path: "/api/v1/namespaces/default/pods/x/portforward"}, 403},
		{call{Method: "GET", Path: "/api/v1/namespaces/default/pods/x/log"}, 403},
		{call{Method: "GET", Path: "/api/v1/namespaces/default/services/x/proxy"}, 403},
		{call{Method: "GET", Path: "/api/v1/namespaces/default/services/x/proxy/y"}, 403},
		{call{Method: "GET", Path: "/api/v1/nodes/n/proxy/pods"}, 403},

		// Queries.
		{call{Method: "GET", Path: "/api/v1/pods", Query: "watch=true"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "watch=false&watch=true"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "watch"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "%77atch=1"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "follow=1"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "as=system:admin"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "impersonate-user=admin"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "command=sh"}, 403},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "limit=1;watch=1"}, 400},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "limit=%zz"}, 400},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "limit=1#x"}, 400},
		{call{Method: "GET", Path: "/api/v1/pods", Query: "limit=1 HTTP/1.1\r\nImpersonate-User: admin"}, 400},
		{call{Method: "GET", Path: "/api/v1/pods", Query: strings.Repeat("x", maxQueryBytes+1)}, 414},

		// Media types.
		{call{Method: "POST", Path: "/api/v1/nodes", ContentType: "application/json\r\nImpersonate-User: admin"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes", Accept: "application/json\nImpersonate-Group: system:masters"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes", Accept: "x y z"}, 400},
		{call{Method: "GET", Path: "/api/v1/nodes", Accept: strings.Repeat("a", maxTypeBytes+1)}, 400},
	} {
		err := Check(&tt.call)
		var r *Refusal
		switch {
		case tt.code == 0 && err != nil, tt.code != 0 && !errors.As(err, &r), r != nil && r.Code != tt.code:
			t.Errorf("%s %.80q?%.40q (%q, %q): %v, want %d", tt.Method, tt.Path, tt.Query, tt.ContentType, tt.Accept,
				err, tt.code)
		}
	}
	for _, method := range []string{http.MethodOptions, http.MethodHead, http.MethodTrace} {
		if Check(&call{Method: method, Path: "/api"}) == nil {
			t.Errorf("%s passes", method)
		}
	}
}

// Whatever passes is one request, to the API, for what it says.
func FuzzCheck(f *testing.F) {
	f.Add("GET", "/api/v1/nodes/n", "limit=1", "application/json")
	f.Add("PATCH", "/apis/akri.sh/v0/namespaces/x/instances/y", "force=true", "application/apply-patch+yaml")
	f.Add("GET", "/api/v1/namespaces/namespaces/pods/log/log", "watch=0", "*/*")
	f.Fuzz(func(t *testing.T, method, path, query, accept string) {
		c := &edgev1.Call{Method: method, Path: path, Query: query, Accept: accept}
		if Check(c) != nil {
			return
		}
		req, err := http.NewRequest(method, "https://api.example"+path+"?"+query, nil)
		if err != nil {
			t.Fatalf("it cannot be sent: %v", err)
		}
		if req.Host != "api.example" || req.URL.Path != path || req.URL.EscapedPath() != path {
			t.Errorf("%q at %q, sent as %q", path, req.Host, req.URL.EscapedPath())
		}
		if w := req.URL.Query()["watch"]; len(w) > 0 && w[0] != "false" && w[0] != "0" {
			t.Errorf("query %q watches", query)
		}
		if strings.ContainsAny(accept, "\r\n\x00") {
			t.Errorf("header %q", accept)
		}
	})
}

// What can be tried again says when.
func TestFailure(t *testing.T) {
	for code, want := range map[int]bool{429: true, 503: true, 403: false, 502: false, 504: false} {
		if r := Failure(7, code, "x", "y"); r.ID != 7 || r.Status != code || (r.RetryAfter > 0) != want {
			t.Errorf("%+v", r)
		}
	}
}
