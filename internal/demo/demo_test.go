package demo

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/terminal"
	"github.com/akri-go/akri/samples"
)

func TestChoose(t *testing.T) {
	dir := &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	index := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	camera := fstest.MapFS{
		"class/video4linux/video0/index": index("0"), "class/video4linux/video1/index": index("1"),
		"class/video4linux/video10/index": index("0"), "class/video4linux/v4l-subdev0": dir,
		"block/zram1": dir, "block/sda": dir,
	}
	plain := fstest.MapFS{"block/zram10": dir, "block/zram9": dir, "block/vda": dir}
	for _, c := range []struct {
		name    string
		sys     fs.FS
		ask     string
		want    string
		devices []string
	}{
		{"camera", camera, "", "webcam", []string{"/dev/video0", "/dev/video10"}},
		{"camera, but zram asked for", camera, "zram", "zram", []string{"/dev/zram1"}},
		{"no camera", plain, "", "zram", []string{"/dev/zram9", "/dev/zram10"}},
		{"nothing", fstest.MapFS{}, "", "zram", nil},
		{"metadata node only", fstest.MapFS{"class/video4linux/video1/index": index("1")}, "", "zram", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Choose(c.sys, c.ask)
			if err != nil || s.Configuration != c.want {
				t.Fatalf("chose %q, error %v", s.Configuration, err)
			}
			if d := cmp.Diff(c.devices, s.Devices(c.sys)); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := Choose(plain, "toaster"); err == nil {
		t.Error("a demo with a toaster")
	}
}

// The manifests exist and make the Configuration that the table looks for.
func TestManifests(t *testing.T) {
	for _, s := range subjects() {
		data, err := samples.Manifest(s.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		var c akri.Configuration
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			t.Fatal(err)
		}
		if c.Name != s.Configuration || c.Namespace != namespace {
			t.Errorf("%s makes %s/%s", s.Manifest, c.Namespace, c.Name)
		}
	}
}

func instance(name, device string, used bool) akri.Instance {
	i := akri.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: akri.InstanceSpec{ConfigurationName: "zram",
		Capacity: 1, Nodes: []string{"n"}, BrokerProperties: map[string]string{"UDEV_DEVNODE": device}}}
	if used {
		i.Spec.DeviceUsage = map[string]string{name + "-0": "n"}
	}
	return i
}

func pod(name, instance string, change func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{akri.LabelInstance: instance}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if change != nil {
		change(&p)
	}
	return p
}

func TestView(t *testing.T) {
	other := instance("other-1", "/dev/zram7", false)
	other.Spec.ConfigurationName = "other"
	rows := view([]string{"/dev/zram2", "/dev/zram10", "/dev/zram3", "/dev/zram11"}, "zram",
		[]akri.Instance{instance("zram-c", "/dev/zram11", true), instance("zram-b", "/dev/zram10", true), instance("zram-a", "/dev/zram2", true), instance("zram-g", "/dev/zram1", false), other},
		[]corev1.Pod{
			pod("a-pod", "zram-a", nil),
			pod("b-pod", "zram-b", func(p *corev1.Pod) {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}}
			}),
			pod("c-pod", "zram-c", func(p *corev1.Pod) { // has crashed, and is to be started again
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}}}}
			}),
			pod("g-pod", "zram-g", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }),
		})
	want := []string{
		"DEVICE       INSTANCE  SLOTS  STATE                    BROKER  NODE",
		"/dev/zram1   zram-g    0/1    Terminating (unplugged)  g-pod   n",
		"/dev/zram2   zram-a    1/1    Running                  a-pod   n",
		"/dev/zram3                    not found yet",
		"/dev/zram10  zram-b    1/1    ErrImagePull             b-pod   n",
		"/dev/zram11  zram-c    1/1    Error                    c-pod   n",
	}
	if d := cmp.Diff(want, table(rows, 0)); d != "" {
		t.Error(d)
	}
	for width, want := range map[int]string{67: "NODE", 66: "BROKER", 61: "BROKER", 60: "STATE", 5: "DEVICE"} {
		if got := strings.Fields(table(rows, width)[0]); got[len(got)-1] != want {
			t.Errorf("%d columns: the last is %s, want %s", width, got[len(got)-1], want)
		}
	}
	if running(rows) {
		t.Error("not all run")
	}
	if !running(rows[1:2]) || running(rows[:1]) || running(rows[2:3]) {
		t.Error("running() is wrong")
	}
	if got := table(nil, 0); !strings.Contains(got[1], "no device") {
		t.Errorf("an empty table: %v", got)
	}
}

