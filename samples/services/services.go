// Package services finds the Services of a Configuration's brokers, for
// applications that use what all of them serve.
package services

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

// portName is how the port is called that brokers serve on.
const portName = "grpc"

// Source is a Service of a broker, or of all brokers in turn.
type Source struct {
	// ID is the Instance's name, or [Main].
	ID string
	// Address is host:port.
	Address string
}

// Main is the Service of a Configuration, which leads to any of its brokers.
const Main = "main"

// MaxInstances is how many Instances' Services are told of.
const MaxInstances = 64

// Of returns the sources of a Configuration from the Services of a namespace:
// <configuration>-svc, and <configuration>-<hash>-svc for each Instance. The names
// are upstream's contract. [Main] comes first, the others by name.
func Of(configuration string, services []*corev1.Service) []Source {
	instance := regexp.MustCompile(`^(` + regexp.QuoteMeta(configuration) + `-[0-9a-f]{6})-svc$`)
	var list []Source
	for _, s := range services {
		port := portOf(s)
		if port == 0 {
			continue
		}
		address := net.JoinHostPort(hostOf(s), strconv.Itoa(int(port)))
		if s.Name == configuration+"-svc" {
			list = append(list, Source{Main, address})
		} else if m := instance.FindStringSubmatch(s.Name); m != nil {
			list = append(list, Source{m[1], address})
		}
	}
	slices.SortFunc(list, func(a, b Source) int {
		if (a.ID == Main) != (b.ID == Main) {
			return map[bool]int{true: -1, false: 1}[a.ID == Main]
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list[:min(len(list), MaxInstances+1)]
}

// portOf returns the port that is called grpc, or the only one if it has no name,
// as the chart makes it for some handlers; 0 if there is none.
func portOf(s *corev1.Service) int32 {
	for _, p := range s.Spec.Ports {
		if p.Name == portName || p.Name == "" && len(s.Spec.Ports) == 1 {
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

// Watch tells which sources a Configuration of a namespace has, now and whenever
// that changes, until ctx is done; and why it is not known, with the sources that
// were, while the API server does not say.
func Watch(ctx context.Context, cfg *rest.Config, namespace, configuration string, tell func([]Source, error), log *slog.Logger) error {
	client, err := typedcore.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("watch Services: %w", err)
	}
	informer := cache.NewSharedInformer(
		cache.NewListWatchFromClient(client.RESTClient(), "services", namespace, fields.Everything()), &corev1.Service{}, 0)
	w := &watcher{namespace: namespace, configuration: configuration, tell: tell, log: log, store: informer.GetStore(), synced: informer.HasSynced,
		problem: logging.Problem{What: "cannot watch Services, so devices that come are not shown; may the service account list and watch them?"}}
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

// watcher makes sources of what an informer knows.
type watcher struct {
	namespace, configuration string

	tell    func([]Source, error)
	log     *slog.Logger
	store   cache.Store
	synced  func() bool
	problem logging.Problem

	mu    sync.Mutex
	told  bool
	last  []Source
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
	list := Of(w.configuration, services)
	w.problem.Is(w.log, nil)
	if w.told && !w.error && slices.Equal(list, w.last) {
		return
	}
	w.told, w.error, w.last = true, false, list
	w.log.Info("Services of brokers have changed", "configuration", w.configuration, "namespace", w.namespace, "services", len(list))
	w.tell(list, nil)
}

// failed is told when the list or the watch fails. The sources that are known stay.
func (w *watcher) failed(ctx context.Context, _ *cache.Reflector, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || errors.Is(err, io.EOF) {
		return // the usual end of a watch
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problem.Is(w.log, err)
	w.error = true
	w.tell(w.last, errors.New("the API server does not tell which devices there are: look at this application's log"))
}
