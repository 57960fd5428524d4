package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/certs"
)

const (
	// lookInterval is how often a keeper checks Secret and registration. While
	// something is missing it retries after firstRetryDelay, twice that, and so
	// on.
	lookInterval    = time.Minute
	firstRetryDelay = time.Second
)

// Certificates says how the webhook's certificates are renewed.
var Certificates = certs.Policy{
	Name: "akri-webhook", Authority: 2 * 365 * 24 * time.Hour, Leaf: 90 * 24 * time.Hour, Settle: 24 * time.Hour,
}

// keeper keeps the webhook reachable: it renews the certificates in the Secret,
// serves the newest, and registers the webhook once the Service answers. All
// replicas have a keeper; the first to write wins.
type keeper struct {
	Options
	live   client.Reader
	writer client.Client
	now    func() time.Time

	shown      atomic.Pointer[tls.Certificate]
	registered bool
}

// NeedLeaderElection says that the keeper runs in every replica.
func (k *keeper) NeedLeaderElection() bool { return false }

// Start works until ctx is done.
func (k *keeper) Start(ctx context.Context) error {
	retry := backoff.Backoff{First: firstRetryDelay, Max: lookInterval}
	failures, said := 0, ""
	for {
		wait := lookInterval
		if err := k.round(ctx); err == nil {
			failures, said = 0, ""
		} else {
			failures++
			wait = retry.Delay(failures)
			switch {
			case ctx.Err() != nil, apierrors.IsConflict(err): // another replica was faster
			case wait == lookInterval:
				k.Log.Warn("the admission webhook does not work", "error", err)
			case err.Error() != said:
				said = err.Error()
				k.Log.Info("the admission webhook does not work yet", "error", err)
			}
		}
		if backoff.Sleep(ctx, wait) != nil {
			return nil // the program ends
		}
	}
}

// GetCertificate returns the certificate for clients.
func (k *keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.shown.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("no certificate yet")
}

// round updates everything, or says what is missing.
func (k *keeper) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	data, err := k.secret(ctx)
	if err != nil {
		return err
	}
	bundle := k.CABundle
	if bundle == nil {
		bundle = data[certs.Bundle]
	}
	pair, err := tls.X509KeyPair(data[certs.Leaf], data[certs.LeafKey])
	if err != nil {
		return fmt.Errorf("use %s and %s of Secret %s/%s: %w", certs.Leaf, certs.LeafKey, k.Namespace, k.secretName(), err)
	}
	k.shown.Store(&pair)
	return k.register(ctx, bundle)
}

// secret returns the data of the Secret after any renewal. If the user gave a
// bundle, the Secret is the user's too and only read.
func (k *keeper) secret(ctx context.Context) (map[string][]byte, error) {
	s := &corev1.Secret{}
	key := types.NamespacedName{Namespace: k.Namespace, Name: k.secretName()}
	if err := k.live.Get(ctx, key, s); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("the Secret %s does not exist: helm upgrade creates it; with a caBundle of your own, create it yourself, with %s and %s",
				key, certs.Leaf, certs.LeafKey)
		}
		return nil, fmt.Errorf("read the Secret %s: %w", key, err)
	}
	if k.CABundle != nil {
		return s.Data, nil
	}
	data, changed, err := Certificates.Plan(k.now(), s.Data, k.hosts())
	if err != nil || !changed {
		return data, err
	}
	s.Data = data
	// With the resourceVersion that was read: if another replica was faster,
	// its certificates count.
	if err := k.writer.Update(ctx, s); err != nil {
		return nil, fmt.Errorf("renew the certificates in Secret %s: %w", key, err)
	}
	k.Log.Info("renewed the webhook's certificates", "secret", key.String())
	return data, nil
}

// secretName differs from the name of upstream's Secret, which belongs to no
// Helm release and would be in the way.
func (k *keeper) secretName() string {
	if k.CABundle != nil {
		return k.Name
	}
	return k.Name + "-certs"
}

// register writes the webhook into the ValidatingWebhookConfiguration, with the
// bundle. At first it waits until the Service answers, because from then on no
// Configuration can be written without an answer.
func (k *keeper) register(ctx context.Context, bundle []byte) error {
	o := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := k.live.Get(ctx, types.NamespacedName{Name: k.Name}, o); err != nil {
		return fmt.Errorf("read the ValidatingWebhookConfiguration %s (helm upgrade creates it): %w", k.Name, err)
	}
	want := []admissionregistrationv1.ValidatingWebhook{k.webhook(bundle)}
	if equality.Semantic.DeepEqual(o.Webhooks, want) {
		k.say()
		return nil
	}
	if !slices.ContainsFunc(o.Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == WebhookName }) {
		if err := k.reach(ctx, bundle); err != nil {
			return fmt.Errorf("wait for the webhook to be reachable: %w", err)
		}
	}
	patch := client.MergeFromWithOptions(o.DeepCopy(), client.MergeFromWithOptimisticLock{})
	o.Webhooks = want
	if err := k.writer.Patch(ctx, o, patch); err != nil {
		return fmt.Errorf("write the ValidatingWebhookConfiguration %s: %w", k.Name, err)
	}
	k.say()
	return nil
}

func (k *keeper) say() {
	if !k.registered {
		k.registered = true
		k.Log.Info("Configurations are checked when they are written", "webhook", k.Name)
	}
}

// reach makes a TLS connection to the webhook as the API server would.
func (k *keeper) reach(ctx context.Context, bundle []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return errors.New("the CA bundle has no certificate in PEM")
	}
	address, err := k.address(ctx)
	if err != nil {
		return err
	}
	d := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: reviewTimeout},
		Config:    &tls.Config{RootCAs: roots, ServerName: k.hosts()[0], Time: k.now},
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect to Service %s/%s: %w", k.Namespace, k.Name, err)
	}
	return conn.Close()
}

// address is the Service's IP address: not every cluster has DNS.
func (k *keeper) address(ctx context.Context) (string, error) {
	if k.URL != nil {
		return k.URL.Host, nil
	}
	s := &corev1.Service{}
	key := types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
	if err := k.live.Get(ctx, key, s); err != nil {
		return "", fmt.Errorf("read the Service %s: %w", key, err)
	}
	return net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(servicePort)), nil
}

// hosts are the names that the leaf must have.
func (k *keeper) hosts() []string {
	if k.URL != nil {
		return []string{k.URL.Hostname()}
	}
	return []string{k.Name + "." + k.Namespace + ".svc"}
}
