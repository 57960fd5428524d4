package snapshot

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
)

const (
	// Timeout is how long reading may take in all.
	Timeout = time.Minute
	// pageSize is how many objects are asked for at a time, and maxObjects how
	// many of a kind are looked at.
	pageSize   = 500
	maxObjects = 20_000
)

// Options say what to read.
type Options struct {
	// Namespace is read if the user may not list objects of all namespaces.
	Namespace string
	// Pod is read even if it has nothing to do with devices; without a
	// namespace, all Pods of this name.
	Pod explain.Subject
}

// reader reads one snapshot.
type reader struct {
	api client.Reader
	Options
	pageSize, most int
	out            explain.Cluster
}

// Read reads a cluster. It fails if the API server does not answer; what it
// forbids is in Unseen.
func Read(ctx context.Context, api client.Reader, now func() time.Time, o Options) (explain.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r := &reader{api: api, Options: o, pageSize: pageSize, most: maxObjects}
	for _, read := range []func(context.Context) error{
		r.configurations, r.instances, r.nodes, r.pods, r.jobs, r.services, r.events, r.leases, r.release, r.webhook,
	} {
		if err := read(ctx); err != nil {
			return explain.Cluster{}, fmt.Errorf("read the cluster: %w", err)
		}
	}
	r.out.Now = now()
	return r.out, nil
}

func (r *reader) unseen(what, why string) {
	r.out.Unseen = append(r.out.Unseen, explain.Unseen{What: what, Why: why})
}

// list reads the objects of a kind page by page. Each is called after a page.
func (r *reader) list(ctx context.Context, what string, list client.ObjectList, each func(),
	opts ...client.ListOption) error {
	err := r.pages(ctx, what, list, each, opts...)
	if r.Namespace != "" && apierrors.IsForbidden(err) && what != explain.ReadNodes {
		why := fmt.Sprintf("only those in namespace %s: %s", r.Namespace, refusal(err))
		if err = r.pages(ctx, what, list, each, append(opts, client.InNamespace(r.Namespace))...); err == nil {
			r.unseen(what, why)
		}
	}
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		r.unseen(what, refusal(err))
		return nil
	case meta.IsNoMatchError(err):
		return nil // there is no such kind, so there are none
	}
	return fmt.Errorf("list %s: %w", what, err)
}

// refusal is what the API server says of a read that it forbids.
func refusal(err error) string {
	_, text, ok := strings.Cut(err.Error(), "is forbidden: ")
	if !ok {
		text = err.Error()
	}
	return text
}

func (r *reader) pages(ctx context.Context, what string, list client.ObjectList, each func(),
	opts ...client.ListOption) error {
	opts = append(opts, client.Limit(int64(r.pageSize)))
	for seen := 0; ; {
		list.SetContinue("")
		if err := r.api.List(ctx, list, opts...); err != nil {
			if seen > 0 && apierrors.IsResourceExpired(err) {
				r.unseen(what, "they changed while they were read")
				return nil
			}
			return err
		}
		each()
		seen += meta.LenList(list)
		next := list.GetContinue()
		switch {
		case next == "":
			return nil
		case seen >= r.most:
			r.unseen(what, fmt.Sprintf("only the first %d were looked at", seen))
			return nil
		}
		opts = append(opts, client.Continue(next))
	}
}

func (r *reader) configurations(ctx context.Context) error {
	var list v0.ConfigurationList
	return r.list(ctx, explain.ReadConfigurations, &list, func() {
		for i := range list.Items {
			list.Items[i].ManagedFields = nil
		}
		r.out.Configurations = append(r.out.Configurations, list.Items...)
	})
}

func (r *reader) instances(ctx context.Context) error {
	var list v0.InstanceList
	return r.list(ctx, explain.ReadInstances, &list, func() {
		for i := range list.Items {
			list.Items[i].ManagedFields = nil
		}
		r.out.Instances = append(r.out.Instances, list.Items...)
	})
}

func (r *reader) nodes(ctx context.Context) error {
	var list corev1.NodeList
	return r.list(ctx, explain.ReadNodes, &list, func() {
		for _, n := range list.Items {
			kept := corev1.Node{ObjectMeta: n.ObjectMeta}
			kept.ManagedFields = nil
			kept.Spec.Taints, kept.Spec.Unschedulable = n.Spec.Taints, n.Spec.Unschedulable
			kept.Status.Conditions, kept.Status.Allocatable = n.Status.Conditions, ours(n.Status.Allocatable)
			r.out.Nodes = append(r.out.Nodes, kept)
		}
	})
}

// ours keeps the resources of our prefix.
func ours(list corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range list {
		if strings.HasPrefix(string(name), v0.ResourcePrefix+"/") {
			out[name] = q
		}
	}
	return out
}

