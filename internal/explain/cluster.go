package explain

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// Labels of the chart's objects, by which the parts of the release are known.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelComponent = "app.kubernetes.io/component"
	labelRelease   = "app.kubernetes.io/instance"

	NameAgent        = "akri-agent"
	NameController   = "akri-controller"
	ComponentHandler = "discovery-handler"
	// WebhookName is the ValidatingWebhookConfiguration of the release.
	WebhookName = "akri-webhook-configuration"
)

// Reads are the kinds of objects that a Cluster is made of, as Unseen names
// them.
const (
	ReadConfigurations = "Configurations"
	ReadInstances      = "Instances"
	ReadNodes          = "Nodes"
	ReadPods           = "Pods"
	ReadJobs           = "Jobs"
	ReadServices       = "Services"
	ReadEvents         = "Events"
	ReadLeases         = "Leases"
	ReadDaemonSets     = "DaemonSets"
	ReadDeployments    = "Deployments"
	ReadWebhook        = "ValidatingWebhookConfigurations"
)

// Cluster is what was read of a cluster. Objects may have less in them than the
// API server has: what is not used here may be left out. Nothing is changed.
type Cluster struct {
	// Now is the time of the API server.
	Now time.Time

	Configurations []v0.Configuration
	Instances      []v0.Instance
	Nodes          []corev1.Node
	// Pods are those of the release, brokers, and Pods that ask for a resource
	// akri.sh/…; others do no harm.
	Pods []corev1.Pod
	// Jobs and Services are those that the controller made.
	Jobs     []batchv1.Job
	Services []corev1.Service
	Events   []Event
	// Leases are those of agents.
	Leases []coordinationv1.Lease
	// DaemonSets are the agents' and the handlers', Deployments the controllers'.
	DaemonSets  []appsv1.DaemonSet
	Deployments []appsv1.Deployment
	// Webhook is the registration of the webhook; nil if there is none.
	Webhook *Webhook

	// Unseen is what could not be read, or not as a whole.
	Unseen []Unseen
}

// Event is a Kubernetes Event, of either API.
type Event struct {
	Name      string  // its own, with the namespace
	Regarding Subject // with the kinds of Kubernetes: Instance, not Device
	Reason    string
	Note      string
	Warning   bool // it is not of the type Normal
	Last      time.Time
}

// Webhook is the registration of the admission webhook.
type Webhook struct {
	// Registered means that the API server asks it.
	Registered bool
	// CABundle is PEM.
	CABundle []byte
}

// Unseen is a kind of objects that was not read, or not all of it.
type Unseen struct {
	What string `json:"what"`
	Why  string `json:"why"`
}
