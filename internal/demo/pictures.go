package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/devcluster/cameras"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/motion"
	"github.com/akri-go/akri/internal/poll"
	"github.com/akri-go/akri/samples"
)

const (
	streamingApp      = "akri-video-streaming-app"
	streamingManifest = "apps/video-streaming/video-streaming.yaml"
	// inManifest is the Configuration that the manifest names.
	inManifest = "akri-udev-video"
	// simulatedCameras is how many there are at first.
	simulatedCameras = 2
)

// pictures are the cameras that the demo shows in the browser, beside its subject:
// a Configuration with a broker for each, and the video streaming application.
type pictures struct {
	Configuration string
	Manifest      string // file of package samples
	Simulated     bool

	cameras *cameras.Cameras // nil unless they are simulated and there
	missing string           // why there are no pictures

	listener *bounded.Listener // for other machines; nil for none
	shared   []string          // URLs of the page for them
}

// choosePictures returns those of the machine's webcams, or simulated network
// cameras if it has none, or if the demo's subject uses them already.
func choosePictures(sys fs.FS, subject Subject) pictures {
	webcam := subjects()[0]
	if subject.Configuration != webcam.Configuration && len(webcam.Devices(sys)) > 0 {
		return pictures{Configuration: inManifest, Manifest: "configurations/usb-camera.yaml"}
	}
	return pictures{Configuration: "ip-camera", Manifest: "configurations/ip-camera.yaml", Simulated: true}
}

// values are those of the chart that the pictures need.
func (p *pictures) values() []string {
	if p.Simulated {
		return []string{"onvif.discovery.enabled=true"}
	}
	return nil
}

// needed leaves out images that no Pod of the demo has: they take time to load.
func (p *pictures) needed(all []images.Image) []images.Image {
	not := []string{"cloudcore", "camera-simulator", "opcua-monitoring-broker", "anomaly-detection-app"}
	if p.Simulated {
		not = append(not, "udev-video-broker")
	} else {
		not = append(not, "onvif-video-broker")
	}
	return slices.DeleteFunc(all, func(i images.Image) bool { return slices.Contains(not, i.Name) })
}

// startPictures starts what the pictures need.
func (d *demo) startPictures(ctx context.Context) error {
	p := &d.pictures
	if p.Simulated {
		there, err := hasHandler(ctx, d.api, "onvif")
		if err != nil {
			return err
		}
		if !there {
			p.missing = "the Akri in this cluster has no onvif handler: add onvif.discovery.enabled=true to its values"
			d.say("no pictures: %s", p.missing)
			return nil
		}
		if err := d.plugCameras(ctx, simulatedCameras); err != nil {
			return err
		}
	}
	configuration, err := samples.Manifest(p.Manifest)
	if err != nil {
		return err
	}
	app, err := samples.Manifest(streamingManifest)
	if err != nil {
		return err
	}
	app = bytes.ReplaceAll(app, []byte("value: "+inManifest), []byte("value: "+p.Configuration))
	for _, m := range []struct {
		name     string
		manifest []byte
	}{{p.Manifest, configuration}, {streamingManifest, app}} {
		if err := d.apply(ctx, m.manifest); err != nil {
			return fmt.Errorf("apply samples/%s: %w", m.name, err)
		}
		d.say("applied samples/%s", m.name)
	}
	return nil
}

