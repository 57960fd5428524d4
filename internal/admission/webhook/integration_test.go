//go:build integration

package webhook_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission/admissiontest"
	"github.com/akri-go/akri/internal/admission/webhook"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
)

// What users see, through the API server with CRD and webhook.
func TestRefused(t *testing.T) {
	l := newFixture(t, nil)
	p := freeport.Port(t)
	l.serve(p, at(p))
	l.active()
	l.make(l.configuration("taken", "yard", admissiontest.Good))
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
		{name: "good", text: admissiontest.Good, warns: "-"},
		{name: "good Job", text: goodJob, warns: "-"},
		{name: "unknown field in a Pod, as upstream's suite has it", text: admissiontest.Good, changes: []string{"containers: => xUnknownSyntheticField: y\n      containers:"},
			err: "spec.brokerSpec.brokerPodSpec.xUnknownSyntheticField: Invalid value: this cluster's Kubernetes has no such field"},
		{name: "unknown field deep in a Pod", text: admissiontest.Good, changes: []string{"resources: => resorces: {}\n        resources:"}, err: "brokerPodSpec.containers[0].resorces: Invalid value"},
		{name: "unknown field deep in a Job", text: goodJob, changes: []string{"image: broker => imag: broker"}, err: "brokerJobSpec.template.spec.containers[0].imag: Invalid value"},
		{name: "unknown field in a Service", text: admissiontest.Good, changes: []string{"port: 80 => port: 80, prt: 1"}, warns: "instanceServiceSpec.ports[0].prt: this cluster's Kubernetes has no such field"},
		{name: "unknown field outside", text: admissiontest.Good, changes: []string{"capacity: 2 => capacty: 2"}, err: `unknown field "spec.capacty"`},
		{name: "a Pod without an image", text: admissiontest.Good, changes: []string{"image: broker => command: [b]"}, err: "brokerPodSpec.containers[0].image: Required value"},
		{name: "requests without limits", text: admissiontest.Good, changes: []string{"limits => requests"}, err: "resources.limits: Required value: Limit must be set"},
		{name: "a Job that always restarts", text: goodJob, changes: []string{"Never => Always"}, err: "brokerJobSpec.template.spec.restartPolicy: Required value: valid values"},
		{name: "a Service without ports", text: admissiontest.Good, changes: []string{"ports: [{port: 80}] => type: ClusterIP"}, warns: "instanceServiceSpec.ports:"},
		{name: "a Service spec of another shape", text: admissiontest.Good, changes: []string{"ports: [{port: 80}] => ports: 80"}, warns: "instanceServiceSpec: not a ServiceSpec"},
		{name: "ports of 0, which upstream's suite calls valid", text: admissiontest.Good, changes: []string{"port: 80 => port: 0, name: name, targetPort: 0, protocol: TCP"}, warns: "instanceServiceSpec.ports[0].port: 0: must be between 1 and 65535, inclusive: the Service will not be created"},
		{name: "a Pod that the namespace forbids", ns: "guarded", text: admissiontest.Good, warns: "brokerPodSpec: would be refused now: violates PodSecurity"},
		{name: "a Job whose Pods the namespace forbids", ns: "guarded", text: goodJob, warns: "brokerJobSpec: would be refused now: violates PodSecurity"},
		{name: "both brokers", text: admissiontest.Good, changes: []string{"brokerPodSpec: => brokerJobSpec: {template: {}}\n    brokerPodSpec:"}, err: "give brokerPodSpec or brokerJobSpec, not both"},
		{name: "no placeholder", text: admissiontest.Good, changes: []string{`"{{PLACEHOLDER}}" => memory`}, warns: "no container asks for"},
		{name: "bad rule", text: admissiontest.Good, changes: []string{"KERNEL== => KERNAL=="}, err: "discoveryDetails: Invalid value: udevRules: rule 1 of 1: column 1:"},
		{name: "no rules", text: admissiontest.Good, changes: []string{`- KERNEL=="video*" =>   []`}, err: "there is no rule"},
		{name: "rule of another meaning", text: admissiontest.Good, changes: []string{`KERNEL=="video*" => ENV{A}=="1", ENV{B}=="2"`}, warns: "must hold together with the ENV{A} before it"},
		{name: "no slot", text: admissiontest.Good, changes: []string{"capacity: 2 => capacity: 0"}, err: "spec.capacity"},
		{name: "name taken", as: "taken", text: admissiontest.Good, err: "metadata.name: Invalid value: belongs to the Configuration yard/taken"},
		{name: "name of an Instance", as: "cam-a1b2c3", text: admissiontest.Good, err: "belongs to an Instance of the Configuration yard/cam"},
		{name: "name of an Instance to come", as: "taken-00ff00", text: admissiontest.Good, err: "metadata.name: Invalid value: can become the name of an Instance of the Configuration yard/taken"},
		{name: "long name", as: strings.Repeat("x", 57), text: admissiontest.Good, err: "at most 56"},
		{name: "neither value nor source", text: admissiontest.Good, changes: []string{"name: udev => discoveryProperties: [{name: A}]\n    name: udev"}, err: "give exactly one of value and valueFrom"},
		{name: "value and source", text: admissiontest.Good, changes: []string{"name: udev => discoveryProperties: [{name: A, value: v, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n    name: udev"},
			err: "give exactly one of value and valueFrom"},
		{name: "value and no source, written out", text: admissiontest.Good, changes: []string{"name: udev => discoveryProperties: [{name: A, value: v, valueFrom: null}]\n    name: udev"}},
		{name: "no key", text: admissiontest.Good, changes: []string{"name: udev => discoveryProperties: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]\n    name: udev"}, err: "secretKeyRef.key"},
		{name: "negative grace", text: admissiontest.Good, changes: []string{"name: udev => offlineGracePeriod: -1s\n    name: udev"}, err: "must not be negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			as, ns := tt.as, tt.ns
			if as == "" {
				as = "x"
			}
			if ns == "" {
				ns = "default"
			}
			var err error
			var warned string
			for deadline := time.Now().Add(waitTimeout); ; {
				err = l.user.Create(t.Context(), l.configuration(as, ns, tt.text, tt.changes...), client.DryRunAll)
				warned = l.warned.take()
				if !strings.Contains(warned, "could not be looked up") && !strings.Contains(warned, "could not be checked") {
					break
				}
				// The API server was too slow for the webhook.
				if time.Now().After(deadline) {
					t.Fatalf("error %v, warnings %q", err, warned)
				}
			}
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
	if log := l.log.String(); strings.Contains(log, "forbidden") || strings.Contains(log, "panic") {
		t.Error("the log has something that must not be there")
	}
}

// Without the webhook nothing new can be written, and the error names who did
// not answer; cleaning up still works.
func TestDown(t *testing.T) {
	l := newFixture(t, nil)
	ctx := t.Context()
	// Before the webhook is registered everything passes: Configurations of the
	// release that installs it are made before its Pods run.
	l.make(l.configuration("early", "default", admissiontest.Good, "KERNEL== => KERNAL=="))
	p := freeport.Port(t)
	stop := l.serve(p, at(p))
	l.active()
	c := l.configuration("cam", "default", admissiontest.Good)
	c.SetFinalizers([]string{"example.org/hold"})
	l.make(c)
	stop()

	err := l.user.Create(ctx, l.configuration("late", "default", admissiontest.Good))
	if err == nil || !strings.Contains(err.Error(), webhook.WebhookName) {
		t.Errorf("create: %v, want an error that names %s", err, webhook.WebhookName)
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
	early := l.configuration("early", "default", admissiontest.Good)
	if err := l.user.Delete(ctx, early); err != nil {
		t.Errorf("delete one that the webhook would refuse: %v", err)
	}
	if err := l.user.Delete(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Error(err)
	}
	l.eventually("without the registration all is as before", func() error {
		return l.user.Create(ctx, l.configuration("later", "default", admissiontest.Good), client.DryRunAll)
	})
}

// Two replicas start at once with an empty Secret and agree on certificates.
// Then the certificates are renewed while the API server keeps asking.
func TestCertificates(t *testing.T) {
	l := newFixture(t, nil)
	l.clock.Store(int64((webhook.Certificates.Leaf - 20*24*time.Hour) / time.Second)) // the leaf will have 20 days left
	two, err := freeport.Find(2)
	if err != nil {
		t.Fatal(err)
	}
	a, b := two[0], two[1]
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
	before, secret := shows(a), l.secret(name+"-certs")
	stopB()

	l.clock.Store(0)
	stop := l.serve(b, at(a)) // a restart looks at once; a waits for its next look
	l.eventually("the leaf is renewed", func() error {
		if bytes.Equal(l.secret(name + "-certs").Data[certs.Leaf], secret.Data[certs.Leaf]) {
			return errors.New("it is the old one")
		}
		return nil
	})
	if !bytes.Equal(l.secret(name + "-certs").Data[certs.Bundle], secret.Data[certs.Bundle]) {
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
	s := l.secret(name + "-certs")
	s.Data = nil
	if err := l.user.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	l.serve(b, at(b))
	l.eventually("new certificates", func() error {
		if l.secret(name + "-certs").Data[certs.Bundle] == nil {
			return errors.New("none")
		}
		return nil
	})
	l.eventually("they are registered", func() error {
		if r := l.registration(); len(r.Webhooks) != 1 || !bytes.Equal(r.Webhooks[0].ClientConfig.CABundle, l.secret(name + "-certs").Data[certs.Bundle]) {
			return errors.New("another bundle")
		}
		return nil
	})
	l.active()
	if r := l.registration(); *r.Webhooks[0].ClientConfig.URL != at(b).String() || r.Generation > 5 {
		t.Errorf("generation %d, %+v", r.Generation, r.Webhooks[0].ClientConfig)
	}
}

// Users who may write Configurations can make Pods, Jobs and Services with them
// only if they may create these themselves.
func TestAuthorized(t *testing.T) {
	l := newFixture(t, nil)
	p := freeport.Port(t)
	l.serve(p, at(p), func(o *webhook.Options) { o.AuthorizeSpecs = true })
	l.active()
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	as := func(user string, rules ...rbacv1.PolicyRule) client.Client {
		rules = append(rules, rule("akri.sh", "configurations", "create", "update", "get"))
		l.make(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: "default"}, Rules: rules},
			&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: "default"},
				Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}})
		c, err := client.New(l.server.ConfigFor(user), client.Options{Scheme: l.user.Scheme()})
		if err != nil {
			t.Fatal(err)
		}
		l.eventually(user+" may write Configurations", func() error {
			return c.Create(t.Context(), l.configuration("probe", "default", "spec: {discoveryHandler: {name: mine}}"), client.DryRunAll)
		})
		return c
	}
	joe := as("joe")
	pods := as("jane", rule("", "pods", "create"))
	all := as("jim", rule("", "pods", "create"), rule("", "services", "create"))
	may := func(what string, err error, wants string) {
		t.Helper()
		if wants == "" && err != nil || wants != "" && (err == nil || !strings.Contains(err.Error(), wants)) {
			t.Errorf("%s: %v, want %q", what, err, wants)
		}
	}
	create := func(c client.Client, text string) error {
		return c.Create(t.Context(), l.configuration("x", "default", text), client.DryRunAll)
	}
	may("joe, a Pod", create(joe, admissiontest.Good), "spec.brokerSpec.brokerPodSpec: Forbidden: joe may not create pods in namespace default")
	may("joe, a Job", create(joe, goodJob), "spec.brokerSpec.brokerJobSpec: Forbidden: joe may not create jobs in namespace default")
	may("jane, a Service", create(pods, admissiontest.Good), "spec.instanceServiceSpec: Forbidden: jane may not create services in namespace default")
	if err := create(pods, admissiontest.Good); err != nil && strings.Contains(err.Error(), "brokerPodSpec") {
		t.Errorf("jane, a Pod: %v", err)
	}
	may("jim", create(all, admissiontest.Good), "")
	may("the admin", create(l.user, admissiontest.Good), "")

	// Who asks the same as another is told, if that one may be seen.
	l.make(l.configuration("secret", "yard", admissiontest.Good), l.configuration("mine", "default", goodJob))
	warned := &warnings{}
	cfg := l.server.ConfigFor("jim")
	cfg.WarningHandler = warned
	jim, err := client.New(cfg, client.Options{Scheme: l.user.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	l.eventually("warnings of what asks the same", func() error {
		l.warned.take()
		if err := create(l.user, admissiontest.Good); err != nil {
			return err
		}
		if got := l.warned.take(); !strings.Contains(got, "Configuration yard/secret asks for the same devices") {
			return fmt.Errorf("the admin reads %q", got)
		}
		return nil
	})
	may("jim, as another namespace", create(jim, admissiontest.Good), "")
	if got := warned.take(); strings.Contains(got, "asks for the same") {
		t.Errorf("jim is told of another namespace: %q", got)
	}
	may("jim, as another one here", create(jim, strings.Replace(admissiontest.Good, admissiontest.Good[strings.Index(admissiontest.Good, "    name: udev"):strings.Index(admissiontest.Good, "  brokerSpec")], "    name: mine\n", 1)), "")
	if got := warned.take(); !strings.Contains(got, "Configuration mine asks for the same") {
		t.Errorf("jim reads %q", got)
	}

	// Of what is there others may change what is not made into Pods.
	l.make(l.configuration("cam", "default", admissiontest.Good))
	update := func(c client.Client, change string) error {
		o := l.configuration("cam", "default", admissiontest.Good)
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		o.Object["spec"] = l.configuration("cam", "default", admissiontest.Good, change).Object["spec"]
		return c.Update(t.Context(), o, client.DryRunAll)
	}
	may("joe, the capacity", update(joe, "capacity: 2 => capacity: 3"), "")
	may("joe, the image", update(joe, "image: broker => image: mine"), "joe may not create pods")
	may("joe, the Service", update(joe, "port: 80 => port: 81"), "joe may not create services")
	may("jim, the image", update(all, "image: broker => image: mine"), "")

	// A controller without that right refuses, and says which right it lacks.
	r := &rbacv1.ClusterRole{}
	if err := l.user.Get(t.Context(), client.ObjectKey{Name: user}, r); err != nil {
		t.Fatal(err)
	}
	r.Rules = slices.DeleteFunc(r.Rules, func(r rbacv1.PolicyRule) bool { return r.APIGroups[0] == "authorization.k8s.io" })
	if err := l.user.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	l.eventually("without the right to ask", func() error {
		err := create(all, admissiontest.Good) // and not what asks the same
		if err == nil || !strings.Contains(err.Error(), "lacks the right to create subjectaccessreviews") {
			return fmt.Errorf("jim: %v", err)
		}
		return nil
	})
}

// Where an API server is too busy to say what a user may do, the user's client
// tries again by itself.
func TestTriedAgain(t *testing.T) {
	l := newFixture(t, nil)
	var busy atomic.Int32
	l.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/subjectaccessreviews") && busy.Add(-1) >= 0 {
				return nil, errors.New("busy")
			}
			return next.RoundTrip(r)
		})
	}
	p := freeport.Port(t)
	l.serve(p, at(p), func(o *webhook.Options) { o.AuthorizeSpecs = true })
	l.active()
	busy.Store(2)
	if err := l.user.Create(t.Context(), l.configuration("x", "default", admissiontest.Good), client.DryRunAll); err != nil {
		t.Error(err)
	}
	if left := busy.Load(); left >= 0 {
		t.Errorf("the webhook was to be told %d times more that the API server is busy", left+1)
	}
	if log := l.log.String(); strings.Count(log, "put off a Configuration") != 2 {
		t.Errorf("the log: %s", log)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// While strangers hold as many connections as they can get, and begin reviews
// that they do not finish, the API server's reviews are answered.
func TestFlooded(t *testing.T) {
	l := newFixture(t, nil)
	p := freeport.Port(t)
	l.serve(p, at(p))
	l.active()
	ctx, cancel := context.WithCancel(t.Context())
	var strangers sync.WaitGroup
	defer strangers.Wait()
	defer cancel()
	for i := range 200 {
		strangers.Go(func() {
			d := tls.Dialer{
				NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.0.4.%d", i%10+1))}},
				Config:    &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}},
			}
			for ctx.Err() == nil {
				c, err := d.DialContext(ctx, "tcp", at(p).Host)
				if err != nil {
					select {
					case <-ctx.Done():
					case <-time.After(100 * time.Millisecond): // at the pace of a machine of its own
					}
					continue
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				if i%2 == 0 {
					_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", webhook.Path)
				}
				_, _ = io.Copy(io.Discard, c)
				stop()
				c.Close()
			}
		})
	}
	for i := range 10 {
		eventually.Succeeds(t, waitTimeout, func(ctx context.Context) error { // as a user tries again
			err := l.user.Create(ctx, l.configuration(fmt.Sprintf("cam%d", i), "default", admissiontest.Good))
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
		eventually.Succeeds(t, waitTimeout, func(ctx context.Context) error {
			err := l.user.Create(ctx, l.configuration("bad", "default", admissiontest.Good, "KERNEL== => KERNAL=="))
			if apierrors.IsInvalid(err) {
				return nil
			}
			return fmt.Errorf("one that is wrong: %w", err)
		})
	}
}

// If the CA is the user's, the Secret is only read.
func TestOwnCA(t *testing.T) {
	mine, _, err := webhook.Certificates.Plan(time.Now(), nil, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	l := newFixture(t, map[string][]byte{certs.Leaf: mine[certs.Leaf], certs.LeafKey: mine[certs.LeafKey]})
	was := l.secret(name).ResourceVersion
	p := freeport.Port(t)
	l.serve(p, at(p), func(o *webhook.Options) { o.CABundle = mine[certs.Bundle] })
	l.active()
	if s := l.secret(name); s.ResourceVersion != was {
		t.Errorf("the Secret was written: %v", slices.Collect(maps.Keys(s.Data)))
	}
	if r := l.registration(); !bytes.Equal(r.Webhooks[0].ClientConfig.CABundle, mine[certs.Bundle]) {
		t.Error("another bundle is registered")
	}
	// Plain HTTP gets nothing.
	if resp, err := http.Get("http://" + at(p).Host + webhook.Path); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP: %s", resp.Status)
		}
	}
}
