//go:build e2e

package edge

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/test/testcluster"
)

const probeImage = "akri.local/probe:1"

// network is Pods and Services that look at an edge node's network.
type network struct {
	t       *testing.T
	e       *devcluster.EdgeNode
	ns      string
	probe   string // the program, on the edge node
	service *corev1.Service
	client  string // the address of the Pod called client; "" is what the local API says
}

// TestServices has Pods of an edge node call a Service that has endpoints there
// and on a node of the cloud, and the API server's Service: connected, and after
// a power cut without the link.
func TestServices(t *testing.T) {
	e := joined(t)
	n := &network{t: t, e: e, ns: bed.NewNamespace(t), probe: buildProbe(t)}
	n.pod("web", e.Name, "web", false)
	n.pod("far", devcluster.NodeName(1), "web", false)
	n.pod("client", e.Name, "", false)
	n.pod("tokened", e.Name, "", true)
	n.service = n.expose("web", "")
	n.expose("each", corev1.ClusterIPNone)

	// The cluster has both endpoints, the edge node its own.
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		far, err := n.endpoints(ctx, bed.Kubeconfig())
		if err != nil || len(far) != 2 {
			return fmt.Errorf("the cluster's endpoints: %q, %v", far, err)
		}
		return nil
	})
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(n.sees(1), n.reaches("web", 10), n.names))
	// The API server is the local API, whose certificate the Pod trusts.
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		got, err := n.ask(ctx, "tokened", "/api", "path", "/version")
		if err != nil || !strings.HasPrefix(got, "200 ") && !strings.HasPrefix(got, "401 ") {
			return fmt.Errorf("the API server's Service: %q, %v", got, err)
		}
		return nil
	})

	t.Log("both nodes are of one site, then no longer; then the Service wants all endpoints")
	for _, name := range []string{e.Name, devcluster.NodeName(1)} {
		label(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, edgev1.SiteLabel, `"shop-1"`)
		undone(t, func(context.Context) error {
			label(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, edgev1.SiteLabel, "null")
			return nil
		})
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, n.sees(2))
	label(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: e.Name}}, edgev1.SiteLabel, "null")
	testcluster.Eventually(t, testcluster.WaitTimeout, n.sees(1))
	label(t, n.service, edgev1.EndpointsLabel, `"`+edgev1.AllEndpoints+`"`)
	testcluster.Eventually(t, testcluster.WaitTimeout, n.sees(2))
	label(t, n.service, edgev1.EndpointsLabel, "null")
	testcluster.Eventually(t, testcluster.WaitTimeout, n.sees(1))

	t.Log("the link is cut; the power goes and comes")
	if err := e.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	undone(t, e.Rejoin)
	if err := e.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, e)
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(n.sees(1), n.reaches("web", 10), n.names))
	if s := status(t, e); !strings.Contains(s, "CUT") || !strings.Contains(s, "kube-proxy    runs for") {
		t.Errorf("edgecore status:\n%s", s)
	}
	t.Log("the link is back: the cloud's old state of Pods harms nothing")
	client := n.address(t.Context(), "client")
	if err := e.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.client = client
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		if err := n.reaches("web", 1)(ctx); err != nil {
			t.Error(err)
		}
		return nodeIs(e.Name, true)(ctx)
	})
	n.client = ""
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(n.reaches("web", 10), n.names))
}

// buildProbe has an image of the probe on all nodes, and returns the program that
// an edge node has.
func buildProbe(t *testing.T) string {
	t.Helper()
	file := filepath.Join(bed.Dir(), "programs", "probe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", file, filepath.Join(bed.Repo, "internal", "devcluster", "testdata", "probe"))
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v: %s", err, out)
	}
	archive := filepath.Join(t.TempDir(), "probe.tar")
	if err := images.WriteProgram(archive, probeImage, file); err != nil {
		t.Fatal(err)
	}
	if err := bed.LoadImages(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	return inside(file)
}

// pod makes a Pod of the probe.
func (n *network) pod(name, node, app string, token bool) {
	n.t.Helper()
	now, no := int64(0), false
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: n.ns, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{corev1.LabelHostname: node},
			AutomountServiceAccountToken:  &token,
			EnableServiceLinks:            &no,
			TerminationGracePeriodSeconds: &now,
			Containers: []corev1.Container{{Name: "probe", Image: probeImage, ImagePullPolicy: corev1.PullNever, ReadinessProbe: &corev1.Probe{
				PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8080)}},
			}}},
		},
	}
	if err := api.Create(n.t.Context(), p); err != nil {
		n.t.Fatal(err)
	}
}

