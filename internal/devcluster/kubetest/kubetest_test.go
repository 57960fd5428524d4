//go:build integration

package kubetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/eventually"
)

func client(t *testing.T, cfg *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestServer(t *testing.T) {
	ctx := t.Context()
	began := time.Now()
	s := Start(t, WithControllerManager())
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	admin := client(t, s.Config)

	t.Run("CRDs are served", func(t *testing.T) {
		for _, r := range []string{"configurations", "instances"} {
			if err := admin.Discovery().RESTClient().Get().AbsPath("/apis/akri.sh/v0/" + r).Do(ctx).Error(); err != nil {
				t.Errorf("list %s: %v", r, err)
			}
		}
	})
	t.Run("RBAC refuses a user without a role", func(t *testing.T) {
		nobody := client(t, s.ConfigFor("nobody", "some-group"))
		_, err := nobody.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			t.Errorf("got %v, want forbidden", err)
		}
	})
	t.Run("the owner's dependants are collected", func(t *testing.T) {
		owner, err := admin.CoreV1().ConfigMaps("default").Create(ctx, configMap("owner"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		child := configMap("child")
		child.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
		if _, err := admin.CoreV1().ConfigMaps("default").Create(ctx, child, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := admin.CoreV1().ConfigMaps("default").Delete(ctx, owner.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, eventually.Patience, true, func(ctx context.Context) (bool, error) {
			_, err := admin.CoreV1().ConfigMaps("default").Get(ctx, "child", metav1.GetOptions{})
			return apierrors.IsNotFound(err), nil
		})
		if err != nil {
			t.Errorf("child is still there: %v", err)
		}
	})
	t.Run("data outlives a restart", func(t *testing.T) {
		if _, err := admin.CoreV1().ConfigMaps("default").Create(ctx, configMap("kept"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		// The client may not know at once that its connection is gone.
		eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
			_, err := admin.CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
			if !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("stopped server answers %v", err)
			}
			return nil
		})
		if err := s.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("closing leaves nothing", func(t *testing.T) {
		pids := []int{s.etcd.cmd.Process.Pid, s.api.cmd.Process.Pid, s.manager.cmd.Process.Pid}
		s.Close()
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d: %v", pid, err)
			}
		}
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
			t.Errorf("files are left: %v", err)
		}
	})
}

func TestTwoServersAtOnce(t *testing.T) {
	a, b := Start(t), Start(t)
	if _, err := client(t, a.Config).CoreV1().ConfigMaps("default").Create(t.Context(), configMap("only-in-a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := client(t, b.Config).CoreV1().ConfigMaps("default").Get(t.Context(), "only-in-a", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

// What a test leaves in a shared server is not there for the next one; one that
// fails, or leaves it stopped, is followed by another server.
func TestShared(t *testing.T) {
	shared := Share()
	t.Cleanup(shared.close)
	var first *Server
	turn := func(name string, run func(*testing.T, *Server, kubernetes.Interface)) {
		t.Run(name, func(t *testing.T) {
			s := shared.Start(t)
			run(t, s, client(t, s.Config))
		})
	}
	turn("makes", func(t *testing.T, s *Server, c kubernetes.Interface) {
		first = s
		ctx := t.Context()
		held := configMap("held")
		held.Finalizers = []string{"example.org/hold"}
		_, err1 := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, metav1.CreateOptions{})
		_, err2 := c.CoreV1().ConfigMaps("mine").Create(ctx, held, metav1.CreateOptions{})
		_, err3 := c.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
	})
	turn("finds nothing", func(t *testing.T, s *Server, c kubernetes.Interface) {
		ctx := t.Context()
		if s != first {
			t.Error("it is another server")
		}
		_, err1 := c.CoreV1().Namespaces().Get(ctx, "mine", metav1.GetOptions{})
		_, err2 := c.CoreV1().ConfigMaps("mine").Get(ctx, "held", metav1.GetOptions{})
		_, err3 := c.CoreV1().Nodes().Get(ctx, "n", metav1.GetOptions{})
		for _, err := range []error{err1, err2, err3} {
			if !apierrors.IsNotFound(err) {
				t.Errorf("got %v, want not found", err)
			}
		}
		eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
			_, err := c.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
			return err
		})
		if err := c.Discovery().RESTClient().Get().AbsPath("/apis/akri.sh/v0/instances").Do(ctx).Error(); err != nil {
			t.Error(err)
		}
		s.Stop()
	})
	turn("has another", func(t *testing.T, s *Server, c kubernetes.Interface) {
		if s == first {
			t.Error("it is the server that was stopped")
		}
		if _, err := c.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
}