func (r *reader) pods(ctx context.Context) error {
	var list corev1.PodList
	return r.list(ctx, explain.ReadPods, &list, func() {
		for _, pod := range list.Items {
			if r.wants(&pod) {
				pod.ManagedFields = nil
				r.out.Pods = append(r.out.Pods, pod)
			}
		}
	})
}

// wants reports whether a Pod matters: brokers, the release's, those that ask for
// a device, and the one that was asked about.
func (r *reader) wants(pod *corev1.Pod) bool {
	asked := r.Pod.Name != "" && pod.Name == r.Pod.Name && (r.Pod.Namespace == "" || pod.Namespace == r.Pod.Namespace)
	return asked || pod.Labels[v0.LabelConfiguration] != "" || explain.OfRelease(pod) || explain.Asks(pod)
}

func (r *reader) jobs(ctx context.Context) error {
	var list batchv1.JobList
	return r.list(ctx, explain.ReadJobs, &list, func() {
		for _, j := range list.Items {
			r.out.Jobs = append(r.out.Jobs, batchv1.Job{ObjectMeta: bare(j.ObjectMeta), Status: j.Status})
		}
	}, client.HasLabels{v0.LabelConfiguration})
}

func (r *reader) services(ctx context.Context) error {
	var list corev1.ServiceList
	return r.list(ctx, explain.ReadServices, &list, func() {
		for _, s := range list.Items {
			r.out.Services = append(r.out.Services, corev1.Service{ObjectMeta: bare(s.ObjectMeta)})
		}
	}, client.MatchingLabels{v0.LabelController: v0.ControllerName})
}

func bare(m metav1.ObjectMeta) metav1.ObjectMeta {
	m.ManagedFields = nil
	return m
}

// events reads Events about our objects, and about handlers that agents refused.
func (r *reader) events(ctx context.Context) error {
	for _, which := range []client.MatchingFields{
		{"involvedObject.apiVersion": v0.GroupVersion.String()}, {"reason": "DiscoveryHandlerRefused"},
	} {
		var list corev1.EventList
		err := r.list(ctx, explain.ReadEvents, &list, func() {
			for _, e := range list.Items {
				r.out.Events = append(r.out.Events, event(&e))
			}
		}, which)
		if err != nil {
			return err
		}
	}
	return nil
}

func event(e *corev1.Event) explain.Event {
	out := explain.Event{
		Regarding: explain.Subject{Kind: explain.Kind(e.InvolvedObject.Kind),
			Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name},
		Reason: e.Reason, Note: e.Message, Last: e.LastTimestamp.Time,
	}
	if e.EventTime.After(out.Last) {
		out.Last = e.EventTime.Time
	}
	if e.Series != nil && e.Series.LastObservedTime.After(out.Last) {
		out.Last = e.Series.LastObservedTime.Time
	}
	if out.Last.IsZero() {
		out.Last = e.CreationTimestamp.Time
	}
	if out.Regarding.Kind == explain.Node {
		out.Regarding.Namespace = ""
	}
	return out
}

func (r *reader) leases(ctx context.Context) error {
	var list coordinationv1.LeaseList
	return r.list(ctx, explain.ReadLeases, &list, func() {
		r.out.Leases = append(r.out.Leases, list.Items...)
	}, client.MatchingLabels{v0.LabelAgentLease: "true"})
}

// release reads the DaemonSets and the Deployment of the chart.
func (r *reader) release(ctx context.Context) error {
	var sets appsv1.DaemonSetList
	err := r.list(ctx, explain.ReadDaemonSets, &sets, func() {
		for i := range sets.Items {
			if explain.OfRelease(&sets.Items[i]) {
				r.out.DaemonSets = append(r.out.DaemonSets, sets.Items[i])
			}
		}
	})
	if err != nil {
		return err
	}
	var deployments appsv1.DeploymentList
	return r.list(ctx, explain.ReadDeployments, &deployments, func() {
		r.out.Deployments = append(r.out.Deployments, deployments.Items...)
	}, client.MatchingLabels{explain.LabelName: explain.NameController})
}

func (r *reader) webhook(ctx context.Context) error {
	var w admissionregistrationv1.ValidatingWebhookConfiguration
	err := r.api.Get(ctx, client.ObjectKey{Name: explain.WebhookName}, &w)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		r.unseen(explain.ReadWebhook, refusal(err))
		return nil
	case err != nil:
		return fmt.Errorf("get %s: %w", explain.WebhookName, err)
	}
	r.out.Webhook = &explain.Webhook{Registered: len(w.Webhooks) > 0}
	if len(w.Webhooks) > 0 {
		r.out.Webhook.CABundle = w.Webhooks[0].ClientConfig.CABundle
	}
	return nil
}