// expose makes a Service of the Pods called web and far.
func (n *network) expose(name, clusterIP string) *corev1.Service {
	n.t.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: n.ns},
		Spec: corev1.ServiceSpec{
			ClusterIP: clusterIP,
			Selector:  map[string]string{"app": "web"},
			Ports:     []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	if err := api.Create(n.t.Context(), s); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// kubectl asks the API of a kubeconfig: the cluster's here, the local one's on
// the edge node.
func (n *network) kubectl(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig", kubeconfig, "-n", n.ns, "get"}, args...)
	cmd := exec.CommandContext(ctx, bed.Binary("kubectl"), args...)
	if kubeconfig != bed.Kubeconfig() {
		var err error
		if cmd, err = n.e.Command(ctx, append([]string{n.e.Binary("kubectl")}, args...)...); err != nil {
			return "", err
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// endpoints are the addresses that an API has of the Service.
func (n *network) endpoints(ctx context.Context, kubeconfig string) ([]string, error) {
	out, err := n.kubectl(ctx, kubeconfig, "endpointslices", "-l", "kubernetes.io/service-name=web", "-o",
		"jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.addresses[0]} {end}")
	return slices.Compact(strings.Fields(out)), err
}

// sees checks how many endpoints the edge node has.
func (n *network) sees(want int) testcluster.Check {
	return func(ctx context.Context) error {
		got, err := n.endpoints(ctx, etc+"/kube-proxy/kube-proxy.kubeconfig")
		if err != nil || len(got) != want {
			return fmt.Errorf("the edge node's endpoints: %q, want %d, %v", got, want, err)
		}
		return nil
	}
}

// address is that of a Pod of the edge node, as the local API has it; "" if it has
// none.
func (n *network) address(ctx context.Context, pod string) string {
	ip, err := n.kubectl(ctx, etc+"/kubelet/kubelet.kubeconfig", "pod", pod, "-o", "jsonpath={.status.podIP}")
	if err != nil {
		return ""
	}
	return ip
}

// ask has a Pod of the edge node answer.
func (n *network) ask(ctx context.Context, pod, path string, query ...string) (string, error) {
	ip := n.client
	if pod != "client" || ip == "" {
		ip = n.address(ctx, pod)
	}
	return askPod(ctx, n.e, n.probe, ip, 8080, path, query...)
}

// names checks what Pods of the edge node are told of names.
func (n *network) names(ctx context.Context) error {
	web := n.address(ctx, "web")
	for name, want := range map[string]string{
		"web":                                 n.service.Spec.ClusterIP,
		"web." + n.ns:                         n.service.Spec.ClusterIP,
		"web." + n.ns + ".svc.cluster.local.": n.service.Spec.ClusterIP,
		"each":                                web, // headless: the endpoint on this node
		"kubernetes.default.svc":              bed.Network().APIService().String(),
	} {
		if got, err := n.ask(ctx, "client", "/lookup", "name", name); err != nil || got != want {
			return fmt.Errorf("the address of %s is %q, want %q, %v", name, got, want, err)
		}
	}
	if got, err := n.ask(ctx, "client", "/lookup", "name", "none."+n.ns+".svc.cluster.local."); err != nil || !strings.Contains(got, "no such host") {
		return fmt.Errorf("a name that is none: %q, %v", got, err)
	}
	got, err := n.ask(ctx, "client", "/get", "url", "http://web/")
	if err != nil || got != "200 web" {
		return fmt.Errorf("the Service by its name answers %q, %v", got, err)
	}
	return nil
}

// reaches checks that a Pod of the edge node reaches the Service, again and
// again: an endpoint that it does not reach would be chosen half of the time.
func (n *network) reaches(want string, times int) testcluster.Check {
	return func(ctx context.Context) error {
		for range times {
			got, err := n.ask(ctx, "client", "/get", "url", "http://"+n.service.Spec.ClusterIP+"/")
			if err != nil || got != "200 "+want {
				return fmt.Errorf("the Service answers %q, %v", got, err)
			}
		}
		return nil
	}
}

// label gives an object a label, or takes it away with null.
func label(t *testing.T, o client.Object, name, value string) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, name, value))
	if err := api.Patch(context.Background(), o, patch); err != nil {
		t.Error(err)
	}
}
