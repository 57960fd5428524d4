package keadm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/charts"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/limits"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/poll"
)

const (
	// Release is the name of cloudcore's release, and of its Service.
	Release = "cloudcore"
	// advertised is an annotation of cloudcore's Service: the host at which edge
	// nodes reach it, if the cluster does not know it.
	advertised = "edge.akri.sh/advertise-address"
	// balancerTimeout is how long the cluster may take to give the Service an
	// address.
	balancerTimeout = 20 * time.Second
	lookInterval    = time.Second
)

// InitOptions say how cloudcore is installed.
type InitOptions struct {
	Kubeconfig, Namespace string
	// Chart is a folder or an archive; "" means the chart inside this program.
	Chart string
	// Set are values of the chart, key=value as for helm.
	Set []string
	// Advertise is the host at which edge nodes reach cloudcore; "" leaves it to
	// the cluster, or as it was.
	Advertise string
	// Wait is how long to wait until cloudcore is ready.
	Wait time.Duration
	// API is asked whether it limits edge nodes, unless it is nil.
	API *kube.Client
}

// Init installs cloudcore, or upgrades it: values that were set before stay.
func Init(ctx context.Context, o InitOptions, client kubernetes.Interface, out io.Writer) error {
	install, err := o.install()
	if err != nil {
		return err
	}
	if err := helm.CheckChart(ctx, install); err != nil {
		return err
	}
	cluster := helm.Cluster{Kubeconfig: o.Kubeconfig}
	there, err := cluster.Installed(Release, o.Namespace)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	doing := "upgrading"
	if !there {
		doing = "installing"
		if err := elsewhere(ctx, client, o.Namespace); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s cloudcore in namespace %s, and waiting until it is ready\n", doing, o.Namespace)
	if err := cluster.Install(ctx, install); err != nil {
		return fmt.Errorf("%w\nkubectl --namespace %s get pods,events shows more; keadm init can be repeated", err, o.Namespace)
	}
	way, err := FindWay(ctx, client, o.Namespace)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "cloudcore runs. Edge nodes must reach it at %s and at port %d of that host.\n\n"+
		"This prints the command that joins a node:\n\n  keadm gettoken --edgenode-name NODE --print-join-command%s\n",
		way.Hub(), way.JoinPort, unless(o.Namespace, NamespaceDefault))
	if o.API != nil {
		tellLimits(ctx, o.API, out)
	}
	return nil
}

// elsewhere is an error if cloudcore is installed in another namespace: what it has
// outside of namespaces can be there only once.
func elsewhere(ctx context.Context, client kubernetes.Interface, namespace string) error {
	role, err := client.RbacV1().ClusterRoles().Get(ctx, Release, metav1.GetOptions{})
	if err != nil {
		return nil // it is not there, or Helm says what is wrong
	}
	switch has := role.Annotations["meta.helm.sh/release-namespace"]; has {
	case "", namespace:
		return nil
	default:
		return fmt.Errorf("cloudcore is installed in namespace %s, and a cluster has one: upgrade it with --namespace %s, "+
			"or remove it first with `helm uninstall %s --namespace %s`", has, has, Release, has)
	}
}

// tellLimits warns if the cluster does not hold edge nodes to what is theirs.
func tellLimits(ctx context.Context, api *kube.Client, out io.Writer) {
	l, err := limits.Ask(ctx, api)
	switch missing := l.Missing(); {
	case err != nil:
		fmt.Fprintf(out, "\nwarning: it is not known whether the cluster limits what edge nodes may have: %v\n", err)
	case missing != nil:
		fmt.Fprintf(out, "\nWARNING: this cluster does not limit edge nodes to what is theirs:\n%v\n", missing)
	}
}

// NamespaceDefault is where cloudcore is installed.
const NamespaceDefault = "kubeedge"

func unless(namespace, otherwise string) string {
	if namespace == otherwise {
		return ""
	}
	return " --namespace " + namespace
}

func (o InitOptions) install() (helm.InstallOptions, error) {
	i := helm.InstallOptions{ChartDir: o.Chart, Release: Release, Namespace: o.Namespace, KeepValues: true, Wait: o.Wait}
	var err error
	if i.Values, err = helm.ParseValues(o.Set); err != nil {
		return i, fmt.Errorf("--set: %w", err)
	}
	if o.Advertise != "" {
		service := below(i.Values, "service")
		below(service, "annotations")[advertised] = o.Advertise
	}
	if o.Chart == "" {
		i.Chart, err = charts.Cloudcore()
	}
	return i, err
}

