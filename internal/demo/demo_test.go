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
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/terminal"
	"github.com/akri-go/akri/samples"
)

func TestChoose(t *testing.T) {
	for ask, want := range map[string]string{"": "zram", "zram": "zram", "webcam": "webcam"} {
		if s, err := Choose(ask); err != nil || s.Configuration != want {
			t.Errorf("%q: chose %q, error %v", ask, s.Configuration, err)
		}
	}
	if _, err := Choose("toaster"); err == nil {
		t.Error("a demo with a toaster")
	}
}

func TestDevices(t *testing.T) {
	dir := &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	index := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	camera := fstest.MapFS{
		"class/video4linux/video0/index": index("0"), "class/video4linux/video1/index": index("1"),
		"class/video4linux/video10/index": index("0"), "class/video4linux/v4l-subdev0": dir,
		"block/zram1": dir, "block/sda": dir,
	}
	plain := fstest.MapFS{"block/zram10": dir, "block/zram9": dir, "block/vda": dir}
	metadata := fstest.MapFS{"class/video4linux/video1/index": index("1")}
	for _, c := range []struct {
		name, subject string
		sys           fs.FS
		devices       []string
		pictures      string // of which Configuration
	}{
		{"cameras", "webcam", camera, []string{"/dev/video0", "/dev/video10"}, "ip-camera"},
		{"cameras beside zram", "zram", camera, []string{"/dev/zram1"}, "akri-udev-video"},
		{"no camera", "zram", plain, []string{"/dev/zram9", "/dev/zram10"}, "ip-camera"},
		{"nothing", "zram", fstest.MapFS{}, nil, "ip-camera"},
		{"metadata node only", "webcam", metadata, nil, "ip-camera"},
		{"metadata node only", "zram", metadata, nil, "ip-camera"},
	} {
		t.Run(c.name+"/"+c.subject, func(t *testing.T) {
			s, err := Choose(c.subject)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.devices, s.Devices(c.sys)); d != "" {
				t.Error(d)
			}
			if p := choosePictures(c.sys, s); p.Configuration != c.pictures || p.Simulated != (c.pictures == "ip-camera") {
				t.Errorf("pictures of %s, simulated %v, want %s", p.Configuration, p.Simulated, c.pictures)
			}
		})
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

// The handlers of the chart's DaemonSets, which have one, several, or the agent.
func TestRunsHandler(t *testing.T) {
	set := func(name string, args ...string) appsv1.DaemonSet {
		s := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
		s.Spec.Template.Spec.Containers = []corev1.Container{{Args: args}}
		return s
	}
	for _, c := range []struct {
		set  appsv1.DaemonSet
		want string
	}{
		{set("akri-udev-discovery-daemonset", "udev"), "udev"},
		{set("akri-udev-onvif-discovery-daemonset", "udev", "onvif"), "udev onvif"},
		{set("akri-agent-daemonset", "--builtin=udev,onvif,opcua"), "udev onvif"},
		{set("akri-agent-daemonset", "--host-root=/host"), ""},
		{set("udev-discovery-daemonset"), ""},
		{set("akri-udev"), ""},
	} {
		var got []string
		for _, name := range []string{"udev", "onvif"} {
			if runsHandler(c.set, name) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %v: %v, want %q", c.set.Name, c.set.Spec.Template.Spec.Containers[0].Args, got, c.want)
		}
	}
}

func TestNextPort(t *testing.T) {
	for address, want := range map[string]string{"": "", ":8080": ":8081", "127.0.0.1:80": "127.0.0.1:81", "[::1]:0": "[::1]:0"} {
		if got, err := nextPort(address); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", address, got, err, want)
		}
	}
	for _, address := range []string{"8080", ":65535", ":http"} {
		if got, err := nextPort(address); err == nil {
			t.Errorf("%q: %q, want an error", address, got)
		}
	}
}

// The pictures' manifests are among the samples, and the application's names the
// Configuration that is replaced.
func TestPicturesManifests(t *testing.T) {
	app, err := samples.Manifest(streamingManifest)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(app), "value: "+inManifest); n != 1 {
		t.Errorf("%s names %s %d times", streamingManifest, inManifest, n)
	}
	for _, p := range []pictures{choosePictures(fstest.MapFS{}, Subject{}),
		choosePictures(fstest.MapFS{"class/video4linux/video0/index": {Data: []byte("0")}}, Subject{})} {
		data, err := samples.Manifest(p.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		var c akri.Configuration
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			t.Fatal(err)
		}
		if c.Name != p.Configuration || c.Namespace != namespace {
			t.Errorf("%s makes %s/%s, want %s", p.Manifest, c.Namespace, c.Name, p.Configuration)
		}
	}
}

// What the demo's manifests run is loaded, and cloudcore is not.
func TestNeeded(t *testing.T) {
	for _, p := range []pictures{{Simulated: true, Manifest: "configurations/ip-camera.yaml"}, {Manifest: "configurations/usb-camera.yaml"}} {
		var names []string
		for _, i := range p.needed(images.All()) {
			names = append(names, i.Name)
		}
		for _, manifest := range []string{p.Manifest, streamingManifest, "configurations/zram.yaml"} {
			data, err := samples.Manifest(manifest)
			if err != nil {
				t.Fatal(err)
			}
			found := regexp.MustCompile(`image: ghcr.io/akri-go/akri/([a-z-]+):`).FindAllStringSubmatch(string(data), -1)
			for _, m := range found {
				if !slices.Contains(names, m[1]) {
					t.Errorf("%s needs %s, and it is not loaded: %v", manifest, m[1], names)
				}
			}
			if len(found) == 0 {
				t.Errorf("%s has no image", manifest)
			}
		}
		if slices.Contains(names, "cloudcore") {
			t.Error("cloudcore is loaded")
		}
	}
}

// Without simulated cameras their keys say so.
func TestCameraKeys(t *testing.T) {
	d := &demo{}
	for _, key := range []byte("cx") {
		if quit, note := d.heed(t.Context(), key); quit || !strings.Contains(note, "by hand") {
			t.Errorf("%c: %v, %q", key, quit, note)
		}
	}
	if err := d.endPictures(); err != nil {
		t.Error(err)
	}
}
