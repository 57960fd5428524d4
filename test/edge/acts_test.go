//go:build e2e

package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
)

// act is one thing that may happen.
type act struct {
	name string
	do   func()
}

// acts are all but the cut of the link.
func (h *teller) acts() []act {
	return []act{
		{"kill edgecore", h.killEdgecore}, {"kill the kubelet", h.killKubelet}, {"cut the power", h.power},
		{"change the ConfigMap", h.editConfig}, {"change the Secret", h.editSecret}, {"roll out", h.rollOut}, {"scale", h.scale},
		{"delete a Pod", h.deletePod}, {"restart the API server", h.restartAPIServer}, {"compact etcd", h.compactEtcd},
	}
}

func (h *teller) toggle() {
	h.t.Helper()
	do := h.e.Cut
	if h.cut {
		do = h.e.Rejoin
	}
	if err := do(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.cut = !h.cut
	if !h.cut || h.rng.IntN(2) == 0 {
		return
	}
	// Else it may be back before anybody has noticed.
	h.insist(func(context.Context) error {
		if s := status(h.t, h.e); !strings.Contains(s, "CUT") {
			return fmt.Errorf("edgecore status:\n%s", s)
		}
		return nil
	})
}

func (h *teller) killEdgecore() {
	h.t.Helper()
	kill(h.t, h.e)
	start(h.t, h.e)
}

func (h *teller) killKubelet() {
	h.t.Helper()
	var s struct {
		Kubelet struct{ PID int }
	}
	h.insist(func(ctx context.Context) error {
		text, err := h.ask(ctx, h.e.Program(devcluster.Edgecore), "status", "-o", "json", "--config", etc+"/config/edgecore.yaml")
		if err == nil {
			err = json.Unmarshal([]byte(text), &s)
		}
		if err == nil && s.Kubelet.PID == 0 {
			err = errors.New("the kubelet does not run")
		}
		return err
	})
	on(h.t, h.e, "sh", "-c", "kill -KILL "+strconv.Itoa(s.Kubelet.PID))
}

func (h *teller) power() {
	h.t.Helper()
	if err := h.e.PowerOff(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.record.Powers++
	if err := h.e.PowerOn(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	start(h.t, h.e)
}

func (h *teller) editConfig() { h.edit(&corev1.ConfigMap{}, `{"data":{"MESSAGE":"edit-%d"}}`) }
func (h *teller) editSecret() { h.edit(&corev1.Secret{}, `{"stringData":{"MESSAGE":"edit-%d"}}`) }
func (h *teller) rollOut() {
	h.edit(&appsv1.Deployment{}, `{"spec":{"template":{"metadata":{"annotations":{"edit":"%d"}}}}}`)
}
func (h *teller) scale() {
	h.edit(&appsv1.Deployment{}, `{"spec":{"replicas":`+strconv.Itoa(1+h.rng.IntN(2))+`},"metadata":{"annotations":{"edit":"%d"}}}`)
}

// edit patches the object of the workload that has this kind.
func (h *teller) edit(o client.Object, format string) {
	h.t.Helper()
	h.edits++
	o.SetName("edge")
	o.SetNamespace(h.ns)
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, format, h.edits))
	h.insist(func(ctx context.Context) error { return api.Patch(ctx, o, patch) })
}

// deletePod deletes one of the Deployment's Pods.
func (h *teller) deletePod() {
	h.t.Helper()
	which, force := h.rng.IntN(100), h.rng.IntN(2) == 0
	h.insist(func(ctx context.Context) error {
		pods, err := h.pods(ctx)
		if err != nil {
			return err
		}
		pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.Name == "bare" || p.DeletionTimestamp != nil })
		if len(pods) == 0 {
			return nil // a rollout is under way
		}
		slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
		p := pods[which%len(pods)]
		var options []client.DeleteOption
		if force {
			options = append(options, client.GracePeriodSeconds(0))
		}
		if err := api.Delete(ctx, &p, options...); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		h.record.Deleted = append(h.record.Deleted, string(p.UID))
		return nil
	})
}

func (h *teller) restartAPIServer() {
	h.t.Helper()
	if err := bed.StopAPIServer(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	if err := bed.StartAPIServer(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *teller) compactEtcd() {
	h.t.Helper()
	h.insist(bed.CompactEtcd)
}
