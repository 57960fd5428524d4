package grant

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

func TestUserOf(t *testing.T) {
	pods := []Pod{
		{Namespace: "default", Name: "web-1", UID: "u1", Account: "web"},
		{Namespace: "default", Name: "web-2", UID: "u2", Account: "web"},
		{Namespace: "kube-system", Name: "dns", UID: "u3", Account: "coredns"},
	}
	account := func(extra ...string) kube.User {
		u := kube.User{Name: "system:serviceaccount:default:web", Extra: map[string]string{kube.ExtraNode: "n"}}
		for i := 0; i < len(extra); i += 2 {
			u.Extra[extra[i]] = extra[i+1]
		}
		return u
	}
	for _, tt := range []struct {
		name    string
		as      edgev1.As
		want    kube.User
		refused string
	}{
		{"the node", edgev1.As{}, kube.User{Name: "system:node:n", Groups: []string{"system:nodes"}}, ""},
		{"kube-proxy", edgev1.As{Component: "kube-proxy"}, kube.User{Name: "system:kube-proxy"}, ""},
		{"an account", edgev1.As{ServiceAccount: "default/web"}, account(), ""},
		{"a Pod", edgev1.As{ServiceAccount: "default/web", Pod: "web-2", PodUID: "u2"}, account(kube.ExtraPod,
			"web-2", kube.ExtraPodUID, "u2"), ""},
		{"another component", edgev1.As{Component: "kube-scheduler"}, kube.User{}, "only kube-proxy"},
		{"a component with an account", edgev1.As{Component: "kube-proxy", ServiceAccount: "default/web"},
			kube.User{}, "only kube-proxy"},
		{"an account of no Pod here", edgev1.As{ServiceAccount: "default/admin"}, kube.User{}, "no Pod of it"},
		{"the account's name in another namespace", edgev1.As{ServiceAccount: "kube-system/web"}, kube.User{},
			"no Pod of it"},
		{"a Pod that is not here", edgev1.As{ServiceAccount: "default/web", Pod: "web-3", PodUID: "u4"}, kube.User{},
			"not bound to this node"},
		{"a Pod with another one's UID", edgev1.As{ServiceAccount: "default/web", Pod: "web-1", PodUID: "u2"},
			kube.User{}, "not bound to this node"},
		{"a Pod of another account", edgev1.As{ServiceAccount: "default/web", Pod: "dns", PodUID: "u3"}, kube.User{},
			"not bound to this node"},
		{"a Pod without UID", edgev1.As{ServiceAccount: "default/web", Pod: "web-1"}, kube.User{}, "name and UID"},
		{"a Pod without account", edgev1.As{Pod: "web-1", PodUID: "u1"}, kube.User{}, "is not <namespace>/<name>"},
		{"no name", edgev1.As{ServiceAccount: "default/"}, kube.User{}, "is not <namespace>/<name>"},
		{"no namespace", edgev1.As{ServiceAccount: "web"}, kube.User{}, "is not <namespace>/<name>"},
		{"a colon", edgev1.As{ServiceAccount: "default/x:y"}, kube.User{}, "is not <namespace>/<name>"},
		{"a line end", edgev1.As{ServiceAccount: "default/web\r\nImpersonate-Group: system:masters"}, kube.User{},
			"is not <namespace>/<name>"},
		{"three parts", edgev1.As{ServiceAccount: "default/web/x"}, kube.User{}, "is not <namespace>/<name>"},
	} {
		got, err := UserOf("n", tt.as, pods)
		switch {
		case tt.refused == "" && (err != nil || got.Key() != tt.want.Key()):
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		case tt.refused != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tt.refused)):
			t.Errorf("%s: %+v, %v; want a refusal: %s", tt.name, got, err, tt.refused)
		}
	}
}

func TestSelectionOf(t *testing.T) {
	pods := edgev1.Interest{Version: "v1", Resource: "pods"}
	with := func(change func(*edgev1.Interest)) edgev1.Interest {
		i := pods
		change(&i)
		return i
	}
	for _, tt := range []struct {
		i    edgev1.Interest
		want string // a part of the error; empty: none
		name string
	}{
		{i: pods},
		{i: with(func(i *edgev1.Interest) { i.FieldSelector = "metadata.name=x" }), name: "x"},
		{i: with(func(i *edgev1.Interest) { i.FieldSelector, i.Get = "metadata.name=x", true }), name: "x"},
		{i: with(func(i *edgev1.Interest) { i.FieldSelector = "spec.nodeName=n,metadata.name=x" }), name: "x"},
		{i: with(func(i *edgev1.Interest) { i.Group, i.Namespace = "discovery.k8s.io", "kube-system" })},
		{i: with(func(i *edgev1.Interest) { i.Group = "../x" }), want: "API group"},
		{i: with(func(i *edgev1.Interest) { i.Version = "" }), want: "version"},
		{i: with(func(i *edgev1.Interest) { i.Resource = "pods/exec" }), want: "resource"},
		{i: with(func(i *edgev1.Interest) { i.Resource = "pods?watch=1" }), want: "resource"},
		{i: with(func(i *edgev1.Interest) { i.Namespace = "default/secrets" }), want: "namespace"},
		{i: with(func(i *edgev1.Interest) { i.Namespace = ".." }), want: "namespace"},
		{i: with(func(i *edgev1.Interest) { i.FieldSelector = "x" }), want: "field selector"},
		{i: with(func(i *edgev1.Interest) { i.LabelSelector = "a in b" }), want: "label selector"},
		{i: with(func(i *edgev1.Interest) { i.LabelSelector = strings.Repeat("a", maxSelectorBytes+1) }),
			want: "more than"},
		{i: with(func(i *edgev1.Interest) { i.FieldSelector = "metadata.name=a/b" }), want: "no name", name: "a/b"},
		{i: with(func(i *edgev1.Interest) { i.Get = true }), want: "only read"},
		{i: with(func(i *edgev1.Interest) { i.FieldSelector, i.Get = "metadata.name=x,a=b", true }),
			want: "only read", name: "x"},
	} {
		s, err := SelectionOf(&tt.i)
		name, _ := NameOf(s)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: %v, want %q", tt.i, err, tt.want)
		case err != nil && !apierrors.IsInvalid(err):
			t.Errorf("%+v: %v is not of reason Invalid", tt.i, err)
		case err == nil && name != tt.name:
			t.Errorf("%+v: name %q", tt.i, name)
		}
	}
}

