package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
	"github.com/akri-go/akri/internal/street"
	"github.com/akri-go/akri/samples"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

const (
	// picturesName is the Configuration's.
	picturesName = "bench-pictures"
	// picturesStart is how long the application may take until it answers.
	picturesStart = 3 * time.Minute
	// roundTimeout is how long one camera may take to come and to go.
	roundTimeout = 3 * time.Minute
)

// measurePictures measures on a cluster how long a network camera takes from its
// start to its first picture on the page of the video streaming application: found
// by ONVIF, with an Instance and a broker of its own. The floor is the start of a
// Pod with the broker's image that asks for no device, from its creation until it
// runs.
func measurePictures(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	if b.cluster == nil {
		return errors.New("needs a cluster that bench has made: leave -kubeconfig away")
	}
	rounds := min(max(3, b.rounds/10), devcluster.MaxStreet)
	// Pods reach this one.
	place, err := b.cluster.OpenStreet(ctx, rounds)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Close()) }()
	if err := install(ctx, b.cluster, b.release, "onvif.discovery.enabled=true", "agent.slotsFreedAfter=3s"); err != nil {
		return err
	}
	o := simulator.Options{Interface: "eth0", Port: 80, RTSPPort: 554, MaxDelay: -1}
	for i := range rounds {
		o.Addresses = append(o.Addresses, b.cluster.Network().Street(i))
	}
	var sim *simulator.Simulator
	err = place.Do(func() error { sim, err = simulator.New(o); return err })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Do(sim.Close)) }()
	configuration, err := cameraConfiguration()
	if err != nil {
		return err
	}
	clean, err := b.configure(ctx, configuration)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	p, err := b.openApplication(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	r := &pictureRounds{bench: b, page: p}
	if r.instances, err = b.watchInstances(ctx); err != nil {
		return err
	}
	defer r.instances.Stop()
	if r.pods, err = b.watchBrokers(ctx); err != nil {
		return err
	}
	defer r.pods.Stop()
	for _, c := range sim.Cameras() {
		if err := r.round(ctx, place, c); err != nil {
			return err
		}
	}
	r.tell()
	return nil
}

// pictureRounds are rounds in which a camera is plugged and unplugged.
type pictureRounds struct {
	*bench
	page      *page
	instances *instances
	pods      watch.Interface

	// from the start of a camera
	toInstance, toPod, toRunning, toReady, toPicture []time.Duration
	// from a Pod's creation until it runs: a broker's, and that of one alone
	broker, alone []time.Duration
}

// round plugs a camera, and starts a Pod alone.
func (r *pictureRounds) round(ctx context.Context, at *street.Street, c *simulator.Camera) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	if err := r.plug(ctx, at, c); err != nil {
		return fmt.Errorf("camera %d: %w", c.Number, err)
	}
	if err := r.startPod(ctx, c.Number); err != nil {
		return fmt.Errorf("start a Pod alone: %w", err)
	}
	return nil
}

// plug starts a camera, waits for its picture, and unplugs it.
func (r *pictureRounds) plug(ctx context.Context, at *street.Street, c *simulator.Camera) error {
	before := len(r.instances.there)
	began := time.Now()
	if err := at.Do(c.Start); err != nil {
		return err
	}
	found, err := r.instances.until(ctx, func() bool { return len(r.instances.there) > before })
	if err != nil {
		return fmt.Errorf("wait for its Instance: %w", err)
	}
	id := v0.InstanceName(picturesName, v0.DeviceHash(c.UUID, "", true))
	made, err := next(ctx, r.pods, isBroker(id, func(e watch.EventType, _ *corev1.Pod) bool { return e != watch.Deleted }))
	if err != nil {
		return fmt.Errorf("wait for its broker: %w", err)
	}
	runs, err := next(ctx, r.pods, isBroker(id, isRunning))
	if err != nil {
		return fmt.Errorf("wait until its broker runs: %w", err)
	}
	ready, err := next(ctx, r.pods, isBroker(id, isReady))
	if err != nil {
		return fmt.Errorf("wait until its broker is ready: %w", err)
	}
	if err := r.page.shows(ctx, func(first map[string]time.Time) bool { return !first[id].IsZero() }); err != nil {
		return err
	}
	shown, _ := r.page.since(id)
	r.toInstance, r.toPod = append(r.toInstance, found.Sub(began)), append(r.toPod, made.Sub(began))
	r.toRunning, r.toPicture = append(r.toRunning, runs.Sub(began)), append(r.toPicture, shown.Sub(began))
	r.toReady, r.broker = append(r.toReady, ready.Sub(began)), append(r.broker, runs.Sub(made))
	if err := at.Do(c.Stop); err != nil {
		return err
	}
	if _, err := next(ctx, r.pods, isBroker(id, isDeleted)); err != nil {
		return fmt.Errorf("wait for its broker to go: %w", err)
	}
	_, err = r.instances.until(ctx, func() bool { return len(r.instances.there) == before })
	return err
}

