//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"mime"
	"mime/multipart"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigsyaml "sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/browsertest"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/motion"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
	"github.com/akri-go/akri/test/testcluster"
)

// pictures is the Configuration of the test below.
const pictures = "nodes-pictures"

// cameraValues have the chart make a Configuration alone, as docs/install.md says:
// cameras that want a user, and a broker for each.
const cameraValues = `
agent: {enabled: false}
controller: {enabled: false}
rbac: {enabled: false}
onvif:
  configuration:
    enabled: true
    name: ` + pictures + `
    discoveryDetails: {interval: 2s}
    discoveryProperties:
      - {name: username_default, valueFrom: {secretKeyRef: {name: camera-login, key: username_default}}}
      - {name: password_default, valueFrom: {secretKeyRef: {name: camera-login, key: password_default}}}
    brokerProperties: {SITE: works}
    brokerPod:
      image: {repository: ghcr.io/akri-go/akri/onvif-video-broker, tag: TAG}
      env: {CREDENTIAL_DIRECTORY: /etc/camera-login}
      volumes: [{name: login, secret: {secretName: camera-login}}]
      volumeMounts: [{name: login, mountPath: /etc/camera-login, readOnly: true}]
`

// The samples on a cluster, as people install them: cameras are discovered, the
// chart's Configuration has a broker for each, and the video streaming application
// shows their pictures. Another camera joins, and one leaves, without a reload.
func TestPictures(t *testing.T) {
	t.Parallel()
	s := newCameraPlot(t, 3)
	var sim *simulator.Simulator
	there(t, s, func() (err error) {
		sim, err = simulator.New(simulator.Options{Addresses: s.addr,
			Auth: simulator.AuthDigest, MaxDelay: 20 * time.Millisecond})
		return err
	})
	cameras := sim.Cameras()
	t.Cleanup(func() { there(t, s, sim.Close) })
	there(t, s, cameras[0].Start)
	there(t, s, cameras[1].Start)

	r := follow(t, bed.NewNamespace(t))
	logIn(t, r.ns)
	installCameras(t, r.ns)
	page := openApp(t, r.ns, "video-streaming", "value: akri-udev-video", "value: "+pictures)
	r.await(waitTimeout, r.seen(pictures, 2, all()...), r.brokers(pictures, 1))
	for i, c := range cameras[:2] {
		given(t, r.ns, instanceOf(c), map[string]string{
			onvif.PropertyURL: c.XAddr(), onvif.PropertyUUID: c.UUID, onvif.PropertySerial: c.SerialNumber, "SITE": "works"})
		feed(t, fmt.Sprintf("%s/camera_frame_feed/%s", page, instanceOf(c)), i+1)
	}
	upstreamRoutes(t, page, 2)
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error { return motion.Seen(ctx, page+"/camera_frame_feed/0") })

	b := browsertest.Open(t, page)
	moves := func(c *simulator.Camera) {
		t.Helper()
		b.Moves(tile(c)+" canvas", c.Number, simulator.ReadMarks)
	}
	browsertest.Ask[any](b, "window.kept = 1; null") // lost with a reload
	b.Wait(`document.getElementById("sum").textContent === "2 cameras, 2 live"`)
	moves(cameras[0])
	moves(cameras[1])

	began := time.Now()
	there(t, s, cameras[2].Start)
	r.await(waitTimeout, r.seen(pictures, 3, all()...))
	found := time.Since(began)
	r.await(waitTimeout, r.brokers(pictures, 1))
	runs := time.Since(began)
	moves(cameras[2])
	t.Logf("after the start of a camera: its Instance %.1f s, its broker %.1f s, its third picture in the browser %.1f s",
		found.Seconds(), runs.Seconds(), time.Since(began).Seconds())
	b.Wait(`document.getElementById("sum").textContent === "3 cameras, 3 live"`)
	b.Photograph("cluster-desktop", 1280, 900, false)
	b.Photograph("cluster-phone", 390, 844, true)

	began = time.Now()
	there(t, s, cameras[0].Stop)
	b.Wait(fmt.Sprintf("!document.querySelector(%q)", tile(cameras[0])))
	t.Logf("%.1f s from its Bye until it is off the page", time.Since(began).Seconds())
	moves(cameras[1])
	moves(cameras[2])
	r.await(waitTimeout, r.seen(pictures, 2, all()...), r.brokers(pictures, 1))
	upstreamRoutes(t, page, 2)
	if browsertest.Ask[int](b, "window.kept") != 1 {
		t.Error("the page was loaded again")
	}
	b.Quiet()
}

