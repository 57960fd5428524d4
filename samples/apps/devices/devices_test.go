package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	akri "github.com/akri-go/akri/api/v0"
)

func meta(name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

func instance(name, node string) akri.Instance {
	return akri.Instance{ObjectMeta: meta(name), Spec: akri.InstanceSpec{ConfigurationName: "c", Capacity: 2, Nodes: []string{"n1"},
		BrokerProperties: map[string]string{"UDEV_DEVNODE": node}, DeviceUsage: map[string]string{name + "-0": "n1", name + "-1": ""}}}
}

func example() lists {
	pod := corev1.Pod{ObjectMeta: meta("c-1-pod", akri.LabelInstance, "c-1"), Spec: corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	ending := *pod.DeepCopy()
	ending.Name, ending.DeletionTimestamp = "c-0-pod", &metav1.Time{Time: time.Unix(1, 0)}
	return lists{
		configurations: akri.ConfigurationList{Items: []akri.Configuration{{ObjectMeta: meta("c"), Spec: akri.ConfigurationSpec{DiscoveryHandler: akri.DiscoveryHandlerInfo{Name: "udev"}},
			Status: akri.ConfigurationStatus{Nodes: []akri.ConfigurationNode{{Name: "n1", State: akri.DiscoveryActive}}}}}},
		instances: akri.InstanceList{Items: []akri.Instance{instance("c-2", "/dev/zram10"), instance("c-1", "/dev/zram9")}},
		pods:      corev1.PodList{Items: []corev1.Pod{pod, ending}},
		services: corev1.ServiceList{Items: []corev1.Service{
			{ObjectMeta: meta("c-1-svc", akri.LabelInstance, "c-1"), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Port: 80}}}},
			{ObjectMeta: meta("c-svc", akri.LabelConfiguration, "c"), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.2", Ports: []corev1.ServicePort{{Port: 80}}}},
			{ObjectMeta: meta("c-2-svc", akri.LabelInstance, "c-2"), Spec: corev1.ServiceSpec{ClusterIP: "None", Ports: []corev1.ServicePort{{Port: 80}}}},
		}},
	}
}

func TestAssemble(t *testing.T) {
	l := example()
	properties := func(node string) map[string]string { return map[string]string{"UDEV_DEVNODE": node} }
	want := State{Configurations: []Configuration{{Namespace: "ns", Name: "c", Handler: "udev", Nodes: []Node{{Name: "n1", State: "Active"}}, Instances: []Instance{
		{Name: "c-1", Device: "/dev/zram9", Nodes: []string{"n1"}, Properties: properties("/dev/zram9"), Capacity: 2, Used: 1,
			Brokers: []Broker{{Pod: "c-0-pod", Node: "n1", Phase: "Terminating"}, {Pod: "c-1-pod", Node: "n1", Phase: "Running"}}},
		{Name: "c-2", Device: "/dev/zram10", Nodes: []string{"n1"}, Properties: properties("/dev/zram10"), Capacity: 2, Used: 1},
	}}}}
	if d := cmp.Diff(want, assemble(l)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"ns/c-1": "10.0.0.1:80"}, serviceAddresses(l.services)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(State{Configurations: []Configuration{}}, assemble(lists{})); d != "" {
		t.Errorf("an empty cluster must give empty lists: %s", d)
	}
}

// What is not well is said: a broker that runs by its phase and crashes all the
// time, an agent that does not respond.
func TestProblems(t *testing.T) {
	l := example()
	l.pods.Items[0].Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
	bad := []metav1.Condition{{Type: "Online", Status: "Unknown", Reason: "AgentNotResponding", Message: "n1"}, {Type: "Fine", Status: "True"}}
	l.instances.Items[1].Status.Conditions, l.configurations.Items[0].Status.Conditions = bad, bad
	c := assemble(l).Configurations[0]
	want := []string{"Online unknown, AgentNotResponding: n1"}
	if d := cmp.Diff(want, c.Problems); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, c.Instances[0].Problems); d != "" {
		t.Error(d)
	}
	l.configurations.Items[0].Status.Conditions = []metav1.Condition{{Type: "Discovering", Status: "True", Message: "a handler answers on 1 of 3 nodes, no agent responds on n0, n1"}}
	if n := assemble(l).Configurations[0].Nodes[0]; n.State != "Silent" || n.Message == "" {
		t.Errorf("a node whose agent does not respond is %+v", n)
	}
	if b := c.Instances[0].Brokers[1]; b.Phase != "CrashLoopBackOff" || !b.Broken {
		t.Errorf("the broker is %+v", b)
	}
	l.pods.Items[0].Status.Phase = corev1.PodRunning
	l.pods.Items[0].Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "OOMKilled"}}
	if b := assemble(l).Configurations[0].Instances[0].Brokers[1]; b.Phase != "OOMKilled" || !b.Broken {
		t.Errorf("between two crashes the broker is %+v", b)
	}
}

