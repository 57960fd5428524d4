//go:build e2e

package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/test/testcluster"
)

// noted are the notes that containers of a workload have left on the edge node.
func (w *table) noted(app, text string) int {
	file, err := w.e.Path(tableDir + "/" + w.ns + "/" + app)
	if err != nil {
		return 0
	}
	notes, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return strings.Count(string(notes), text+"\n")
}

// local are the Pods of a workload as the edge node's API has them, in the order
// of their names.
func (w *table) local(ctx context.Context) (map[string][]corev1.Pod, error) {
	cmd, err := w.e.Command(ctx, w.e.Binary("kubectl"), "--kubeconfig", etc+"/kubelet/kubelet.kubeconfig", "get", "pods", "--all-namespaces",
		"--field-selector", "spec.nodeName="+w.e.Name, "-o", "json")
	if err != nil {
		return nil, err
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	all := map[string][]corev1.Pod{}
	for _, p := range list.Items {
		if p.Namespace == w.ns {
			all[p.Labels["app"]] = append(all[p.Labels["app"]], p)
		}
	}
	return all, nil
}

// ask has a Pod's container answer.
func (w *table) ask(ctx context.Context, ip string, port int, path string, query ...string) (string, error) {
	return askPod(ctx, w.e, w.probe, ip, port, path, query...)
}

// askPod has a container of a Pod of the edge node answer, asked by the program at
// that node.
func askPod(ctx context.Context, e *devcluster.EdgeNode, probe, ip string, port int, path string, query ...string) (string, error) {
	v := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		v.Set(query[i], query[i+1])
	}
	cmd, err := e.Command(ctx, probe, "get", fmt.Sprintf("http://%s:%d%s?%s", ip, port, path, v.Encode()))
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	_, answer, ok := strings.Cut(strings.TrimSpace(string(out)), " ") // after the probe's own status
	if err != nil || !ok {
		return "", fmt.Errorf("%s %s: %q, %w", path, strings.Join(query, " "), out, err)
	}
	return answer, nil
}

// serves checks, at the edge node alone, that each workload has its Pods, and that
// these are ready and have what they should.
func (w *table) serves(ctx context.Context) error {
	all, err := w.local(ctx)
	if err != nil {
		return err
	}
	for app, n := range map[string]int{web: 2, each: 1, member: 2, course: 1} {
		if len(all[app]) != n {
			return fmt.Errorf("%d Pods of %s, want %d", len(all[app]), app, n)
		}
		for _, p := range all[app] {
			if !testcluster.IsReady(&p) {
				return fmt.Errorf("Pod %s is not ready: %+v", p.Name, p.Status)
			}
		}
	}
	for _, app := range []string{web, each, member, course} {
		if err := w.has(ctx, all[app][0]); err != nil {
			return fmt.Errorf("%s: %w", app, err)
		}
	}
	from := all[each][0].Status.PodIP
	for name, want := range map[string]string{"web": w.webIP, "member-0.member": all[member][0].Status.PodIP} {
		if got, err := w.ask(ctx, from, mainPort, "/lookup", "name", name); err != nil || got != want {
			return fmt.Errorf("the address of %s is %q, want %q, %v", name, got, want, err)
		}
	}
	for to, want := range map[string]string{"http://web/": "200 " + web + "-", "http://" + w.webIP + "/": "200 " + web + "-", "http://member-1.member:8080/": "200 member-1"} {
		if got, err := w.ask(ctx, from, mainPort, "/get", "url", to); err != nil || !strings.HasPrefix(got, want) {
			return fmt.Errorf("%s answers %q, want %q, %v", to, got, want, err)
		}
	}
	return nil
}

