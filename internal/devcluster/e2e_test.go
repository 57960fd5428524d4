//go:build e2e

package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/cell/celltest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/poll"
)

// TestCluster takes one cluster of two nodes through its life.
func TestCluster(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() {
		if err := Down(context.Background(), dir, nil); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	up := func() *Cluster {
		t.Helper()
		c, err := Up(ctx, Options{Dir: dir, Nodes: 2, Progress: os.Stderr, Install: true})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := up()
	if err := c.LoadImages(ctx, buildProbe(t)); err != nil {
		t.Fatal(err)
	}
	client, err := c.Clientset()
	if err != nil {
		t.Fatal(err)
	}
	web := startProbe(t, client, "web", 1)
	other := startProbe(t, client, "other", 2)
	svc := exposeProbe(t, client, "web")
	n := c.Network()

	t.Run("the machine reaches Pods, Services and NodePorts", func(t *testing.T) {
		for _, addr := range []string{
			web.Status.PodIP + ":8080",
			other.Status.PodIP + ":8080",
			svc.Spec.ClusterIP + ":80",
			fmt.Sprintf("%s:%d", n.Node(1), svc.Spec.Ports[0].NodePort),
			fmt.Sprintf("%s:%d", n.Node(2), svc.Spec.Ports[0].NodePort),
		} {
			want := "web"
			if strings.HasPrefix(addr, other.Status.PodIP) {
				want = "other"
			}
			wantAnswer(t, "http://"+addr+"/", want)
		}
	})
	// All from node 2, so that what is on node 1 is reached across nodes. other
	// is looked at again after its node had no power: a node without memory of
	// its Pods' addresses gives them out in any order.
	ask := func(path string, query ...string) string {
		v := url.Values{}
		for i := 0; i+1 < len(query); i += 2 {
			v.Set(query[i], query[i+1])
		}
		return "http://" + other.Status.PodIP + ":8080" + path + "?" + v.Encode()
	}
	t.Run("Pods reach each other and Services by name", func(t *testing.T) {
		wantAnswer(t, ask("/lookup", "name", "web"), svc.Spec.ClusterIP)
		wantAnswer(t, ask("/get", "url", "http://web/"), "200 web")
		wantAnswer(t, ask("/get", "url", "http://web.default.svc.cluster.local/"), "200 web")
		wantAnswer(t, ask("/get", "url", "http://"+web.Status.PodIP+":8080/"), "200 web")
	})
	t.Run("Pods reach the API server at its in-cluster address", func(t *testing.T) {
		wantAnswer(t, ask("/lookup", "name", "kubernetes.default.svc"), n.APIService().String())
		wantPrefix(t, ask("/api", "path", "/version"), "200 ")
		// Authenticated, but without a role.
		wantPrefix(t, ask("/api", "path", "/api/v1/nodes"), "403 ")
	})
	t.Run("kubectl logs and exec", func(t *testing.T) {
		for _, args := range [][]string{{"logs", "other"}, {"exec", "other", "--", "/probe", "-h"}} {
			kubectl := exec.CommandContext(ctx, c.Binary("kubectl"), args...)
			kubectl.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
			kubectl.WaitDelay = time.Minute
			if args[0] == "exec" {
				// A second server cannot listen and says so: it ran in the Pod.
				out, _ := kubectl.CombinedOutput()
				if !strings.Contains(string(out), "address already in use") {
					t.Errorf("kubectl exec: %s", out)
				}
				continue
			}
			if out, err := kubectl.CombinedOutput(); err != nil || !strings.Contains(string(out), "probe serves") {
				t.Errorf("kubectl logs: %v: %s", err, out)
			}
		}
	})
	t.Run("commands on a node find its programs", func(t *testing.T) {
		cmd, err := c.CommandOn(ctx, NodeName(2), "sh", "-c", "hostname; exec kubelet --version")
		if err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), nodeCell(2)+"\nKubernetes v") {
			t.Errorf("%v: %s", err, out)
		}
		if _, err := c.CommandOn(ctx, "nobody", "true"); err == nil || !strings.Contains(err.Error(), NodeName(1)) {
			t.Errorf("on a node that is not there: %v", err)
		}
	})
	t.Run("a plugged device reaches nodes and Pods", func(t *testing.T) {
		if !exists("/sys/class/zram-control") {
			t.Skip("this kernel has no zram")
		}
		name, err := c.Plug(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for node := 1; node <= 2; node++ {
			if _, err := c.Exec(ctx, node, "test", "-b", "/dev/"+name); err != nil {
				t.Error(err)
			}
		}
		waitLog(t, client, "other", "uevent add@/devices/virtual/block/"+name)
		if _, err := c.Unplug(ctx, name); err != nil {
			t.Fatal(err)
		}
		waitLog(t, client, "other", "uevent remove@/devices/virtual/block/"+name)
	})
	t.Run("a command on a node ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cmd, err := c.Command(ctx, 1, "sh", "-c", "echo $$; exec sleep 600")
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var inner int
		if _, err := fmt.Fscan(out, &inner); err != nil {
			t.Fatal(err)
		}
		pid, err := c.cell(nodeCell(1)).HostPID(inner)
		if err != nil {
			t.Fatal(err)
		}
		p, err := cell.Identify(pid)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = cmd.Wait()
		err = poll.Until(deadline(t), "the command ends", 10*time.Millisecond, func(context.Context) error {
			if p.Alive() {
				return errors.New("it runs")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("a chart is installed, upgraded and removed", func(t *testing.T) { testChart(t, c, client) })
	t.Run("up again changes nothing", func(t *testing.T) {
		before := pids(c.Status(ctx))
		up()
		if after := pids(c.Status(ctx)); after != before {
			t.Errorf("processes before:\n%s\nafter:\n%s", before, after)
		}
	})
	t.Run("Pods outlive the kubelet and the API server", func(t *testing.T) {
		if err := c.RestartKubelet(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if err := c.StopAPIServer(ctx); err != nil {
			t.Fatal(err)
		}
		if st := c.Status(ctx); st.API == "ready" || st.Healthy() {
			t.Error("the status of a cluster without API server is healthy")
		}
		wantAnswer(t, ask("/get", "url", "http://web/"), "200 web")
		if err := c.StartAPIServer(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitNodesReady(ctx); err != nil {
			t.Fatal(err)
		}
		now := waitProbe(t, client, "web")
		if got, want := now.Status.ContainerStatuses[0].ContainerID, web.Status.ContainerStatuses[0].ContainerID; got != want {
			t.Errorf("container %s, before %s", got, want)
		}
	})
	t.Run("etcd is compacted, and goes back to a backup", func(t *testing.T) { testEtcd(t, c, client) })
	t.Run("the node's socket is reachable from the machine", func(t *testing.T) {
		path, err := c.NodePath(1, "/var/lib/kubelet/pod-resources/kubelet.sock")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Type() != os.ModeSocket {
			t.Errorf("%v: %v", info, err)
		}
	})
	t.Run("a node that lost its power comes back", func(t *testing.T) { testPower(t, c, client) })
	other = waitProbe(t, client, "other")
	t.Run("cells that lost their power come back", func(t *testing.T) {
		pinNeighbours(t, c, 2)
		for _, name := range []string{controlCell, nodeCell(1)} {
			// The kernel removes a network namespace when it comes to it; here
			// it never does, and the links to it stay.
			net, err := os.Open(filepath.Join("/run/netns", n.NetNS(name)))
			if err != nil {
				t.Fatal(err)
			}
			defer net.Close()
			h, err := c.cell(name).Holder()
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Signal(ctx, unix.SIGKILL, true); err != nil {
				t.Fatal(err)
			}
		}
		up()
		err := poll.Until(deadline(t), "the Pod runs again", 200*time.Millisecond, func(ctx context.Context) error {
			pod, err := client.CoreV1().Pods("default").Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if pod.Status.ContainerStatuses[0].ContainerID == web.Status.ContainerStatuses[0].ContainerID || !podReady(pod) {
				return fmt.Errorf("container %s, %s", pod.Status.ContainerStatuses[0].ContainerID, pod.Status.Phase)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, ask("/get", "url", "http://web/"), "200 web")
	})
	t.Run("down leaves nothing", func(t *testing.T) {
		if exists("/sys/class/zram-control") {
			if _, err := c.Plug(ctx); err != nil {
				t.Fatal(err)
			}
		}
		name, _ := c.Plugged()
		remains := celltest.Remains(t, c.lab())
		if err := Down(ctx, dir, os.Stderr); err != nil {
			t.Fatal(err)
		}
		remains()
		for _, d := range name {
			if exists("/sys/block/" + d) {
				t.Errorf("device %s is left", d)
			}
		}
		if err := Down(ctx, dir, nil); err != nil {
			t.Errorf("second down: %v", err)
		}
		if _, err := Open(dir); !errors.Is(err, ErrNoCluster) {
			t.Errorf("open: %v", err)
		}
	})
}

// testPower cuts a node's power and restores it.
func testPower(t *testing.T, c *Cluster, client kubernetes.Interface) {
	ctx := t.Context()
	before := waitProbe(t, client, "other")
	page := "http://" + before.Status.PodIP + ":8080/"
	pinNeighbours(t, c, 1)
	for range 2 { // stopped twice is stopped
		if err := c.StopNode(ctx, 2); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.Status(ctx).Components {
		if p.Running == (p.Cell == nodeCell(2)) {
			t.Errorf("%s of %s: running is %v", p.Name, p.Cell, p.Running)
		}
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := httpOK(short, page); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a node without power answers: %v", err)
	}
	if err := c.StartNode(ctx, 2); err != nil {
		t.Fatal(err)
	}
	err := poll.Until(deadline(t), "the Pod runs again", 200*time.Millisecond, func(ctx context.Context) error {
		pod, err := client.CoreV1().Pods("default").Get(ctx, "other", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if id := pod.Status.ContainerStatuses[0].ContainerID; id == before.Status.ContainerStatuses[0].ContainerID || !podReady(pod) {
			return fmt.Errorf("container %s, %s", id, pod.Status.Phase)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	now := waitProbe(t, client, "other")
	wantAnswer(t, "http://"+now.Status.PodIP+":8080/", "other")
	// Routes between the nodes are back too.
	wantAnswer(t, "http://"+waitProbe(t, client, "web").Status.PodIP+":8080/get?"+
		url.Values{"url": {"http://" + now.Status.PodIP + ":8080/"}}.Encode(), "200 other")
	if err := c.StopNode(ctx, 3); err == nil {
		t.Error("a node that is not there was stopped")
	}
}

// testChart takes a small chart with a CRD and a Pod through its life.
func testChart(t *testing.T, c *Cluster, client kubernetes.Interface) {
	ctx, chart := t.Context(), t.TempDir()
	const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.test.akri.sh}
spec:
  group: test.akri.sh
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, description: %s}}}
`
	write := func(name, text string) {
		t.Helper()
		if err := atomicfile.Write(filepath.Join(chart, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Chart.yaml", "apiVersion: v2\nname: small\nversion: 0.1.0\n")
	write("values.yaml", "word: none\n")
	write("templates/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\ndata: {word: {{ .Values.word | quote }}}\n")
	write("templates/pod.yaml", `apiVersion: v1
kind: Pod
metadata: {name: small}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: probe, image: "`+probeImage+`", imagePullPolicy: Never, readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}}
`)
	// A namespace that Helm makes has no account for the Pod for a moment.
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "charts"}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := poll.Until(deadline(t), "the namespace has its account", 50*time.Millisecond, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(ns.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"first", "second"} {
		write("crds/thing.yaml", fmt.Sprintf(crd, word))
		opts := helm.InstallOptions{ChartDir: chart, Release: "small", Namespace: "charts", Values: map[string]any{"word": word}, Wait: eventually.Patience}
		if err := c.InstallChart(ctx, opts); err != nil {
			t.Fatal(err)
		}
		cm, err := client.CoreV1().ConfigMaps("charts").Get(ctx, "small", metav1.GetOptions{})
		if err != nil || cm.Data["word"] != word {
			t.Errorf("%s: %v, %v", word, cm.Data, err)
		}
		pod, err := client.CoreV1().Pods("charts").Get(ctx, "small", metav1.GetOptions{})
		if err != nil || !podReady(pod) {
			t.Errorf("%s: the Pod is not ready: %v", word, err)
		}
		// Helm installs CRDs and leaves them alone ever after.
		raw, err := client.Discovery().RESTClient().Get().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.test.akri.sh").DoRaw(ctx)
		if err != nil || !strings.Contains(string(raw), `"description":"first`) {
			t.Errorf("%s: CRD: %v", word, err)
		}
	}
	gone := helm.UninstallOptions{Release: "small", Namespace: "charts"}
	if err := c.Uninstall(ctx, gone); err != nil {
		t.Fatal(err)
	}
	// Helm waits, but takes for gone what its watch has not seen yet.
	err = poll.Until(deadline(t), "the Pod is gone", 50*time.Millisecond, func(ctx context.Context) error {
		_, err := client.CoreV1().Pods("charts").Get(ctx, "small", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Pod is left: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := c.Uninstall(ctx, gone); err != nil {
		t.Errorf("second uninstall: %v", err)
	}
}

func testEtcd(t *testing.T, c *Cluster, client kubernetes.Interface) {
	ctx := deadline(t)
	maps := client.CoreV1().ConfigMaps("default")
	make := func(name string) *corev1.ConfigMap {
		t.Helper()
		m, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	old := make("older")
	backup := filepath.Join(t.TempDir(), "backup")
	if err := c.BackupEtcd(ctx, backup); err != nil {
		t.Fatal(err)
	}
	younger := make("younger")
	if err := maps.Delete(ctx, "older", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CompactEtcd(ctx); err != nil {
		t.Fatal(err)
	}
	err := c.askEtcd(ctx, "/v3/kv/range", map[string]any{"key": firstKey, "revision": younger.ResourceVersion}, nil)
	if err == nil || !strings.Contains(err.Error(), "compacted") {
		t.Errorf("a version from before the compaction: %v", err)
	}
	if err := c.RestoreEtcd(ctx, backup); err != nil {
		t.Fatal(err)
	}
	if m, err := maps.Get(ctx, "older", metav1.GetOptions{}); err != nil || m.UID != old.UID {
		t.Errorf("what the backup has: %v, %v", m, err)
	}
	if _, err := maps.Get(ctx, "younger", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what the backup does not have: %v", err)
	}
	if err := c.WaitNodesReady(ctx); err != nil {
		t.Error(err)
	}
}
