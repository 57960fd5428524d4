//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The chart's dashboard, as a person reaches it: its feed follows a device from the
// plug to its broker and back, and it says why one is not there. No Pod and no node
// reaches it but through the API server.
func TestDashboard(t *testing.T) {
	address := forward(t, releaseNamespace, "deployment/akri-dashboard", 8080)
	ns := namespace(t)
	c := udevConfiguration(ns, "e2e-dash", `SUBSYSTEM=="block", KERNEL=="zram*"`)
	c.Spec.BrokerSpec = brokerPod(t)
	create(t, c)
	feed := follow(t, address)
	device := plug(t)
	began := time.Now()
	feed.until("the device and its broker", func(board map[string]entry) bool {
		for key, e := range board {
			if strings.HasPrefix(key, "device/"+ns+"/") && e.Label == "/dev/"+device && e.State == "online" && e.Held == 1 &&
				len(e.Users) == 1 && e.Users[0].Broker && e.Users[0].Health == "ready" {
				return true
			}
		}
		return false
	})
	t.Logf("%v from the plug to its broker on the dashboard", time.Since(began))
	ask := func(name string, words ...string) {
		t.Helper()
		resp, err := http.Get(address + "/api/explain?kind=Device&name=" + url.QueryEscape(name))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(body), w) {
				t.Errorf("of %s it says\n%s\nwithout %s", name, body, w)
			}
		}
	}
	ask("/dev/"+device, "is well", "by Pod "+ns+"/")
	ask("/dev/no-such-device", "DeviceNotFound", "--rule-help /dev/no-such-device")
	unplug(t, device)
	feed.until("it has gone", func(board map[string]entry) bool {
		for key, e := range board {
			if strings.HasPrefix(key, "device/"+ns+"/") && e.Label == "/dev/"+device {
				return false
			}
		}
		return true
	})

	var pods corev1.PodList
	if err := api.List(t.Context(), &pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": "akri-dashboard"}); err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d Pods, %v", len(pods.Items), err)
	}
	pod := pods.Items[0]
	if conn, err := net.DialTimeout("tcp", net.JoinHostPort(pod.Status.PodIP, "8080"), time.Second); err == nil {
		conn.Close()
		t.Error("the node reaches it")
	}
	if restarts := pod.Status.ContainerStatuses[0].RestartCount; restarts > 0 {
		t.Errorf("it was restarted %d times", restarts)
	}
}

// forward forwards a port with kubectl, as people do.
func forward(t *testing.T, namespace, to string, port int) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, cluster.Binary("kubectl"), "--kubeconfig", cluster.Kubeconfig(), "-n", namespace, "port-forward", to, fmt.Sprintf(":%d", port))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	m := regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) ->`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("kubectl port-forward says %q, %v", line, err)
	}
	go io.Copy(io.Discard, out) // it says each connection
	return "http://" + m[1]
}

// entry is what the test reads of the board.
type entry struct {
	Label string
	State string
	Held  int
	Users []struct {
		Broker bool
		Health string
	}
}

// dashboardFeed is what a browser has of the board.
type dashboardFeed struct {
	t     *testing.T
	in    *bufio.Reader
	close func()
	board map[string]entry
}

func follow(t *testing.T, address string) *dashboardFeed {
	t.Helper()
	resp, err := http.Get(address + "/api/live")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return &dashboardFeed{t, bufio.NewReader(resp.Body), func() { resp.Body.Close() }, map[string]entry{}}
}

// until reads the feed until the board is as it should be.
func (f *dashboardFeed) until(what string, is func(map[string]entry) bool) {
	f.t.Helper()
	timer := time.AfterFunc(waitTimeout, f.close)
	defer timer.Stop()
	for !is(f.board) {
		line, err := f.in.ReadString('\n')
		if err != nil {
			f.t.Fatalf("%s: %v; the board: %+v", what, err, f.board)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var m struct {
			All  bool
			Set  map[string]json.RawMessage
			Gone []string
		}
		err = json.Unmarshal([]byte(data), &m)
		if m.All {
			f.board = map[string]entry{}
		}
		for key, value := range m.Set {
			var e entry
			if strings.HasPrefix(key, "device/") {
				err = errors.Join(err, json.Unmarshal(value, &e))
			}
			f.board[key] = e
		}
		for _, key := range m.Gone {
			delete(f.board, key)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}