func isBroker(instance string, is func(watch.EventType, *corev1.Pod) bool) func(watch.EventType, *corev1.Pod) bool {
	return func(e watch.EventType, p *corev1.Pod) bool { return p.Labels[v0.LabelInstance] == instance && is(e, p) }
}

func isRunning(e watch.EventType, p *corev1.Pod) bool {
	return e != watch.Deleted && p.Status.Phase == corev1.PodRunning
}

func isReady(e watch.EventType, p *corev1.Pod) bool {
	return e != watch.Deleted && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func isDeleted(e watch.EventType, _ *corev1.Pod) bool { return e == watch.Deleted }

// startPod starts a Pod with the broker's image, and deletes it.
func (r *pictureRounds) startPod(ctx context.Context, round int) error {
	tag, err := images.DefaultTag(false)
	if err != nil {
		return err
	}
	name := "bench-alone-" + strconv.Itoa(round)
	none := int64(0)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &none,
		Containers: []corev1.Container{{
			Name: "broker", Image: images.DefaultPrefix + "/onvif-video-broker:" + tag, ImagePullPolicy: corev1.PullNever,
			Env: []corev1.EnvVar{{Name: "SNAPSHOT_URL", Value: "http://127.0.0.1:1/"}}, // nobody is there
		}},
	}}
	named := func(is func(watch.EventType, *corev1.Pod) bool) func(watch.EventType, *corev1.Pod) bool {
		return func(e watch.EventType, p *corev1.Pod) bool { return p.Name == name && is(e, p) }
	}
	began := time.Now()
	if err := r.api.Create(ctx, pod); err != nil {
		return err
	}
	runs, err := next(ctx, r.pods, named(isRunning))
	if err == nil {
		err = r.api.Delete(ctx, pod)
	}
	if err == nil {
		_, err = next(ctx, r.pods, named(isDeleted))
	}
	r.alone = append(r.alone, runs.Sub(began))
	return err
}

func (r *pictureRounds) tell() {
	for _, all := range [][]time.Duration{r.toInstance, r.toPod, r.toRunning, r.toReady, r.toPicture, r.broker, r.alone} {
		slices.Sort(all)
	}
	p50 := func(all []time.Duration) float64 { return quantile(all, 0.5).Seconds() }
	r.report("camera-start-to-picture-on-page-p50", p50(r.toPicture), "s", p50(r.alone))
	r.report("camera-start-to-picture-on-page-max", slices.Max(r.toPicture).Seconds(), "s", slices.Max(r.alone).Seconds())
	r.report("camera-start-to-instance-p50", p50(r.toInstance), "s", 0)
	r.report("camera-start-to-broker-made-p50", p50(r.toPod), "s", 0)
	r.report("camera-start-to-broker-running-p50", p50(r.toRunning), "s", 0)
	r.report("camera-start-to-broker-ready-p50", p50(r.toReady), "s", 0)
	r.report("camera-broker-made-to-running-p50", p50(r.broker), "s", p50(r.alone))
}

// cameraConfiguration is the sample's, with another name.
func cameraConfiguration() (*v0.Configuration, error) {
	text, err := samples.Manifest("configurations/ip-camera.yaml")
	c := new(v0.Configuration)
	if err == nil {
		err = sigsyaml.Unmarshal(text, c)
	}
	c.Name = picturesName
	return c, err
}

// openApplication applies the sample's manifest, which goes with the namespace, and
// looks at its page.
func (b *bench) openApplication(ctx context.Context) (p *page, err error) {
	text, err := samples.Manifest("apps/video-streaming/video-streaming.yaml")
	if err != nil {
		return nil, err
	}
	text = []byte(strings.NewReplacer("namespace: default", "namespace: "+b.namespace, "value: akri-udev-video", "value: "+picturesName).Replace(string(text)))
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := new(unstructured.Unstructured)
		if err := d.Decode(object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if err := b.api.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("make %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	var service corev1.Service
	if err := b.api.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: "akri-video-streaming-app"}, &service); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, picturesStart)
	defer cancel()
	at := net.JoinHostPort(b.cluster.Network().Node(1).String(), strconv.Itoa(int(service.Spec.Ports[0].NodePort)))
	err = poll.Until(ctx, "the application answers", 200*time.Millisecond, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		p, err = openPage(conn, at, nil)
		return err
	})
	return p, err
}