// What is allowed is remembered for a while, and not more than there is room for.
func TestRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{TTL: 10 * time.Second})
		knows := func(q string) bool { return g.remembers(q, time.Now()) }
		g.remember("a", time.Now())
		time.Sleep(4 * time.Second)
		g.remember("b", time.Now())
		time.Sleep(4 * time.Second)
		if !knows("a") || !knows("b") || knows("c") {
			t.Error("after 8 s it knows a and b")
		}
		time.Sleep(7 * time.Second)
		if knows("a") || knows("b") {
			t.Error("after 15 s it knows one that was asked more than 10 s ago")
		}
		for i := range 3 * maxRemembered {
			g.remember(strings.Repeat("x", i%7)+string(rune(i)), time.Now())
		}
		if n := len(g.fresh) + len(g.older); n > 2*maxRemembered {
			t.Errorf("it remembers %d", n)
		}
	})
}

// Answers are shared between nodes where all nodes have the same.
func TestQuestion(t *testing.T) {
	n, m := kube.Node("n"), kube.Node("m")
	account := func(node string) kube.User {
		return kube.ServiceAccount("default", "web", map[string]string{kube.ExtraNode: node})
	}
	of := func(resource, namespace, fields string) index.Selection {
		s := index.Selection{Resource: kube.Resource{Version: "v1", Resource: resource, Namespace: namespace},
			Fields: fields}
		return s
	}
	for _, tt := range []struct {
		name string
		a, b string
		same bool
	}{
		{"Services", questionOf(n, of("services", "", "spec.clusterIP!=None"), "watch"), questionOf(m, of("services",
			"", "spec.clusterIP!=None"), "watch"), true},
		{"Pods of their own", questionOf(n, of("pods", "", "spec.nodeName=n"), "watch"), questionOf(m, of("pods", "",
			"spec.nodeName=m"), "watch"), true},
		{"Pods of one of them", questionOf(n, of("pods", "", "spec.nodeName=n"), "watch"), questionOf(m, of("pods",
			"", "spec.nodeName=n"), "watch"), false},
		{"their Nodes", questionOf(n, of("nodes", "", "metadata.name=n"), "watch"), questionOf(m, of("nodes", "",
			"metadata.name=m"), "watch"), true},
		{"the Node of one", questionOf(n, of("nodes", "", "metadata.name=n"), "watch"), questionOf(m, of("nodes", "",
			"metadata.name=n"), "watch"), false},
		{"get and watch", questionOf(n, of("nodes", "", "metadata.name=n"), "get"), questionOf(n, of("nodes", "",
			"metadata.name=n"), "watch"), false},
		{"accounts", questionOf(account("n"), of("services", "", ""), "watch"), questionOf(account("m"),
			of("services", "", ""), "watch"), false},
		{"node and account", questionOf(n, of("services", "", ""), "watch"), questionOf(account("n"), of("services",
			"", ""), "watch"), false},
		{"other resources", questionOf(n, of("endpoints", "", ""), "watch"), questionOf(m, of("endpoints", "", ""),
			"watch"), false},
	} {
		if tt.a == "" || tt.b == "" || (tt.a == tt.b) != tt.same {
			t.Errorf("%s: %q and %q", tt.name, tt.a, tt.b)
		}
	}
	if q := questionOf(n, of("secrets", "default", "metadata.name=x"), "watch"); q != "" {
		t.Errorf("what depends on Pods is remembered as %q", q)
	}
}

// Of a component it is asked first what answers for all nodes.
func TestAllOf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		as     kube.User
		fields string
		ok     bool
	}{
		{"kube-proxy's Node", kube.Component(KubeProxy), "metadata.name=n", true},
		{"what kube-proxy follows of all", kube.Component(KubeProxy), "spec.clusterIP!=None", false},
		{"all", kube.Component(KubeProxy), "", false},
		{"a node", kube.Node("n"), "metadata.name=n", false},
		{"a service account", kube.ServiceAccount("default", "web", nil), "metadata.name=n", false},
	} {
		s := index.Selection{Resource: kube.Resource{Version: "v1", Resource: "nodes"}, Fields: tt.fields, Labels: "a=b"}
		all, ok := allOf(tt.as, s)
		if ok != tt.ok || ok && (all.Fields != "" || all.Labels != "" || all.Resource != s.Resource) {
			t.Errorf("%s: %+v, %v", tt.name, all, ok)
		}
	}
}
