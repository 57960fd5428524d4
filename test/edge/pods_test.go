//go:build e2e

package edge

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/test/testcluster"
)

// TestPod runs a client of the Kubernetes API in a Pod on the edge node: it reads
// and writes through the local API by its service account's rights, and reads on
// while the link is cut, also after the power was cut.
func TestPod(t *testing.T) {
	e := joined(t)
	a := deployApp(t, bed.NewNamespace(t), e)
	testcluster.Eventually(t, testcluster.WaitTimeout, a.wrote("first"))
	a.follow(t, "second")
	testcluster.Eventually(t, testcluster.WaitTimeout, a.wrote("second"))

	if err := e.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	undone(t, e.Rejoin)
	testcluster.Eventually(t, testcluster.WaitTimeout, nodeIs(e.Name, false))
	before := a.says(t, e, 0, `read "second"`)
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if now := a.says(t, e, 0, `read "second"`); now < before+3 {
			return fmt.Errorf("cut off, the Pod read %d times, then %d", before, now)
		}
		return nil
	})

	t.Log("cut off; the power goes and comes")
	if err := e.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, e)
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if a.says(t, e, 1, `read "second"`) == 0 || a.says(t, e, 1, `saw "second"`) == 0 {
			return fmt.Errorf("the Pod does not read after the power cut")
		}
		return nil
	})
	if got := issuers(t, e); !slices.Contains(got, tokens.Issuer) {
		t.Errorf("the tokens are of %q", got)
	}

	a.follow(t, "third")
	if err := e.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(nodeIs(e.Name, true), a.wrote("third")))
}

// app is a Pod with the program of this package's folder app.
type app struct{ pod *corev1.Pod }

// deployApp makes a Pod that is told nothing of edge nodes.
func deployApp(t *testing.T, ns string, e *devcluster.EdgeNode) app {
	t.Helper()
	program := compile(t, "test/edge/app")
	meta := metav1.ObjectMeta{Name: "app", Namespace: ns}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"kubernetes.io/hostname": e.Name}, ServiceAccountName: meta.Name,
		Volumes: []corev1.Volume{{Name: "programs", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: filepath.Dir(inside(program))}}}},
		Containers: []corev1.Container{{
			Name: "app", Image: image, Command: []string{"/programs/" + filepath.Base(program)},
			Env:          []corev1.EnvVar{{Name: "NAMESPACE", Value: ns}},
			VolumeMounts: []corev1.VolumeMount{{Name: "programs", MountPath: "/programs", ReadOnly: true}},
		}},
	}}
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "create", "update"}}}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: meta.Name, Namespace: ns}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "followed", Namespace: ns}, Data: map[string]string{"message": "first"}},
		pod,
	} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return app{pod}
}

// follow changes the ConfigMap that the Pod follows.
func (a app) follow(t *testing.T, message string) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "followed", Namespace: a.pod.Namespace}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"data":{"message":%q}}`, message))
	if err := api.Patch(t.Context(), m, patch); err != nil {
		t.Fatal(err)
	}
}

// wrote checks that the Pod has written a message into the cluster.
func (a app) wrote(message string) testcluster.Check {
	return func(ctx context.Context) error {
		m := &corev1.ConfigMap{}
		if err := api.Get(ctx, client.ObjectKey{Namespace: a.pod.Namespace, Name: "seen"}, m); err != nil {
			return err
		}
		if got := m.Data["message"]; got != message {
			return fmt.Errorf("the Pod has written %q, want %q", got, message)
		}
		return nil
	}
}

// says counts the lines that the Pod's container has printed in one of its lives,
// the first of which is 0.
func (a app) says(t *testing.T, e *devcluster.EdgeNode, life int, line string) int {
	t.Helper()
	cmd, err := e.Command(t.Context(), "cat", fmt.Sprintf("/var/log/pods/%s_%s_%s/app/%d.log", a.pod.Namespace, a.pod.Name, a.pod.UID, life))
	if err != nil {
		t.Fatal(err)
	}
	out, _ := cmd.Output() // it may not be there yet
	return strings.Count(string(out), line)
}

// issuers are those of the tokens in the containers on the edge node.
func issuers(t *testing.T, e *devcluster.EdgeNode) (all []string) {
	t.Helper()
	for _, line := range strings.Split(on(t, e, e.Binary("ctr"), "-n", "k8s.io", "tasks", "ls"), "\n")[1:] {
		task := strings.Fields(line)
		if len(task) < 2 {
			continue
		}
		cmd, err := e.Command(t.Context(), "cat", "/proc/"+task[1]+"/root/var/run/secrets/kubernetes.io/serviceaccount/token")
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.Output()
		if err != nil {
			continue // a sandbox has none
		}
		token, err := tokens.Parse(string(out))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		all = append(all, token.Claims.Issuer)
	}
	return all
}