// has checks what a Pod of [table.pod] sees.
func (w *table) has(ctx context.Context, p corev1.Pod) error {
	for _, s := range []struct{ path, key, value, want string }{
		{"/env", "name", "SECRET_" + message, "hidden"}, {"/env", "name", "NAME", p.Name},
		{"/env", "name", "NODE", w.e.Name}, {"/env", "name", "IP", p.Status.PodIP}, {"/env", "name", "STORAGE", fmt.Sprint(scratchBytes)},
		{"/read", "path", "/secret/" + message, "hidden"}, {"/read", "path", "/about/labels", fmt.Sprintf("app=%q", p.Labels["app"])},
		// The init container and the hook have run, in this order. What a container
		// has left in an emptyDir outlives a power cut.
		{"/read", "path", "/scratch/log", "first\npostStart"},
	} {
		got, err := w.ask(ctx, p.Status.PodIP, mainPort, s.path, s.key, s.value)
		if err != nil || !strings.Contains(got, s.want) {
			return fmt.Errorf("Pod %s: %s %s is %q, want %q, %v", p.Name, s.path, s.value, got, s.want, err)
		}
	}
	token, err := w.ask(ctx, p.Status.PodIP, mainPort, "/read", "path", "/about/token")
	if err != nil {
		return err
	}
	if _, err := tokens.Parse(token); err != nil {
		return fmt.Errorf("Pod %s: the projected token: %w", p.Name, err)
	}
	_, err = w.ask(ctx, p.Status.PodIP, sidecarPort, "/")
	return err
}

// reads checks that the volumes of all Pods have the ConfigMap with this message.
func (w *table) reads(want string) testcluster.Check {
	return func(ctx context.Context) error {
		all, err := w.local(ctx)
		if err != nil {
			return err
		}
		for _, app := range []string{web, each, member} {
			for _, p := range all[app] {
				if got, err := w.ask(ctx, p.Status.PodIP, mainPort, "/read", "path", "/config/"+message); err != nil || got != want {
					return fmt.Errorf("Pod %s reads %q, want %q, %v", p.Name, got, want, err)
				}
			}
		}
		return nil
	}
}

// restarts is how often the main container of the DaemonSet's Pod was started
// again, as the edge node's API has it.
func (w *table) restarts(ctx context.Context) (int32, string, error) {
	all, err := w.local(ctx)
	if err != nil || len(all[each]) != 1 {
		return 0, "", fmt.Errorf("the DaemonSet's Pods: %d, %v", len(all[each]), err)
	}
	p := all[each][0]
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == "main" {
			return s.RestartCount, p.Status.PodIP, nil
		}
	}
	return 0, "", fmt.Errorf("Pod %s has no status of its container", p.Name)
}

// heal checks that a liveness probe ends a container that is ill.
func (w *table) heal(t *testing.T) {
	t.Helper()
	before, ip, err := w.restarts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := w.e.Command(t.Context(), w.probe, "get", fmt.Sprintf("http://%s:%d/ill", ip, mainPort))
	if err != nil {
		t.Fatal(err)
	}
	output(t, cmd)
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		if now, _, err := w.restarts(ctx); err != nil || now <= before {
			return fmt.Errorf("an ill container was started %d times again, and then %d, %v", before, now, err)
		}
		return nil
	})
}

// endCourse tells the Job that runs to end, and waits until the edge node knows
// that it has succeeded.
func (w *table) endCourse(t *testing.T) {
	t.Helper()
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		all, err := w.local(ctx)
		if err != nil || len(all[course]) != 1 {
			return fmt.Errorf("the Job's Pods: %d, %v", len(all[course]), err)
		}
		p := all[course][0]
		if p.Status.Phase == corev1.PodSucceeded {
			return nil
		}
		_, _ = w.ask(ctx, p.Status.PodIP, mainPort, "/exit") // it may end before it answers
		return fmt.Errorf("Pod %s: %s", p.Name, p.Status.Phase)
	})
}

// completed checks that Jobs are complete in the cluster, each with one Pod.
func (w *table) completed(jobs ...string) testcluster.Check {
	return func(ctx context.Context) error {
		for _, name := range jobs {
			j := &batchv1.Job{}
			if err := api.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: name}, j); err != nil {
				return err
			}
			if j.Status.Succeeded != 1 || j.Status.Failed != 0 || j.Status.CompletionTime == nil {
				return fmt.Errorf("Job %s: %+v", name, j.Status)
			}
		}
		return nil
	}
}
