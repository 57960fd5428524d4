package webhook

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v0 "github.com/akri-go/akri/api/v0"
)

// WebhookName appears in the API server's error when it cannot reach the
// webhook, so it says who should have answered.
const WebhookName = "akri-controller.configurations.akri.sh"

// servicePort is the Service's port.
const servicePort = 443

// Options configure the webhook.
type Options struct {
	// Name is the name of the Service and the ValidatingWebhookConfiguration.
	// The Secret is <Name>-certs; Service and Secret are in Namespace.
	Name, Namespace string
	// Host and Port are the listen address. An empty Host is all addresses.
	Host string
	Port int
	// CABundle is the user's own, in PEM. Then the Secret is the user's too,
	// and has the name Name, as in upstream's chart.
	CABundle []byte
	// AuthorizeSpecs checks that users have the right to create the Pods, Jobs
	// and Services that are made from what they write.
	AuthorizeSpecs bool
	// DiscoveryDigest tells which Configurations in the manager's cache have
	// the same discovery request; see [Validator].
	DiscoveryDigest func(v0.DiscoveryHandlerInfo) string
	// URL is where the API server reaches the webhook if not through the
	// Service.
	URL *url.URL
	Log *slog.Logger
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Setup adds the webhook to a manager. Ready returns why the webhook is not
// served yet, or nil.
func Setup(mgr manager.Manager, o Options) (ready func() error, err error) {
	yes := true
	cfg := rest.CopyConfig(mgr.GetConfig())
	cfg.WarningHandler = rest.NoWarnings{} // they would be about trials
	dryRun, err := client.New(cfg, client.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DryRun: &yes, FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		return nil, fmt.Errorf("make a client for trials: %w", err)
	}
	k := &keeper{Options: o, live: mgr.GetAPIReader(), writer: mgr.GetClient(), now: o.Now}
	if k.now == nil {
		k.now = time.Now
	}
	s := &server{
		Server: webhook.NewServer(webhook.Options{}), address: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)),
		certificate: k.GetCertificate, log: o.Log,
	}
	v := &Validator{Live: mgr.GetAPIReader(), Cached: mgr.GetClient(), DiscoveryDigest: o.DiscoveryDigest, DryRun: dryRun, Log: o.Log}
	if o.AuthorizeSpecs {
		v.Rights = mgr.GetClient()
	}
	s.Register(Path, limited(&ctrladmission.Webhook{Handler: v}))
	if err := mgr.Add(s); err != nil {
		return nil, fmt.Errorf("add the webhook's server: %w", err)
	}
	if err := mgr.Add(k); err != nil {
		return nil, fmt.Errorf("add the webhook's keeper: %w", err)
	}
	return s.ready, nil
}

// webhook is what is registered. All defaults are written out, so that it can
// be compared with what the API server has.
//
// Only changes of the spec are sent: deletions, status, labels and finalizers
// never depend on the webhook.
func (k *keeper) webhook(bundle []byte) admissionregistrationv1.ValidatingWebhook {
	scope, policy, match := admissionregistrationv1.NamespacedScope, admissionregistrationv1.Fail, admissionregistrationv1.Equivalent
	effects, seconds := admissionregistrationv1.SideEffectClassNone, int32(reviewTimeout/time.Second)
	path, port := Path, int32(servicePort)
	at := admissionregistrationv1.WebhookClientConfig{CABundle: bundle}
	if k.URL != nil {
		u := k.URL.String()
		at.URL = &u
	} else {
		at.Service = &admissionregistrationv1.ServiceReference{Namespace: k.Namespace, Name: k.Name, Path: &path, Port: &port}
	}
	return admissionregistrationv1.ValidatingWebhook{
		Name:         WebhookName,
		ClientConfig: at,
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{v0.GroupVersion.Group}, APIVersions: []string{v0.GroupVersion.Version},
				Resources: []string{"configurations"}, Scope: &scope,
			},
		}},
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "spec-changes", Expression: "request.operation == 'CREATE' || object.spec != oldObject.spec"},
			{Name: "not-being-deleted", Expression: "!has(object.metadata.deletionTimestamp)"},
		},
		FailurePolicy: &policy, MatchPolicy: &match, SideEffects: &effects, TimeoutSeconds: &seconds,
		NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
		AdmissionReviewVersions: []string{"v1"},
	}
}
