package demo

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
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

// The manifests are there and make the Configuration that the table looks for.
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
	data, err := samples.Manifest("apps/devices/devices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := objects(data)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, u := range list {
		kinds = append(kinds, u.GetKind())
	}
	if want := []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment", "Service"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v", kinds)
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
	rows := view([]string{"/dev/zram2", "/dev/zram10", "/dev/zram3"}, "zram",
		[]akri.Instance{instance("zram-b", "/dev/zram10", true), instance("zram-a", "/dev/zram2", true), instance("zram-g", "/dev/zram1", false), other},
		[]corev1.Pod{
			pod("a-pod", "zram-a", nil),
			pod("b-pod", "zram-b", func(p *corev1.Pod) {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}}
			}),
			pod("g-pod", "zram-g", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }),
		})
	want := []string{
		"DEVICE       INSTANCE  NODE  SLOTS  BROKER  STATE",
		"/dev/zram1   zram-g    n     0/1    g-pod   Terminating (unplugged)",
		"/dev/zram2   zram-a    n     1/1    a-pod   Running",
		"/dev/zram3                                  not found yet",
		"/dev/zram10  zram-b    n     1/1    b-pod   ErrImagePull",
	}
	if d := cmp.Diff(want, table(rows)); d != "" {
		t.Error(d)
	}
	if running(rows) {
		t.Error("not all run")
	}
	if !running(rows[1:2]) || running(rows[:1]) || running(rows[2:3]) {
		t.Error("running() is wrong")
	}
	if got := table(nil); !strings.Contains(got[1], "no device") {
		t.Errorf("an empty table: %v", got)
	}
}

func TestScreen(t *testing.T) {
	var out strings.Builder
	s := screen{out: &out}
	s.leave()
	if out.Len() > 0 {
		t.Errorf("leaves a screen that was not entered: %q", out.String())
	}
	s.draw([]string{"one", "twenty"}, 3, 10)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[?1049h\x1b[H") || !strings.Contains(got, "one\x1b[K\r\ntwe\x1b[K\r\n") {
		t.Errorf("first drawing %q", got)
	}
	out.Reset()
	s.draw([]string{"one", "twenty"}, 3, 10)
	if out.Len() > 0 {
		t.Errorf("draws what is there: %q", out.String())
	}
	s.draw([]string{"1", "2", "3"}, 3, 3)
	if strings.Contains(out.String(), "3\x1b") {
		t.Error("draws more lines than fit")
	}
	s.leave()
	if !strings.HasSuffix(out.String(), "\x1b[?1049l") {
		t.Errorf("does not leave: %q", out.String())
	}
}
