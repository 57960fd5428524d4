package snapshot

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
)

// Source is one kind of objects that a Cluster is made of.
type Source struct {
	// What is the kind, as [explain.Unseen] names it. Several sources may have
	// parts of one kind.
	What string
	// New and List return an empty object and an empty list of them.
	New  func() client.Object
	List func() client.ObjectList
	// Options choose among them in the API server.
	Options []client.ListOption
	// Keep returns what matters of an object, nil if nothing does. It may change the
	// object, and can be called on what it returned.
	Keep func(client.Object) client.Object
	// Add adds an object that was kept.
	Add func(*explain.Cluster, client.Object)
}

// Namespaced reports whether its objects are in namespaces.
func (s Source) Namespaced() bool {
	return s.What != explain.ReadNodes && s.What != explain.ReadWebhook
}

// Sources returns all that a Cluster is made of. The Pod also is kept even if it
// has nothing to do with devices; it may be without a name.
func Sources(also explain.Subject) []Source {
	return []Source{
		source(explain.ReadConfigurations, func() client.ObjectList { return &v0.ConfigurationList{} },
			func(c *v0.Configuration) *v0.Configuration { return c },
			func(c *explain.Cluster) *[]v0.Configuration { return &c.Configurations }),
		source(explain.ReadInstances, func() client.ObjectList { return &v0.InstanceList{} },
			func(i *v0.Instance) *v0.Instance { return i },
			func(c *explain.Cluster) *[]v0.Instance { return &c.Instances }),
		source(explain.ReadNodes, func() client.ObjectList { return &corev1.NodeList{} }, keepNode,
			func(c *explain.Cluster) *[]corev1.Node { return &c.Nodes }),
		source(explain.ReadPods, func() client.ObjectList { return &corev1.PodList{} },
			func(pod *corev1.Pod) *corev1.Pod { return keepPod(pod, also) },
			func(c *explain.Cluster) *[]corev1.Pod { return &c.Pods }),
		source(explain.ReadJobs, func() client.ObjectList { return &batchv1.JobList{} },
			func(j *batchv1.Job) *batchv1.Job { return &batchv1.Job{ObjectMeta: j.ObjectMeta, Status: j.Status} },
			func(c *explain.Cluster) *[]batchv1.Job { return &c.Jobs },
			client.HasLabels{v0.LabelConfiguration}),
		source(explain.ReadServices, func() client.ObjectList { return &corev1.ServiceList{} },
			func(s *corev1.Service) *corev1.Service { return &corev1.Service{ObjectMeta: s.ObjectMeta} },
			func(c *explain.Cluster) *[]corev1.Service { return &c.Services },
			client.MatchingLabels{v0.LabelController: v0.ControllerName}),
		events(client.MatchingFields{"involvedObject.apiVersion": v0.GroupVersion.String()}),
		events(client.MatchingFields{"reason": "DiscoveryHandlerRefused"}),
		leases(),
		source(explain.ReadDaemonSets, func() client.ObjectList { return &appsv1.DaemonSetList{} },
			func(d *appsv1.DaemonSet) *appsv1.DaemonSet {
				if !explain.OfRelease(d) {
					return nil
				}
				return d
			},
			func(c *explain.Cluster) *[]appsv1.DaemonSet { return &c.DaemonSets }),
		source(explain.ReadDeployments, func() client.ObjectList { return &appsv1.DeploymentList{} },
			func(d *appsv1.Deployment) *appsv1.Deployment { return d },
			func(c *explain.Cluster) *[]appsv1.Deployment { return &c.Deployments },
			client.MatchingLabels{explain.LabelName: explain.NameController}),
		webhook(),
	}
}

// source is a Source of objects that a Cluster has as they were kept.
func source[T any, P interface {
	*T
	client.Object
}](what string, list func() client.ObjectList, keep func(P) P, into func(*explain.Cluster) *[]T,
	options ...client.ListOption) Source {
	return Source{
		What: what, New: func() client.Object { return P(new(T)) }, List: list, Options: options,
		Keep: func(o client.Object) client.Object {
			object, ok := o.(P)
			if !ok {
				return nil
			}
			object.SetManagedFields(nil)
			if kept := keep(object); kept != nil {
				return kept
			}
			return nil
		},
		Add: func(c *explain.Cluster, o client.Object) {
			if object, ok := o.(P); ok {
				to := into(c)
				*to = append(*to, *object)
			}
		},
	}
}

