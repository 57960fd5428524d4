//go:build e2e

package devcluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
)

const probeImage = "akri.local/probe:1"

func pids(st Status) string {
	var b strings.Builder
	for _, p := range st.Components {
		fmt.Fprintln(&b, p.Cell, p.Name, p.PID, p.Running)
	}
	return b.String()
}

// pinNeighbours makes a node's entries for the link-layer addresses of the
// other cells permanent. Otherwise it takes up to a minute until the node
// forgets the address of a cell that was recreated.
func pinNeighbours(t *testing.T, c *Cluster, node int) {
	t.Helper()
	out, err := c.Exec(t.Context(), node, "ip", "neigh", "show", "dev", cell.MemberLink)
	if err != nil {
		t.Fatal(err)
	}
	pinned := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // address, "lladdr", link-layer address, state
		if len(f) < 3 || f[1] != "lladdr" {
			continue
		}
		if out, err := c.Exec(t.Context(), node, "ip", "neigh", "replace", f[0], "lladdr", f[2], "dev", cell.MemberLink, "nud", "permanent"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		pinned++
	}
	// Another node and the control plane at least.
	if pinned < 2 {
		t.Errorf("node %d knows %d neighbours:\n%s", node, pinned, out)
	}
}

func buildProbe(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "probe")
	cmd := exec.Command("go", "build", "-o", bin, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
	archive := filepath.Join(t.TempDir(), "probe.tar")
	if err := images.WriteProgram(archive, probeImage, bin); err != nil {
		t.Fatal(err)
	}
	return archive
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	t.Cleanup(cancel)
	return ctx
}

func startProbe(t *testing.T, client kubernetes.Interface, name string, node int) *corev1.Pod {
	t.Helper()
	now := int64(0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{corev1.LabelHostname: NodeName(node)},
			TerminationGracePeriodSeconds: &now,
			Containers: []corev1.Container{{
				Name: "probe", Image: probeImage, ImagePullPolicy: corev1.PullNever,
				ReadinessProbe: &corev1.Probe{
					PeriodSeconds: 1,
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8080)}},
				},
			}},
		},
	}
	if _, err := client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return waitProbe(t, client, name)
}

func waitProbe(t *testing.T, client kubernetes.Interface, name string) (pod *corev1.Pod) {
	t.Helper()
	err := poll.Until(deadline(t), "Pod "+name+" is ready", 50*time.Millisecond, func(ctx context.Context) (err error) {
		if pod, err = client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !podReady(pod) {
			return fmt.Errorf("%s: %v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func podReady(pod *corev1.Pod) bool {
	for _, cond := range pod.Status.Conditions {
		if cond.Type == corev1.PodReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}

func exposeProbe(t *testing.T, client kubernetes.Interface, name string) *corev1.Service {
	t.Helper()
	svc, err := client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": name},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func waitLog(t *testing.T, client kubernetes.Interface, pod, want string) {
	t.Helper()
	err := poll.Until(deadline(t), "the log of "+pod+" says "+want, 50*time.Millisecond, func(ctx context.Context) error {
		log, err := client.CoreV1().Pods("default").GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil {
			return err
		}
		if !strings.Contains(string(log), want) {
			return fmt.Errorf("log:\n%s", log)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// wantAnswer retries until the answer is right: rules of a new Service take a
// moment.
func wantAnswer(t *testing.T, url, want string) {
	t.Helper()
	waitAnswer(t, url, func(s string) bool { return s == want }, want)
}

func wantPrefix(t *testing.T, url, want string) {
	t.Helper()
	waitAnswer(t, url, func(s string) bool { return strings.HasPrefix(s, want) }, want)
}

func waitAnswer(t *testing.T, url string, ok func(string) bool, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	// Kept-alive connections would hide a Service that stopped working.
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	err := poll.Until(ctx, fmt.Sprintf("%s answers %q", url, want), 100*time.Millisecond, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if err != nil {
			return err
		}
		if !ok(string(body)) {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
