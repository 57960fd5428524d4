//go:build integration

package admission_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
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
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/admission/certs"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
)

const (
	name      = "akri-webhook-configuration"
	namespace = "akri-system"
	patience  = 60 * time.Second
)

// lab is an API server with what the chart makes for the webhook.
type lab struct {
	t      *testing.T
	server *kubetest.Server
	user   client.Client // with warnings collected
	warned *warnings
	log    *lines
	clock  atomic.Int64 // seconds that the webhook's clock is behind
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

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newLab(t *testing.T, secret map[string][]byte) *lab {
	ctrl.SetLogger(logr.Discard())
	l := &lab{t: t, server: kubetest.Start(t), warned: &warnings{}, log: &lines{}}
	cfg := rest.CopyConfig(l.server.Config)
	cfg.WarningHandler = l.warned
	scheme, err := view.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if l.user, err = client.New(cfg, client.Options{Scheme: scheme, FieldValidation: metav1.FieldValidationStrict}); err != nil {
		t.Fatal(err)
	}
	l.make(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "yard"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "guarded", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: secret},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}},
		role(""), role(namespace), binding(""), binding(namespace),
	)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the webhook's log:\n%s", l.log)
		}
	})
	return l
}

const user = "akri-controller"

// role is what the chart allows the controller, as far as the webhook uses it.
func role(ns string) client.Object {
	if ns != "" {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: ns}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name}, Verbs: []string{"get", "update"}},
		}}
	}
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"akri.sh"}, Resources: []string{"configurations", "instances"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "services"}, Verbs: []string{"create"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create"}},
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

func (l *lab) make(objects ...client.Object) {
	l.t.Helper()
	for _, o := range objects {
		if err := l.user.Create(l.t.Context(), o); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) now() time.Time { return time.Now().Add(-time.Duration(l.clock.Load()) * time.Second) }

// port returns one that nobody listens on.
func port(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// serve runs a replica until the returned function is called. All replicas of
// a lab say that they are found at the URL.
func (l *lab) serve(listen int, at *url.URL, change ...func(*admission.Options)) (stop func()) {
	l.t.Helper()
	scheme, err := view.Scheme()
	if err != nil {
		l.t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(l.server.ConfigFor(user), ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Logger: logr.Discard(),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	o := admission.Options{Name: name, Namespace: namespace, Host: "127.0.0.1", Port: listen, URL: at,
		Log: slog.New(slog.NewTextHandler(l.log, nil)), Now: l.now}
	for _, f := range change {
		f(&o)
	}
	if err := admission.Setup(mgr, o); err != nil {
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
	return &url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", port), Path: admission.Path}
}

// eventually waits until check returns nil.
func (l *lab) eventually(what string, check func() error) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

// active waits until the API server asks the webhook.
func (l *lab) active() {
	l.t.Helper()
	l.eventually("the webhook is asked", func() error {
		c := l.configuration("probe", "default", good, "capacity: 2 => capacity: 2\n  brokerProperties: {A=B: c}")
		err := l.user.Create(l.t.Context(), c, client.DryRunAll)
		if apierrors.IsInvalid(err) {
			return nil
		}
		return fmt.Errorf("a bad Configuration: %v", err)
	})
	l.warned.take()
}

const good = `
spec:
  capacity: 2
  discoveryHandler:
    name: udev
    discoveryDetails: |
      udevRules:
      - KERNEL=="video*"
  brokerSpec:
    brokerPodSpec:
      containers:
      - name: broker
        image: broker
        resources: {limits: {"{{PLACEHOLDER}}": "1"}}
  instanceServiceSpec:
    ports: [{port: 80}]
`

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
func (l *lab) configuration(name, namespace, text string, changes ...string) *unstructured.Unstructured {
	l.t.Helper()
	for _, c := range changes {
		from, to, ok := strings.Cut(c, " => ")
		if !ok || !strings.Contains(text, from) {
			l.t.Fatalf("change %q does not apply", c)
		}
		text = strings.Replace(text, from, to, 1)
	}
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &o.Object); err != nil {
		l.t.Fatal(err)
	}
	o.SetAPIVersion("akri.sh/v0")
	o.SetKind("Configuration")
	o.SetName(name)
	o.SetNamespace(namespace)
	return o
}

// What a user meets: through the API server, CRD and webhook together.
func TestRefused(t *testing.T) {
	l := newLab(t, nil)
	p := port(t)
	l.serve(p, at(p))
	l.active()
	l.make(l.configuration("taken", "yard", good))
	inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Name: "cam-a1b2c3", Namespace: "yard"}, Spec: v0.InstanceSpec{ConfigurationName: "cam", Capacity: 1, Nodes: []string{"n"}}}
	l.make(inst)
	l.warned.take()
	for _, tt := range []struct {
		name, as, ns string // as and ns default to "x" and "default"
		text         string
		changes      []string
		err          string // empty: accepted
		warns        string // part of the warnings, "-" for none
	}{
		{name: "good", text: good, warns: "-"},
		{name: "good Job", text: goodJob, warns: "-"},
		{name: "unknown field in a Pod, as upstream's suite has it", text: good, changes: []string{"containers: => xUnknownSyntheticField: y\n      containers:"},
			err: "spec.brokerSpec.brokerPodSpec.xUnknownSyntheticField: Invalid value: this cluster's Kubernetes has no such field"},
		{name: "unknown field deep in a Pod", text: good, changes: []string{"resources: => resorces: {}\n        resources:"}, err: "brokerPodSpec.containers[0].resorces: Invalid value"},
		{name: "unknown field deep in a Job", text: goodJob, changes: []string{"image: broker => imag: broker"}, err: "brokerJobSpec.template.spec.containers[0].imag: Invalid value"},
		{name: "unknown field in a Service", text: good, changes: []string{"port: 80 => port: 80, prt: 1"}, err: "spec.instanceServiceSpec.ports[0].prt: Invalid value"},
		{name: "unknown field outside", text: good, changes: []string{"capacity: 2 => capacty: 2"}, err: `unknown field "spec.capacty"`},
		{name: "a Pod without an image", text: good, changes: []string{"image: broker => command: [b]"}, err: "brokerPodSpec.containers[0].image: Required value"},
		{name: "requests without limits", text: good, changes: []string{"limits => requests"}, err: "resources.limits: Required value: Limit must be set"},
		{name: "a Job that always restarts", text: goodJob, changes: []string{"Never => Always"}, err: "brokerJobSpec.template.spec.restartPolicy: Required value: valid values"},
		{name: "a Service without ports", text: good, changes: []string{"ports: [{port: 80}] => type: ClusterIP"}, err: "spec.instanceServiceSpec.ports: Required value"},
		{name: "a Pod that the namespace forbids", ns: "guarded", text: good, warns: "brokerPodSpec: would be refused now: violates PodSecurity"},
		{name: "both brokers", text: good, changes: []string{"brokerPodSpec: => brokerJobSpec: {template: {}}\n    brokerPodSpec:"}, err: "give brokerPodSpec or brokerJobSpec, not both"},
		{name: "no placeholder", text: good, changes: []string{`"{{PLACEHOLDER}}" => memory`}, warns: "no container asks for"},
		{name: "bad rule", text: good, changes: []string{"KERNEL== => KERNAL=="}, err: "discoveryDetails: Invalid value: udevRules: rule 1 of 1: column 1:"},
		{name: "no rules", text: good, changes: []string{`- KERNEL=="video*" =>   []`}, err: "there is no rule"},
		{name: "rule of another meaning", text: good, changes: []string{"video* => a|b"}, warns: "udev rule 1, column 1: KERNEL: | separates alternatives"},
		{name: "no slot", text: good, changes: []string{"capacity: 2 => capacity: 0"}, err: "spec.capacity"},
		{name: "name taken", as: "taken", text: good, err: "metadata.name: Invalid value: belongs to the Configuration yard/taken"},
		{name: "name of an Instance", as: "cam-a1b2c3", text: good, err: "belongs to an Instance of the Configuration yard/cam"},
		{name: "long name", as: strings.Repeat("x", 57), text: good, err: "at most 56"},
		{name: "neither value nor source", text: good, changes: []string{"name: udev => discoveryProperties: [{name: A}]\n    name: udev"}, err: "give exactly one of value and valueFrom"},
		{name: "value and source", text: good, changes: []string{"name: udev => discoveryProperties: [{name: A, value: v, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n    name: udev"},
			err: "give exactly one of value and valueFrom"},
		{name: "value and no source, written out", text: good, changes: []string{"name: udev => discoveryProperties: [{name: A, value: v, valueFrom: null}]\n    name: udev"}},
		{name: "no key", text: good, changes: []string{"name: udev => discoveryProperties: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]\n    name: udev"}, err: "secretKeyRef.key"},
		{name: "negative grace", text: good, changes: []string{"name: udev => offlineGracePeriod: -1s\n    name: udev"}, err: "must not be negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			as, ns := tt.as, tt.ns
			if as == "" {
				as = "x"
			}
			if ns == "" {
				ns = "default"
			}
			err := l.user.Create(t.Context(), l.configuration(as, ns, tt.text, tt.changes...), client.DryRunAll)
			warned := l.warned.take()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Errorf("refused: %v", err)
			}
			if tt.warns == "-" && warned != "" || tt.warns != "-" && !strings.Contains(warned, tt.warns) {
				t.Errorf("warnings %q, want %q", warned, tt.warns)
			}
		})
	}
	if log := l.log.String(); strings.Contains(log, "forbidden") || strings.Contains(log, "panic") || strings.Contains(log, "cannot look up") {
		t.Error("the log has something that must not be there")
	}
}

// Without the webhook nothing new is written, and the user reads who is
// missing; whatever cleans up goes on.
func TestDown(t *testing.T) {
	l := newLab(t, nil)
	ctx := t.Context()
	// Before the webhook is registered everything passes: Configurations of the
	// release that installs it are made before its Pods run.
	l.make(l.configuration("early", "default", good, "KERNEL== => KERNAL=="))
	p := port(t)
	stop := l.serve(p, at(p))
	l.active()
	c := l.configuration("cam", "default", good)
	c.SetFinalizers([]string{"example.org/hold"})
	l.make(c)
	stop()

	err := l.user.Create(ctx, l.configuration("late", "default", good))
	if err == nil || !strings.Contains(err.Error(), admission.WebhookName) {
		t.Errorf("create: %v, want an error that names %s", err, admission.WebhookName)
	}
	key := client.ObjectKeyFromObject(c)
	c.Object["spec"].(map[string]any)["capacity"] = int64(5)
	if err := l.user.Update(ctx, c); err == nil {
		t.Error("a changed spec was accepted unchecked")
	}
	for what, patch := range map[string]string{
		"label": `{"metadata":{"labels":{"a":"b"}}}`,
		"same":  `{"spec":{"capacity":2}}`,
	} {
		if err := l.user.Patch(ctx, c, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	status := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"nodes":[{"name":"n","state":"Active"}]}}`))
	if err := l.user.Status().Patch(ctx, c, status); err != nil {
		t.Errorf("status: %v", err)
	}
	if err := l.user.Delete(ctx, c); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := l.user.Get(ctx, key, c); err != nil || c.GetDeletionTimestamp() == nil {
		t.Fatalf("being deleted: %v, %v", c.GetDeletionTimestamp(), err)
	}
	c.SetFinalizers(nil)
	if err := l.user.Update(ctx, c); err != nil {
		t.Errorf("remove the finalizer: %v", err)
	}
	if err := l.user.Get(ctx, key, c); !apierrors.IsNotFound(err) {
		t.Errorf("the Configuration is still there: %v", err)
	}
	early := l.configuration("early", "default", good)
	if err := l.user.Delete(ctx, early); err != nil {
		t.Errorf("delete one that the webhook would refuse: %v", err)
	}
	if err := l.user.Delete(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Error(err)
	}
	l.eventually("without the registration all is as before", func() error {
		return l.user.Create(ctx, l.configuration("later", "default", good), client.DryRunAll)
	})
}

// Two replicas start at once with an empty Secret: they agree on certificates.
// Then the certificates come of age, and are renewed while the API server goes
// on asking.
func TestCertificates(t *testing.T) {
	l := newLab(t, nil)
	l.clock.Store(int64((certs.LeafLife - 20*24*time.Hour) / time.Second)) // the leaf will have 20 days left
	a, b := port(t), port(t)
	stopA := l.serve(a, at(a))
	stopB := l.serve(b, at(a)) // stands by: the API server asks a
	l.active()
	shows := func(port int) string {
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return string(conn.ConnectionState().PeerCertificates[0].Raw)
	}
	l.eventually("both show one certificate", func() error {
		if x, y := shows(a), shows(b); x != y {
			return errors.New("they differ")
		}
		return nil
	})
	before, secret := shows(a), l.secret()
	stopB()

	l.clock.Store(0)
	stop := l.serve(b, at(a)) // a restart looks at once; a waits for its next look
	l.eventually("the leaf is renewed", func() error {
		if bytes.Equal(l.secret().Data[certs.Leaf], secret.Data[certs.Leaf]) {
			return errors.New("it is the old one")
		}
		return nil
	})
	if !bytes.Equal(l.secret().Data[certs.Bundle], secret.Data[certs.Bundle]) {
		t.Error("the authority changed with the leaf")
	}
	l.eventually("it is shown", func() error {
		if shows(b) == before {
			return errors.New("the old one is shown")
		}
		return nil
	})
	l.active() // a still shows the old one, which is as good
	stop()
	stopA()

	// Somebody empties registration and Secret: both are filled again.
	s := l.secret()
	s.Data = nil
	if err := l.user.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	l.serve(b, at(b))
	l.eventually("new certificates", func() error {
		if l.secret().Data[certs.Bundle] == nil {
			return errors.New("none")
		}
		return nil
	})
	l.eventually("they are registered", func() error {
		if r := l.registration(); len(r.Webhooks) != 1 || !bytes.Equal(r.Webhooks[0].ClientConfig.CABundle, l.secret().Data[certs.Bundle]) {
			return errors.New("another bundle")
		}
		return nil
	})
	l.active()
	if r := l.registration(); *r.Webhooks[0].ClientConfig.URL != at(b).String() || r.Generation > 5 {
		t.Errorf("generation %d, %+v", r.Generation, r.Webhooks[0].ClientConfig)
	}
}

// With a CA of the user, the Secret is read and never written.
func TestOwnCA(t *testing.T) {
	p := port(t)
	mine, _, err := certs.Plan(time.Now(), nil, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, map[string][]byte{certs.Leaf: mine[certs.Leaf], certs.LeafKey: mine[certs.LeafKey]})
	was := l.secret().ResourceVersion
	l.serve(p, at(p), func(o *admission.Options) { o.CABundle = mine[certs.Bundle] })
	l.active()
	if s := l.secret(); s.ResourceVersion != was {
		t.Errorf("the Secret was written: %v", slices.Collect(maps.Keys(s.Data)))
	}
	if r := l.registration(); !bytes.Equal(r.Webhooks[0].ClientConfig.CABundle, mine[certs.Bundle]) {
		t.Error("another bundle is registered")
	}
	// Plain HTTP gets nothing.
	if resp, err := http.Get("http://" + at(p).Host + admission.Path); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP: %s", resp.Status)
		}
	}
}

func (l *lab) secret() *corev1.Secret {
	l.t.Helper()
	s := &corev1.Secret{}
	if err := l.user.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) registration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	l.t.Helper()
	r := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := l.user.Get(l.t.Context(), client.ObjectKey{Name: name}, r); err != nil {
		l.t.Fatal(err)
	}
	return r
}
