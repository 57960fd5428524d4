//go:build integration

package webhook_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission/admissiontest"
	"github.com/akri-go/akri/internal/admission/webhook"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
)

const (
	name        = "akri-webhook-configuration"
	namespace   = "akri-system"
	waitTimeout = eventually.Patience
)

// shared is the API server of all tests here. Those that run as other processes
// want none.
var shared = kubetest.Share()

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// fixture is what the chart makes for the webhook. What is made with it is gone when
// its test is over.
type fixture struct {
	t      *testing.T
	server *kubetest.Server
	user   client.Client // with warnings collected
	warned *warnings
	log    *testlog.Buffer
	clock  atomic.Int64                              // seconds that the webhook's clock is behind
	wrap   func(http.RoundTripper) http.RoundTripper // around what replicas ask the API server; nil: nothing
}

type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// take returns the warnings since the last call.
func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.text = nil }()
	return strings.Join(w.text, "\n")
}

func newFixture(t *testing.T, secret map[string][]byte) *fixture {
	ctrl.SetLogger(logr.Discard())
	l := &fixture{t: t, server: shared.Start(t), warned: &warnings{}, log: &testlog.Buffer{}}
	cfg := rest.CopyConfig(l.server.Config)
	cfg.WarningHandler = l.warned
	scheme, err := view.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if l.user, err = client.New(cfg, client.Options{Scheme: scheme, FieldValidation: metav1.FieldValidationStrict}); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []*corev1.Namespace{
		{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		{ObjectMeta: metav1.ObjectMeta{Name: "yard"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "guarded", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}},
	} {
		if err := l.user.Create(t.Context(), ns); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(l.clean)
	l.make(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: secret}, // the user's
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name + "-certs", Namespace: namespace}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}},
		role(""), role(namespace), binding(""), binding(namespace),
	)
	l.may(true)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the webhook's log:\n%s", l.log)
		}
	})
	return l
}

// may waits until the API server lets the controller read what its roles are about,
// or does not: roles take effect a moment after they are written.
func (l *fixture) may(want bool) {
	l.t.Helper()
	c, err := client.New(l.server.ConfigFor(user), client.Options{Scheme: l.user.Scheme()})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, a := range []authorizationv1.ResourceAttributes{
		{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations", Name: name, Verb: "get"},
		{Resource: "secrets", Namespace: namespace, Name: name, Verb: "get"},
	} {
		l.eventually("the right to "+a.Verb+" "+a.Resource, func() error {
			r := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}
			if err := c.Create(context.Background(), r); err != nil {
				return err
			}
			if r.Status.Allowed != want {
				return fmt.Errorf("allowed is %v", r.Status.Allowed)
			}
			return nil
		})
	}
}

// clean takes away what a test has made, and waits until the API server asks no
// webhook and knows no role.
func (l *fixture) clean() {
	ctx := context.Background() // the test's is done
	registration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, o := range []client.Object{registration, role(""), binding("")} {
		if err := l.user.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			l.t.Error(err)
		}
	}
	for _, ns := range []string{namespace, "default", "yard", "guarded"} {
		for _, o := range []client.Object{&v0.Configuration{}, &v0.Instance{}, &corev1.Secret{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}} {
			if err := l.user.DeleteAllOf(ctx, o, client.InNamespace(ns)); err != nil {
				l.t.Error(err)
			}
		}
	}
	l.may(false)
	l.eventually("the webhook is not asked", func() error {
		return l.user.Create(ctx, l.configuration("probe", "default", admissiontest.Good, "KERNEL== => KERNAL=="), client.DryRunAll)
	})
}

const user = "akri-controller"

// role is what the chart allows the controller, as far as the webhook needs it.
func role(ns string) client.Object {
	if ns != "" {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: ns}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name + "-certs"}, Verbs: []string{"get", "update"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name}, Verbs: []string{"get"}},
		}}
	}
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"akri.sh"}, Resources: []string{"configurations", "instances"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "services"}, Verbs: []string{"create"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create"}},
		{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
		{APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingwebhookconfigurations"},
			ResourceNames: []string{name}, Verbs: []string{"get", "patch"}},
	}}
}

func binding(ns string) client.Object {
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}
	if ns != "" {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: ns}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}}
	}
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}}
}

func (l *fixture) make(objects ...client.Object) {
	l.t.Helper()
	for _, o := range objects {
		if err := l.user.Create(l.t.Context(), o); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *fixture) now() time.Time {
	return time.Now().Add(-time.Duration(l.clock.Load()) * time.Second)
}

// serve runs a replica until the returned function is called. All replicas of a
// fixture register the same URL.
func (l *fixture) serve(listen int, at *url.URL, change ...func(*webhook.Options)) (stop func()) {
	l.t.Helper()
	scheme, err := view.Scheme()
	if err != nil {
		l.t.Fatal(err)
	}
	cfg := l.server.ConfigFor(user)
	if l.wrap != nil {
		cfg.Wrap(l.wrap)
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Logger: logr.Discard(),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	o := webhook.Options{Name: name, Namespace: namespace, Host: "127.0.0.1", Port: listen, URL: at, DiscoveryDigest: view.DiscoveryDigest,
		Log: slog.New(slog.NewTextHandler(l.log, nil)), Now: l.now}
	for _, f := range change {
		f(&o)
	}
	if _, err := webhook.Setup(mgr, o); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("the replica ended: %v", err)
		}
	})
	l.t.Cleanup(stop)
	return stop
}

func at(port int) *url.URL {
	return &url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", port), Path: webhook.Path}
}

// eventually waits until check returns nil.
func (l *fixture) eventually(what string, check func() error) {
	l.t.Helper()
	eventually.Succeeds(l.t, waitTimeout, func(context.Context) error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// active waits until the API server asks the webhook.
func (l *fixture) active() {
	l.t.Helper()
	l.eventually("the webhook is asked", func() error {
		c := l.configuration("probe", "default", admissiontest.Good, "capacity: 2 => capacity: 2\n  brokerProperties: {A=B: c}")
		err := l.user.Create(l.t.Context(), c, client.DryRunAll)
		if apierrors.IsInvalid(err) {
			return nil
		}
		return fmt.Errorf("a bad Configuration: %v", err)
	})
	l.warned.take()
}

const goodJob = `
spec:
  discoveryHandler: {name: mine}
  brokerSpec:
    brokerJobSpec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: broker
            image: broker
            resources: {limits: {"{{PLACEHOLDER}}": "1"}}
`

// configuration makes one from YAML; each change is "old => new" in it.
func (l *fixture) configuration(name, namespace, text string, changes ...string) *unstructured.Unstructured {
	l.t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(admissiontest.Change(l.t, text, changes...)), &o.Object); err != nil {
		l.t.Fatal(err)
	}
	o.SetAPIVersion("akri.sh/v0")
	o.SetKind("Configuration")
	o.SetName(name)
	o.SetNamespace(namespace)
	return o
}

func (l *fixture) secret(name string) *corev1.Secret {
	l.t.Helper()
	s := &corev1.Secret{}
	if err := l.user.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *fixture) registration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	l.t.Helper()
	r := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := l.user.Get(l.t.Context(), client.ObjectKey{Name: name}, r); err != nil {
		l.t.Fatal(err)
	}
	return r
}
