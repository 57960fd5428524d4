package labs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	akri "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/motion"
	"github.com/akri-go/akri/internal/poll"
)

const (
	namespace = "default"
	// checkTimeout is how long is waited for what must become so.
	checkTimeout  = 3 * time.Minute
	checkInterval = 200 * time.Millisecond
)

func newClient(c *devcluster.Cluster) (client.Client, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	ctrllog.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), akri.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// videoDevices are the machine's own cameras.
type videoDevices struct {
	nodes   int // all that the documents' rule finds
	capture int // those of them that give pictures: the others are for metadata
}

// devicesOf counts them in /sys.
func devicesOf(sys fs.FS) (found videoDevices) {
	entries, err := fs.ReadDir(sys, "class/video4linux")
	if err != nil {
		return found // the machine has none
	}
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), "video"); !ok || strings.Trim(number, "0123456789") != "" {
			continue
		}
		found.nodes++
		index, err := fs.ReadFile(sys, "class/video4linux/"+e.Name()+"/index")
		if err == nil && strings.TrimSpace(string(index)) == "0" {
			found.capture++
		}
	}
	return found
}

// check waits until a check is content.
func (r *run) check(ctx context.Context, c Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return poll.Until(ctx, string(c), checkInterval, func(ctx context.Context) error {
		switch c {
		case BrokersRun:
			return r.brokersRun(ctx)
		case PageShows:
			return r.pageShows(ctx)
		case NothingLeft:
			return r.nothingLeft(ctx)
		}
		return poll.Fatal(fmt.Errorf("there is no check %q", c))
	})
}

// configuration is the one with the cameras, and how many Instances it has.
func (r *run) configuration() (name string, instances int) {
	if r.simulated() {
		return network, r.lab.Cameras
	}
	return usb, r.video.nodes
}

func (r *run) brokersRun(ctx context.Context) error {
	name, want := r.configuration()
	var configuration akri.Configuration
	var brokers corev1.PodList
	err := errors.Join(r.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &configuration),
		r.api.List(ctx, &brokers, client.InNamespace(namespace), client.MatchingLabels{akri.LabelConfiguration: name}))
	if err != nil {
		return err
	}
	ready := 0
	for _, p := range brokers.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	// The status comes a moment later, and people see it in the next step.
	said := configuration.Status.Brokers
	if found := int(configuration.Status.Devices); found != want || ready != want || said != fmt.Sprintf("%d/%d", want, want) {
		return fmt.Errorf("the Configuration %s has %d devices and %d ready brokers, and says %q, want %d", name, found, ready, said, want)
	}
	return nil
}

// page is where a browser on this machine finds the application.
func (r *run) page(ctx context.Context) (string, error) {
	var service corev1.Service
	if err := r.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: app}, &service); err != nil {
		return "", err
	}
	if len(service.Spec.Ports) == 0 || service.Spec.Ports[0].NodePort == 0 {
		return "", fmt.Errorf("the Service %s has no node port", app)
	}
	return fmt.Sprintf("http://%s:%d", r.cluster.Network().Node(1), service.Spec.Ports[0].NodePort), nil
}

// pageShows checks the words, and the pictures of all cameras and of each.
func (r *run) pageShows(ctx context.Context) error {
	page, err := r.page(ctx)
	if err != nil {
		return err
	}
	text, err := read(ctx, page)
	if err != nil {
		return err
	}
	for _, word := range []string{"Akri", "camera_frame_feed"} {
		if !strings.Contains(text, word) {
			return fmt.Errorf("the page at %s has no %q", page, word)
		}
	}
	_, feeds := r.configuration()
	want := r.video.capture
	if r.simulated() {
		want = feeds
	}
	// 0 is the feed of all cameras in turn. A device for metadata has none.
	moving, last := 0, error(nil)
	for feed := range feeds + 1 {
		if err := motion.Seen(ctx, fmt.Sprintf("%s/camera_frame_feed/%d", page, feed)); err != nil {
			last = err
			continue
		}
		moving++
	}
	if moving < want+1 {
		return fmt.Errorf("%d feeds of the page have pictures that change, want %d: %w", moving, want+1, last)
	}
	return nil
}

// nothingLeft checks that the chart's objects and the resources are gone.
func (r *run) nothingLeft(ctx context.Context) error {
	var (
		deployments appsv1.DeploymentList
		sets        appsv1.DaemonSetList
		pods        corev1.PodList
	)
	for _, list := range []client.ObjectList{&deployments, &sets, &pods} {
		if err := r.api.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return err
		}
		if n := apimeta.LenList(list); n > 0 {
			return fmt.Errorf("%d objects are left: %T", n, list)
		}
	}
	for _, list := range []client.ObjectList{&akri.ConfigurationList{}, &akri.InstanceList{}} {
		err := r.api.List(ctx, list)
		if err == nil {
			return fmt.Errorf("the API server still has %T", list)
		}
		if !apimeta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// read returns the beginning of what is at a URL.
func read(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(text), err
}