// awaitPictures waits until their page is served, and shares it.
func (d *demo) awaitPictures(ctx context.Context) error {
	if d.pictures.missing != "" {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err := poll.Until(waiting, "the page with the pictures is served", 200*time.Millisecond, func(ctx context.Context) error {
		var app appsv1.Deployment
		err := d.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: streamingApp}, &app)
		if err == nil && app.Status.AvailableReplicas == 0 {
			err = fmt.Errorf("the Deployment %s is not available (logs: %s)", streamingApp, d.cluster.Logs())
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.sharePictures(ctx)
}

// plugCameras connects simulated cameras to the nodes' network.
func (d *demo) plugCameras(ctx context.Context, n int) (err error) {
	p := &d.pictures
	if p.cameras == nil {
		if p.cameras, err = cameras.Open(ctx, d.cluster, d.Repo); err != nil {
			return err
		}
	}
	for range n {
		number, err := p.cameras.Plug(ctx)
		if err != nil {
			return err
		}
		d.say("camera %d is on the nodes' network", number)
	}
	return nil
}

// heedCamera carries out a key that is for the cameras.
func (d *demo) heedCamera(ctx context.Context, key byte) (note string) {
	c := d.pictures.cameras
	if c == nil {
		return "plug cameras in and out by hand"
	}
	if key == 'c' {
		number, err := c.Plug(ctx)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("camera %d is connected", number)
	}
	number := c.Unplug()
	if number == 0 {
		return "there is no camera"
	}
	return fmt.Sprintf("camera %d has gone", number)
}

// checkPictures waits until the page shows pictures that move.
func (d *demo) checkPictures(ctx context.Context) error {
	if d.pictures.missing != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	page, err := d.picturesURL(ctx)
	if err != nil {
		return err
	}
	feeds := 1
	if d.pictures.Simulated {
		feeds = simulatedCameras
	}
	for feed := range feeds + 1 { // 0 is that of all cameras
		err := poll.Until(ctx, "the pictures move", 200*time.Millisecond, func(ctx context.Context) error {
			return motion.Seen(ctx, fmt.Sprintf("%s/camera_frame_feed/%d", page, feed))
		})
		if err != nil {
			return fmt.Errorf("%w (logs: %s)", err, d.cluster.Logs())
		}
	}
	d.say("the page at %s shows pictures that move", page)
	return nil
}

// picturesURL is where a browser on this machine finds the pictures.
func (d *demo) picturesURL(ctx context.Context) (string, error) {
	var service corev1.Service
	if err := d.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: streamingApp}, &service); err != nil {
		return "", err
	}
	if len(service.Spec.Ports) == 0 || service.Spec.Ports[0].NodePort == 0 {
		return "", fmt.Errorf("the Service %s has no node port", streamingApp)
	}
	return fmt.Sprintf("http://%s:%d", d.cluster.Network().Node(1), service.Spec.Ports[0].NodePort), nil
}

// listenPictures opens the port after that of the demo's page.
func (d *demo) listenPictures(ctx context.Context) error {
	address, err := nextPort(d.Listen)
	if err != nil || address == "" {
		return err
	}
	if d.pictures.listener, err = bounded.Listen(ctx, address, bounded.Limits{}); err != nil {
		return fmt.Errorf("the pictures are shown at %s, the port after that of --listen: %w: choose another port", address, err)
	}
	return nil
}

// sharePictures serves the page for other machines.
func (d *demo) sharePictures(ctx context.Context) error {
	listener := d.pictures.listener
	if listener == nil {
		return nil
	}
	page, err := d.picturesURL(ctx)
	if err != nil {
		return err
	}
	target, err := url.Parse(page)
	if err != nil {
		return err
	}
	d.pictures.shared = reachable(listener.Addr(), machineAddresses())
	go bounded.Serve(ctx, listener, &http.Server{Handler: proxyTo(target)}) // it ends with the demo
	return nil
}

// nextPort is an address with the next port; "" if there is none.
func nextPort(address string) (string, error) {
	if address == "" {
		return "", nil
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65534 {
		return "", fmt.Errorf("--listen %s: want a port from 1 to 65534", address)
	}
	if port != 0 {
		port++
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// picturesText says where the pictures are.
func (d *demo) picturesText(ctx context.Context) []string {
	p := &d.pictures
	if p.missing != "" {
		return []string{"no pictures: " + p.missing}
	}
	page := strings.Join(p.shared[:min(len(p.shared), 2)], "  ")
	if page == "" {
		var err error
		if page, err = d.picturesURL(ctx); err != nil {
			return []string{"the pictures do not answer: " + err.Error()}
		}
	}
	if d.Terminal != nil && p.cameras != nil {
		page += "   c connect a camera   x disconnect it"
	}
	return []string{"pictures: " + page}
}

// endPictures ends the simulated cameras.
func (d *demo) endPictures() error {
	if d.pictures.listener != nil {
		d.pictures.listener.Close() // it may be closed already
	}
	if d.pictures.cameras == nil {
		return nil
	}
	err := d.pictures.cameras.Close()
	d.pictures.cameras = nil
	if err != nil {
		err = errors.Join(errors.New("the simulated cameras"), err)
	}
	return err
}