func instanceOf(c *simulator.Camera) string {
	return v0.InstanceName(pictures, v0.DeviceHash(c.UUID, "", true))
}

// tile is where the page shows a camera.
func tile(c *simulator.Camera) string { return fmt.Sprintf("li[data-id=%s]", instanceOf(c)) }

// logIn makes a Secret with the cameras' user, which the agents may read as the
// chart's agent.discoveryProperties.rbac lets them.
func logIn(t *testing.T, ns string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: ns, Name: "camera-login"}
	create(t, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"username_default": "admin", "password_default": "akri"}})
	create(t, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "watch"}}}})
	create(t, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testcluster.Namespace, Name: "akri-agent-sa"}}})
}

// installCameras has the chart make the Configuration.
func installCameras(t *testing.T, ns string) {
	t.Helper()
	tag, err := images.DefaultTag(false)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := sigsyaml.Unmarshal([]byte(strings.ReplaceAll(cameraValues, "TAG", tag)), &values); err != nil {
		t.Fatal(err)
	}
	// On a busy machine the API server may answer admission too late, which says "Try again".
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		return bed.InstallChart(ctx, helm.InstallOptions{
			ChartDir: filepath.Join(bed.Repo, "charts", "akri"), Release: "cameras", Namespace: ns, Values: values, SkipCRDs: true})
	})
}

// given complains unless the broker of an Instance has these variables, with its
// hash at their end.
func given(t *testing.T, ns, instance string, want map[string]string) {
	t.Helper()
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		brokers, err := bed.Brokers(ctx, ns, pictures)
		if err != nil {
			return err
		}
		for _, p := range brokers {
			if p.Labels[v0.LabelInstance] != instance || p.DeletionTimestamp != nil {
				continue
			}
			env, err := testcluster.EnvironmentOf("ip-camera", string(p.UID))
			if err != nil {
				return err
			}
			for name, value := range want {
				name += "_" + strings.ToUpper(instance[len(instance)-6:])
				if env[name] != value {
					return fmt.Errorf("the broker of %s has %s=%q, want %q", instance, name, env[name], value)
				}
			}
			return nil
		}
		return fmt.Errorf("%s has no broker", instance)
	})
}

// feed waits until the pictures of a camera come from a route of the application,
// and its frames advance.
func feed(t *testing.T, url string, number int) {
	t.Helper()
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		resp, err := get(ctx, url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil {
			return err
		}
		parts := multipart.NewReader(resp.Body, params["boundary"])
		var first uint32
		for range 30 {
			part, err := parts.NextPart()
			if err != nil {
				return err
			}
			var picture image.Image
			if picture, err = jpeg.Decode(part); err != nil {
				return err
			}
			shown, frame, err := simulator.ReadMarks(picture)
			switch {
			case err != nil:
				return err
			case shown != number:
				return fmt.Errorf("%s shows camera %d, want %d", url, shown, number)
			case first == 0:
				first = frame
			case frame > first:
				return nil
			}
		}
		return fmt.Errorf("%s shows frame %d all the time", url, first)
	})
}

// upstreamRoutes complains unless the routes of upstream's application are there,
// for a number of cameras.
func upstreamRoutes(t *testing.T, page string, cameras int) {
	t.Helper()
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		text, err := read(ctx, page)
		if err != nil {
			return err
		}
		for _, word := range []string{"Akri", "camera_frame_feed"} {
			if !strings.Contains(text, word) {
				return fmt.Errorf("the page has no %q", word)
			}
		}
		list, err := read(ctx, page+"/camera_list")
		if err != nil {
			return err
		}
		main, others, _ := strings.Cut(list, "+")
		if n := len(strings.Split(others, ",")); main == "" || n != cameras {
			return fmt.Errorf("the cameras are %q, want the main feed and %d", list, cameras)
		}
		return nil
	})
}