// fakeAPI stands for the API server: it has the lists of example.
func fakeAPI(t *testing.T) *kube {
	l := example()
	mux := http.NewServeMux()
	for path, list := range map[string]any{
		"/apis/akri.sh/v0/configurations": l.configurations, "/apis/akri.sh/v0/instances": l.instances,
		"/api/v1/pods": l.pods, "/api/v1/services": l.services,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer tok" {
				http.Error(w, "who are you", http.StatusUnauthorized)
				return
			}
			json.NewEncoder(w).Encode(list)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &kube{base: server.URL, token: func() (string, error) { return "tok", nil }, client: server.Client()}
}

func TestLook(t *testing.T) {
	api := fakeAPI(t)
	var asked atomic.Int32
	s := look(t.Context(), api, func(ctx context.Context, address string) (json.RawMessage, error) {
		asked.Add(1)
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a broker may take for ever")
		}
		return json.RawMessage(fmt.Sprintf("%q", address)), nil
	})
	if s.Error != "" || asked.Load() != 1 {
		t.Fatalf("error %q, %d brokers asked; one has a Service and runs", s.Error, asked.Load())
	}
	if got := string(s.Configurations[0].Instances[0].Answer); got != `"10.0.0.1:80"` {
		t.Errorf("answer %s", got)
	}
	api.token = func() (string, error) { return "other", nil }
	if s := look(t.Context(), api, nil); !strings.Contains(s.Error, "401") {
		t.Errorf("error %q", s.Error)
	}
}

func TestAskBroker(t *testing.T) {
	for body, good := range map[string]bool{`{"devices":[]}`: true, `hello`: false, strings.Repeat(" ", 70_000) + `{}`: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		_, err := askBroker(t.Context(), strings.TrimPrefix(server.URL, "http://"))
		server.Close()
		if (err == nil) != good {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}

// A viewer gets the state, then what changes; without viewers nobody looks.
func TestFeed(t *testing.T) {
	var text atomic.Value
	text.Store("one")
	f := newFeed(func(context.Context) State { return State{Error: text.Load().(string)} }, time.Millisecond)
	server := httptest.NewServer(handler(f))
	defer server.Close()
	events := func(ctx context.Context) *bufio.Scanner {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/events", nil)
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return bufio.NewScanner(resp.Body)
	}
	next := func(s *bufio.Scanner) string {
		for s.Scan() {
			if line, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				return line
			}
		}
		t.Fatal(s.Err())
		return ""
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := events(ctx), events(ctx)
	for _, s := range []*bufio.Scanner{first, second} {
		if line := next(s); !strings.Contains(line, "one") {
			t.Errorf("first event %q", line)
		}
	}
	text.Store("two")
	for _, s := range []*bufio.Scanner{first, second} {
		if line := next(s); !strings.Contains(line, "two") {
			t.Errorf("second event %q", line)
		}
	}
	cancel()
	deadline := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		idle := f.stop == nil && len(f.viewers) == 0
		f.mu.Unlock()
		if idle {
			break
		}
		select {
		case <-deadline:
			t.Fatal("it still looks after its viewers have left")
		case <-time.After(time.Millisecond):
		}
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel() // before the server closes, which waits for its viewers
	if line := next(events(ctx)); !strings.Contains(line, "two") {
		t.Errorf("a later viewer gets %q", line)
	}
}

func TestTooManyViewers(t *testing.T) {
	f := newFeed(func(context.Context) State { return State{} }, time.Hour)
	for range maxViewers {
		changed, ok := f.join()
		if !ok {
			t.Fatal("refused too early")
		}
		defer f.leave(changed)
	}
	w := httptest.NewRecorder()
	handler(f).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/events", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

func TestPage(t *testing.T) {
	h := handler(newFeed(nil, time.Hour))
	for path, want := range map[string]string{"/": "Akri</span> Demo", "/page.js": "EventSource", "/healthz": "ok"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if strings.Contains(string(page)+string(script), "https://") {
		t.Error("the page asks for something from the network")
	}
}