// On a small terminal keys and address are visible, however many devices there
// are.
func TestSmallScreen(t *testing.T) {
	head, next := []string{"keys", "page"}, []string{"try this", "or that"}
	rows := make([]row, 100)
	for i := range rows {
		rows[i] = row{device: fmt.Sprintf("/dev/zram%d", i), present: true}
	}
	var out strings.Builder
	s := terminal.Screen{Out: &out}
	s.Draw(layout(head, table(rows, 80), "a note", next, 24), 80, 24)
	for _, want := range []string{"keys", "page", "a note", "DEVICE", "/dev/zram0", "/dev/zram17", "… and 82 more"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the screen lacks %q:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 23 || strings.Contains(out.String(), "/dev/zram18 ") {
		t.Errorf("%d lines", n)
	}
	few := strings.Join(layout(head, table(rows[:3], 80), "", next, 24), "\n")
	if !strings.HasSuffix(few, "\n\ntry this\nor that") || strings.Contains(few, "more") {
		t.Errorf("with few devices:\n%s", few)
	}
}

func TestPageLines(t *testing.T) {
	const page, token = "http://10.208.0.11:30123", "0123456789ABCDEF"
	alone := strings.Join(pageLines(page, token, nil), "\n")
	for _, want := range []string{page + "/#token=" + token, "ssh -L 8080:10.208.0.11:30123", "http://localhost:8080/#token=" + token, "--listen"} {
		if !strings.Contains(alone, want) {
			t.Errorf("%q lacks %q", alone, want)
		}
	}
	for _, line := range append(pageLines(page, token, nil), (&demo{}).nextText()...) {
		if len(line) > 80 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if got := pageLines(page, token, []string{"http://192.0.2.7:8080"}); len(got) != 1 || !strings.Contains(got[0], "http://192.0.2.7:8080/#token="+token) {
		t.Errorf("shared: %q", got)
	}
	machine := []net.IP{net.ParseIP("192.0.2.7"), net.ParseIP("2001:db8::7")}
	for address, want := range map[string][]string{
		"0.0.0.0:8080": {"http://192.0.2.7:8080", "http://[2001:db8::7]:8080"}, "127.0.0.1:80": {"http://127.0.0.1:80"},
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, reachable(a, machine)); d != "" {
			t.Errorf("%s: %s", address, d)
		}
	}
}

func TestShowsBroker(t *testing.T) {
	for _, tt := range []struct{ board, err string }{
		{`{"overview":{},"device/d/zram-1":{"configuration":"zram","users":[{"broker":true,"health":"ready"}]}}`, ""},
		{`{"device/d/zram-1":{"configuration":"zram","users":[{"broker":true,"health":"broken"}]}}`, "no device"},
		{`{"device/d/zram-1":{"configuration":"zram","users":[{"health":"ready"}]}}`, "no device"},
		{`{"device/d/cam-1":{"configuration":"cam","users":[{"broker":true,"health":"ready"}]}}`, "no device"},
		{`this needs the token`, "read the board"},
	} {
		if err := showsBroker(tt.board, "zram"); fmt.Sprint(err) != "<nil>" && tt.err == "" || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v", tt.board, err)
		}
	}
}

// Others see the page as a stream.
func TestProxy(t *testing.T) {
	more := make(chan struct{})
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "first of %s\n", r.URL.Path)
		w.(http.Flusher).Flush()
		<-more
		fmt.Fprintln(w, "second")
	}))
	defer page.Close()
	target, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	shared := httptest.NewServer(proxyTo(target))
	defer shared.Close()
	resp, err := http.Get(shared.URL + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if first, err := lines.ReadString('\n'); err != nil || first != "first of /api/events\n" {
		t.Errorf("%q, %v", first, err)
	}
	close(more)
	if second, err := lines.ReadString('\n'); err != nil || second != "second\n" {
		t.Errorf("%q, %v", second, err)
	}
}

// The demo changes and removes only what a demo has made.
func TestApplyLeavesWhatIsOthers(t *testing.T) {
	manifest := []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs, namespace: default}\ndata: {a: demo}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: earlier, namespace: default}\ndata: {a: demo}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: default}\ndata: {a: demo}\n")
	object := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{"a": "before"}}
	}
	api := fake.NewClientBuilder().WithReturnManagedFields().Build()
	for name, manager := range map[string]string{"theirs": "kubectl", "earlier": string(fieldOwner)} {
		if err := api.Create(t.Context(), object(name), client.FieldOwner(manager)); err != nil {
			t.Fatal(err)
		}
	}
	d := &demo{Options: Options{Out: io.Discard}, api: api}
	if err := d.apply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	data := func() map[string]string {
		var list corev1.ConfigMapList
		if err := api.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, c := range list.Items {
			out[c.Name] = c.Data["a"]
		}
		return out
	}
	if diff := cmp.Diff(map[string]string{"theirs": "before", "earlier": "demo", "new": "demo"}, data()); diff != "" {
		t.Errorf("after the demo's start: %s", diff)
	}
	if err := remove(t.Context(), api, d.objects); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"theirs": "before", "earlier": "demo"}, data()); diff != "" {
		t.Errorf("after its end: %s", diff)
	}
}

// Errors in --listen are found before anything is built.
func TestListenIsTriedFirst(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, address := range []string{"8080", ":99999", taken.Addr().String()} {
		var out strings.Builder
		err := Run(t.Context(), Options{Dir: t.TempDir(), Subject: "zram", Listen: address, Out: &out, Sys: fstest.MapFS{"class/zram-control/hot_add": {}}})
		if err == nil || !strings.Contains(err.Error(), "write :8080") || out.Len() > 0 {
			t.Errorf("--listen %s: %v, after saying %q", address, err, out.String())
		}
	}
}