// below is a map in a map; it is made if it is not there.
func below(m map[string]any, key string) map[string]any {
	next, ok := m[key].(map[string]any)
	if !ok { // another value is the chart's to refuse
		next = map[string]any{}
		m[key] = next
	}
	return next
}

// Way is how edge nodes reach cloudcore.
type Way struct {
	Host              string
	HubPort, JoinPort int32
}

// Hub is the address of the links.
func (w Way) Hub() string { return net.JoinHostPort(w.Host, strconv.Itoa(int(w.HubPort))) }

// Command is the command that joins a node.
func (w Way) Command(node, token string) string {
	s := "keadm join --cloudcore-ipport " + w.Hub()
	if w.JoinPort != CertPortDefault {
		s += fmt.Sprintf(" --certport %d", w.JoinPort)
	}
	if node != "" {
		s += " --edgenode-name " + node
	}
	return s + " --token " + token
}

// CertPortDefault is the port of certificates that KubeEdge has, too.
const CertPortDefault = 10002

// FindWay asks the cluster how edge nodes reach cloudcore. A cluster that gives
// addresses to Services may take a moment.
func FindWay(ctx context.Context, client kubernetes.Interface, namespace string) (Way, error) {
	return findWay(ctx, client, namespace, balancerTimeout)
}

func findWay(ctx context.Context, client kubernetes.Interface, namespace string, patience time.Duration) (Way, error) {
	get := func(ctx context.Context) (*corev1.Service, error) {
		return client.CoreV1().Services(namespace).Get(ctx, Release, metav1.GetOptions{})
	}
	service, err := get(ctx)
	if err != nil {
		return Way{}, fmt.Errorf("look for cloudcore's Service (keadm init installs it): %w", err)
	}
	if waits(service) {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		// If it gets none there may be nobody who gives it one: there is another way.
		_ = poll.Until(limited, "cloudcore's Service has an address", lookInterval, func(ctx context.Context) error {
			now, err := get(ctx)
			if err != nil {
				return err
			}
			if service = now; waits(service) {
				return errors.New("it has none")
			}
			return nil
		})
		if ctx.Err() != nil {
			return Way{}, ctx.Err()
		}
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return Way{}, fmt.Errorf("list the nodes: %w", err)
	}
	return wayTo(service, nodes.Items)
}

// waits tells whether a Service may get an address.
func waits(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) == 0
}

// edgeLabel is that of edge nodes.
const edgeLabel = "node-role.kubernetes.io/edge"

// wayTo decides how edge nodes reach a Service: at its load balancer, else at the
// ports that it has on each node of the cluster. A host that was advertised
// replaces the one that the cluster knows.
func wayTo(s *corev1.Service, nodes []corev1.Node) (Way, error) {
	var w Way
	onNodes := waits(s) || s.Spec.Type == corev1.ServiceTypeNodePort
	for _, p := range s.Spec.Ports {
		port := p.Port
		if onNodes {
			port = p.NodePort
		}
		switch p.Name {
		case "hub":
			w.HubPort = port
		case "join":
			w.JoinPort = port
		}
	}
	w.Host = s.Annotations[advertised]
	if w.Host == "" && onNodes {
		w.Host = address(nodes)
	}
	for _, ingress := range s.Status.LoadBalancer.Ingress {
		if w.Host == "" && !isEdge(ingress.IP, nodes) {
			w.Host = cmp.Or(ingress.IP, ingress.Hostname)
		}
	}
	if w.Host == "" || w.HubPort == 0 || w.JoinPort == 0 {
		return w, fmt.Errorf("the cluster does not say how Service %s/%s, of type %s, is reached: say it with keadm init --advertise-address",
			s.Namespace, s.Name, s.Spec.Type)
	}
	return w, nil
}

// isEdge tells whether an address is that of an edge node: the load balancer of K3s
// is on all nodes, and says so.
func isEdge(address string, nodes []corev1.Node) bool {
	return slices.ContainsFunc(nodes, func(n corev1.Node) bool {
		_, edge := n.Labels[edgeLabel]
		return edge && slices.ContainsFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Address == address })
	})
}

// address is that of a node which is no edge node: an external one, if there is
// any.
func address(nodes []corev1.Node) string {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
		for _, n := range nodes {
			if _, edge := n.Labels[edgeLabel]; edge {
				continue
			}
			for _, a := range n.Status.Addresses {
				if a.Type == kind {
					return a.Address
				}
			}
		}
	}
	return ""
}