func keepNode(n *corev1.Node) *corev1.Node {
	kept := &corev1.Node{ObjectMeta: n.ObjectMeta}
	kept.Spec.Taints, kept.Spec.Unschedulable = n.Spec.Taints, n.Spec.Unschedulable
	kept.Status.Conditions, kept.Status.Allocatable = n.Status.Conditions, ours(n.Status.Allocatable)
	return kept
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

// keepPod keeps a Pod that matters: brokers, the release's, those that ask for a
// device, and the one that was asked about. What its containers get, which may
// have passwords, does not matter.
func keepPod(pod *corev1.Pod, also explain.Subject) *corev1.Pod {
	asked := also.Name != "" && pod.Name == also.Name &&
		(also.Namespace == "" || pod.Namespace == also.Namespace)
	if !asked && pod.Labels[v0.LabelConfiguration] == "" && !explain.OfRelease(pod) && !explain.Asks(pod) {
		return nil
	}
	pod.Annotations, pod.Spec.Volumes = nil, nil
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			containers[i].Env, containers[i].EnvFrom = nil, nil
		}
	}
	return pod
}

// leases are those of agents. When they were renewed is in their managedFields.
func leases() Source {
	s := source(explain.ReadLeases, func() client.ObjectList { return &coordinationv1.LeaseList{} },
		func(l *coordinationv1.Lease) *coordinationv1.Lease { return l },
		func(c *explain.Cluster) *[]coordinationv1.Lease { return &c.Leases },
		client.MatchingLabels{v0.LabelAgentLease: "true"})
	s.Keep = func(o client.Object) client.Object {
		var times []metav1.ManagedFieldsEntry
		for _, m := range o.GetManagedFields() {
			times = append(times, metav1.ManagedFieldsEntry{Time: m.Time})
		}
		o.SetManagedFields(times)
		return o
	}
	return s
}

// events are Events about our objects, and about handlers that agents refused.
func events(which client.MatchingFields) Source {
	s := source(explain.ReadEvents, func() client.ObjectList { return &corev1.EventList{} },
		func(e *corev1.Event) *corev1.Event { return e },
		func(*explain.Cluster) *[]corev1.Event { return &[]corev1.Event{} }, which)
	s.Add = func(c *explain.Cluster, o client.Object) {
		if e, ok := o.(*corev1.Event); ok {
			c.Events = append(c.Events, event(e))
		}
	}
	return s
}

func event(e *corev1.Event) explain.Event {
	out := explain.Event{
		Name: e.Namespace + "/" + e.Name,
		Regarding: explain.Subject{Kind: explain.Kind(e.InvolvedObject.Kind),
			Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name},
		Reason: e.Reason, Note: e.Message, Warning: e.Type == corev1.EventTypeWarning, Last: e.LastTimestamp.Time,
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

// webhook is the registration of the admission webhook; there is one.
func webhook() Source {
	type registration = admissionregistrationv1.ValidatingWebhookConfiguration
	s := source(explain.ReadWebhook,
		func() client.ObjectList { return &admissionregistrationv1.ValidatingWebhookConfigurationList{} },
		func(w *registration) *registration {
			if w.Name != explain.WebhookName {
				return nil
			}
			return w
		},
		func(*explain.Cluster) *[]registration { return &[]registration{} },
		client.MatchingFields{metav1.ObjectNameField: explain.WebhookName})
	s.Add = func(c *explain.Cluster, o client.Object) {
		w, ok := o.(*registration)
		if !ok {
			return
		}
		c.Webhook = &explain.Webhook{Registered: len(w.Webhooks) > 0}
		if len(w.Webhooks) > 0 {
			c.Webhook.CABundle = w.Webhooks[0].ClientConfig.CABundle
		}
	}
	return s
}
