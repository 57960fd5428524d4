package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/akri-go/akri/internal/logging"
)

// portName is how the port is called that brokers serve pictures on.
const portName = "grpc"

// sources returns the feeds of a Configuration from the Services of a namespace:
// <configuration>-svc, and <configuration>-<hash>-svc for each Instance. The names
// are upstream's contract; the main feed comes first, the others by name.
func sources(configuration string, services []*corev1.Service) []source {
	instance := regexp.MustCompile(`^(` + regexp.QuoteMeta(configuration) + `-[0-9a-f]{6})-svc$`)
	var list []source
	for _, s := range services {
		port := portOf(s)
		if port == 0 {
			continue
		}
		address := net.JoinHostPort(hostOf(s), strconv.Itoa(int(port)))
		if s.Name == configuration+"-svc" {
			list = append(list, source{mainID, address})
		} else if m := instance.FindStringSubmatch(s.Name); m != nil {
			list = append(list, source{m[1], address})
		}
	}
	slices.SortFunc(list, func(a, b source) int {
		if (a.id == mainID) != (b.id == mainID) {
			return map[bool]int{true: -1, false: 1}[a.id == mainID]
		}
		return strings.Compare(a.id, b.id)
	})
	return list[:min(len(list), maxCameras+1)]
}

func portOf(s *corev1.Service) int32 {
	for _, p := range s.Spec.Ports {
		if p.Name == portName {
			return p.Port
		}
	}
	return 0
}

// hostOf is the address of a Service. A headless one has only a name.
func hostOf(s *corev1.Service) string {
	if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
		return s.Name + "." + s.Namespace + ".svc"
	}
	return s.Spec.ClusterIP
}

// watch tells which feeds there are, now and whenever that changes, until ctx is
// done; and why it is not known, while the API server does not say.
func watch(ctx context.Context, cfg *rest.Config, s settings, tell func([]source, error), log *slog.Logger) error {
	client, err := typedcore.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("watch Services: %w", err)
	}
	informer := cache.NewSharedInformer(
		cache.NewListWatchFromClient(client.RESTClient(), "services", s.namespace, fields.Everything()), &corev1.Service{}, 0)
	w := &watcher{settings: s, tell: tell, log: log, store: informer.GetStore(), synced: informer.HasSynced,
		problem: logging.Problem{What: "cannot watch Services, so cameras that come are not shown; may the service account list and watch them?"}}
	err = errors.Join(informer.SetTransform(trim), informer.SetWatchErrorHandlerWithContext(w.failed))
	if err != nil {
		return fmt.Errorf("watch Services: %w", err)
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.changed() }, UpdateFunc: func(any, any) { w.changed() }, DeleteFunc: func(any) { w.changed() }})
	if err != nil {
		return fmt.Errorf("watch Services: %w", err)
	}
	go func() { // there may be no Service, and so no event
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			w.changed()
		}
	}()
	informer.RunWithContext(ctx)
	return nil
}

// trim keeps of a Service what matters here.
func trim(object any) (any, error) {
	s, ok := object.(*corev1.Service)
	if !ok {
		return object, nil
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, UID: s.UID, ResourceVersion: s.ResourceVersion},
		Spec:       corev1.ServiceSpec{ClusterIP: s.Spec.ClusterIP, Ports: s.Spec.Ports},
	}, nil
}

// watcher makes feeds of what an informer knows.
type watcher struct {
	settings settings
	tell     func([]source, error)
	log      *slog.Logger
	store    cache.Store
	synced   func() bool
	problem  logging.Problem

	mu    sync.Mutex
	told  bool
	last  []source
	error bool
}

func (w *watcher) changed() {
	if !w.synced() { // not all are known yet
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var services []*corev1.Service
	for _, object := range w.store.List() {
		if s, ok := object.(*corev1.Service); ok {
			services = append(services, s)
		}
	}
	list := sources(w.settings.configuration, services)
	w.problem.Is(w.log, nil)
	if w.told && !w.error && slices.Equal(list, w.last) {
		return
	}
	w.told, w.error, w.last = true, false, list
	w.log.Info("cameras have changed", "configuration", w.settings.configuration, "namespace", w.settings.namespace, "feeds", len(list))
	w.tell(list, nil)
}

// failed is told when the list or the watch fails. The feeds that are known stay.
func (w *watcher) failed(ctx context.Context, _ *cache.Reflector, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || errors.Is(err, io.EOF) {
		return // the usual end of a watch
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problem.Is(w.log, err)
	w.error = true
	w.tell(w.last, errors.New("the API server does not tell which cameras there are: look at this application's log"))
}
