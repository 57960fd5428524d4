//go:build integration

package index

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// TestAPIServer lets feeds live with a real API server: shared, sliced, restarted,
// compacted, and one that has lost all it had.
func TestAPIServer(t *testing.T) {
	s := kubetest.Start(t, kubetest.WithCRDs(""), kubetest.WithNodeRestriction())
	admin, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	base := map[string]int{"configmaps": watchesOf(t, s, "configmaps"), "pods": watchesOf(t, s, "pods")}
	x := run(t, s.Config, Options{Own: owns(), Patience: 30 * time.Second})
	boss := kube.User{Name: "boss", Groups: []string{"system:masters"}}
	maps := admin.CoreV1().ConfigMaps("default")
	create := func(name string) {
		t.Helper()
		eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
			_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name,
				Labels: map[string]string{"mine": "yes"}}}, metav1.CreateOptions{})
			return err
		})
	}
	hasNames := func(sub *Subscription, want string) {
		t.Helper()
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
			got, err := names(sub)
			var bare []string
			for n := range strings.FieldsSeq(got) {
				name, _, _ := strings.Cut(n, "@")
				bare = append(bare, name)
			}
			if err != nil || strings.Join(bare, " ") != want {
				return fmt.Errorf("it has %q (%v), want %q", bare, err, want)
			}
			return nil
		})
	}
	mine := Selection{Resource: configMaps, Labels: "mine=yes"}
	mine.Namespace = "default"
	create("a")
	create("b")
	one, h := follow(t, x, mine, "n1", boss)
	hasNames(one, "a b")

	t.Run("two nodes cost the API server one watch", func(t *testing.T) {
		two, _ := follow(t, x, mine, "n2", boss)
		hasNames(two, "a b")
		if n := watchesOf(t, s, "configmaps") - base["configmaps"]; n != 1 {
			t.Errorf("the API server has %d watches of ConfigMaps", n)
		}
	})

	t.Run("Pods by node", func(t *testing.T) {
		node1, h1 := follow(t, x, Selection{Resource: pods, Fields: "spec.nodeName=n1"}, "n1", kube.Node("n1"))
		node2, h2 := follow(t, x, Selection{Resource: pods, Fields: "spec.nodeName=n2"}, "n2", kube.Node("n2"))
		for name, node := range map[string]string{"p1": "n1", "p2": "n2", "p0": ""} {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
				NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}},
			}}
			if _, err := admin.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		hasNames(node1, "p1")
		hasNames(node2, "p2")
		told(t, h1, "p1")
		if n := watchesOf(t, s, "pods") - base["pods"]; n != 1 {
			t.Errorf("the API server has %d watches of Pods", n)
		}
		o, err := node1.Read(t.Context(), Key{"default", "p1"})
		if err != nil || o == nil {
			t.Fatalf("read: %+v, %v", o, err)
		}
		x.cache.drop(node1.f, Key{"default", "p1"})
		again, err := node1.Read(t.Context(), Key{"default", "p1"})
		if err != nil || again == nil || again.Version != o.Version {
			t.Fatalf("read again: %+v, %v", again, err)
		}
		var pod corev1.Pod
		if err := json.Unmarshal(again.JSON, &pod); err != nil || pod.Kind != "Pod" || pod.Spec.NodeName != "n1" {
			t.Errorf("it is %s, %v", again.JSON, err)
		}
		if o, err := node1.Read(t.Context(), Key{"default", "p2"}); o != nil || err != nil {
			t.Errorf("another node's Pod: %+v, %v", o, err)
		}
		var now int64
		if err := admin.CoreV1().Pods("default").Delete(t.Context(), "p1",
			metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			t.Fatal(err)
		}
		hasNames(node1, "")
		told(t, h2, "p2")
	})

	t.Run("a restart", func(t *testing.T) {
		told(t, h, "a b")
		lists := x.Stats().Lists
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		create("c")
		hasNames(one, "a b c")
		told(t, h, "c")
		if n := x.Stats().Lists - lists; n < 1 || n > 30 {
			t.Errorf("%d lists were read", n)
		}
	})

	t.Run("a history that is forgotten", func(t *testing.T) {
		if err := s.Forget(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		create("b")
		create("d")
		hasNames(one, "b d")
		eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
			b, err := maps.Get(ctx, "b", metav1.GetOptions{})
			if err != nil {
				return err
			}
			items, _, _ := one.Items()
			for _, i := range items {
				if i.Name == "b" && i.UID != string(b.UID) {
					return fmt.Errorf("b has UID %s, want %s", i.UID, b.UID)
				}
			}
			return nil
		})
		got := h.take()
		for _, want := range []string{"-a", "-c", "b", "d"} {
			if !strings.Contains(" "+got+" ", " "+want+" ") {
				t.Errorf("it was told %q, want %s", got, want)
			}
		}
	})
}

// watchesOf reads from the API server's metrics how many watches of a resource are
// open. It has some itself.
func watchesOf(t *testing.T, s *kubetest.Server, resource string) int {
	t.Helper()
	client, err := kube.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Open(t.Context(), kube.User{}, kube.Request{Method: http.MethodGet, Path: "/metrics",
		Accept: "text/plain"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for l := range strings.SplitSeq(string(data), "\n") {
		if strings.HasPrefix(l, "apiserver_longrunning_requests{") && strings.Contains(l,
			`resource="`+resource+`"`) && strings.Contains(l, `verb="WATCH"`) {
			var n int
			if _, err := fmt.Sscanf(l[strings.LastIndex(l, " ")+1:], "%d", &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return total
}
