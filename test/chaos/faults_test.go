//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

// strike kills something with SIGKILL. It returns what, and a function that
// starts it again, nil if the kubelet does that.
func (w *fixture) strike() (what string, revive func()) {
	// What was killed a moment ago may not be there to be killed.
	for what == "" {
		what, revive = w.strikeAt(w.rng.IntN(9), 1+w.rng.IntN(nodes))
		if w.t.Context().Err() != nil {
			w.t.Fatal("the test was stopped")
		}
	}
	return what, revive
}

func (w *fixture) strikeAt(part, node int) (what string, revive func()) {
	switch part {
	case 0, 1:
		return w.killContainer("agent", "akri-agent", node), nil
	case 2, 3:
		// The leader, or the one that stands by.
		return w.killContainer("controller", "akri-controller", node), nil
	case 4:
		return w.killContainer("handler", "akri-udev-discovery", node), nil
	case 5:
		return w.killContainer("handler", "akri-debug-echo-discovery", node), nil
	case 6:
		name := []string{sharedName, localName}[w.rng.IntN(2)]
		w.rec.fault("handler", devcluster.NodeName(node), name)
		w.handlers[place{name, node}].Kill()
		delete(w.handlers, place{name, node})
		return fmt.Sprintf("handler %s of node %d", name, node), func() { w.startHandler(name, node) }
	default:
		w.rec.fault("kubelet", devcluster.NodeName(node), "")
		cell := fmt.Sprintf("node%d", node)
		if err := bed.KillProcess(w.t.Context(), cell, devcluster.Kubelet, syscall.SIGKILL); err != nil {
			w.t.Fatalf("kill the kubelet of %s: %v", cell, err)
		}
		return "kubelet of " + cell, func() {
			if err := bed.StartProcess(w.t.Context(), cell, devcluster.Kubelet); err != nil {
				w.t.Fatalf("start the kubelet of %s: %v", cell, err)
			}
		}
	}
}

// killContainer kills the process of one of our Pods on a node; "" if none runs.
func (w *fixture) killContainer(kind, name string, node int) string {
	pods, err := ourPods(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range pods {
		if p.Spec.NodeName != devcluster.NodeName(node) {
			continue
		}
		pids, err := testcluster.ProcessesOf("akri", string(p.UID))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, pid := range pids {
			w.rec.fault(kind, p.Spec.NodeName, p.Name)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				w.t.Fatalf("kill %s: %v", p.Name, err)
			}
			return p.Name
		}
	}
	return ""
}

// ourPods returns the Pods of a part of the release, all if name is "".
func ourPods(ctx context.Context, name string) ([]corev1.Pod, error) {
	var list corev1.PodList
	options := []client.ListOption{client.InNamespace(testcluster.Namespace)}
	if name != "" {
		options = append(options, client.MatchingLabels{"app.kubernetes.io/name": name})
	}
	err := bed.API.List(ctx, &list, options...)
	return list.Items, err
}
