//go:build integration

package requests

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/agent/coreapi"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// countsReads counts the reads that are not part of a watch.
type countsReads struct {
	*coreapi.Client
	reads atomic.Int32
}

func (c *countsReads) Read(ctx context.Context, kind, namespace, name string) (map[string][]byte, bool, error) {
	c.reads.Add(1)
	return c.Client.Read(ctx, kind, namespace, name)
}

// TestSecretsWithRBAC gives an agent's user one right after the other, at a
// real API server.
func TestSecretsWithRBAC(t *testing.T) {
	server := kubetest.Start(t)
	admin, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	secrets := admin.CoreV1().Secrets("default")
	write := func(name, value string) {
		t.Helper()
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"k": []byte(value)}}
		if _, err := secrets.Update(ctx, s, metav1.UpdateOptions{}); err == nil {
			return
		}
		if _, err := secrets.Create(ctx, s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	grant := func(names []string, verbs ...string) {
		t.Helper()
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: names, Verbs: verbs}}}
		if _, err := admin.RbacV1().Roles("default").Update(ctx, role, metav1.UpdateOptions{}); err == nil {
			return
		}
		if _, err := admin.RbacV1().Roles("default").Create(ctx, role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "agent"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "agent"}}}
	if _, err := admin.RbacV1().RoleBindings("default").Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	core, err := coreapi.New(server.ConfigFor("agent"), "n")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countsReads{Client: core}
	c := newObjectCache(counted, slog.New(slog.DiscardHandler))
	run, cancel := context.WithCancel(ctx)
	defer c.stop()
	defer cancel()
	one := Ref{secret, "default", "one"}
	is := func(what string, check func(Object) error) {
		t.Helper()
		deadline := time.After(eventually.Patience)
		for {
			now := c.known(one)
			err := check(now)
			if err == nil {
				return
			}
			select {
			case <-deadline:
				t.Fatalf("%s: %v", what, err)
			case <-c.changed:
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	holds := func(value string) func(Object) error {
		return func(now Object) error {
			if !now.Known || now.Err != nil || now.Found != (value != "") || string(now.Data["k"]) != value {
				return fmt.Errorf("known=%v found=%v err=%v, and not what it should be", now.Known, now.Found, now.Err)
			}
			return nil
		}
	}

	write("one", "first")
	write("two", "other")
	c.want(run, map[Ref]bool{one: true})
	is("without a right", func(now Object) error {
		if now.Err == nil {
			return fmt.Errorf("no error")
		}
		cfg := configuration("default", "c", "1", 0)
		cfg = withSecret(cfg, fromSecret("", "one", "k", false))
		_, err := Resolve(cfg, nil, c.known)
		for _, part := range []string{"agent.discoveryProperties.rbac", `User "agent" cannot`} {
			if err == nil || !strings.Contains(err.Error(), part) {
				return fmt.Errorf("error %v has no %q", err, part)
			}
		}
		return nil
	})
	// Get alone: it is read, and read again.
	grant([]string{"one"}, "get")
	is("with get", holds("first"))
	write("one", "second")
	is("a change, without watch", holds("second"))
	// Get and watch of that one name are enough for a watch.
	grant([]string{"one"}, "get", "watch")
	c.want(run, nil)
	c.want(run, map[Ref]bool{one: true})
	is("with watch", holds("second"))
	reads := counted.reads.Load()
	write("one", "third")
	is("a change, with watch", holds("third"))
	if err := secrets.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	is("deleted", holds(""))
	write("one", "fourth")
	is("made again", holds("fourth"))
	if n := counted.reads.Load() - reads; n != 0 {
		t.Errorf("three changes took %d reads: they were not watched", n)
	}
	// Another Secret of the namespace is none of its business.
	if _, _, err := core.Read(ctx, secret, "default", "two"); err == nil {
		t.Error("the agent may read a Secret that nobody named")
	}
	// An outage: what is known stays, and what changes after it is seen.
	server.Stop()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	is("after the outage", holds("fourth"))
	write("one", "fifth")
	is("a change after the outage", holds("fifth"))
}
