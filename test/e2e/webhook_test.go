//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission/webhook"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/test/testcluster"
)

// The webhook as the chart installs it: over the Service, with certificates
// that the controllers made. The release's own Configuration shows that the
// webhook did not block it before it ran.
func TestWebhook(t *testing.T) {
	ns := namespace(t)
	registered(t)
	own := &v0.Configuration{}
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: "akri-udev"}, own); err != nil {
		t.Errorf("the release's own Configuration: %v", err)
	}

	valid := echoConfiguration(ns, "hooked", 1, "hooked")
	valid.Spec.BrokerSpec = brokerPod(t)
	testcluster.Insist(t, func(ctx context.Context) error { return api.Create(ctx, valid.DeepCopy(), client.DryRunAll) })
	invalid := valid.DeepCopy()
	invalid.Spec.BrokerSpec.BrokerPodSpec.Raw = []byte(strings.Replace(
		string(invalid.Spec.BrokerSpec.BrokerPodSpec.Raw), "{", `{"xUnknownSyntheticField":"x",`, 1))
	// The API server takes a moment to follow what it shows of the registration.
	eventually(t, waitTimeout, func(ctx context.Context) error {
		err := api.Create(ctx, invalid.DeepCopy(), client.DryRunAll)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "brokerPodSpec.xUnknownSyntheticField") {
			return fmt.Errorf("an unknown field: %w", err)
		}
		return nil
	})
}

// An upgrade touches neither the registration nor the certificates: Helm did
// not write them.
func TestUpgradeKeepsWebhook(t *testing.T) {
	registered(t)
	before, secret := registration(), &corev1.Secret{}
	key := client.ObjectKey{Namespace: releaseNamespace, Name: before.Name + "-certs"}
	if err := errors.Join(api.Get(t.Context(), client.ObjectKeyFromObject(before), before), api.Get(t.Context(), key, secret)); err != nil {
		t.Fatal(err)
	}
	settings, err := helm.ParseValues(append(values(), "controller.resources.memoryRequest=33Mi"))
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.InstallChart(t.Context(), helm.InstallOptions{
		ChartDir: filepath.Join(bed.Repo, "charts", "akri"), Release: testcluster.Release, Namespace: releaseNamespace,
		Values: settings, Wait: 2 * waitTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	after, same := registration(), &corev1.Secret{}
	if err := errors.Join(api.Get(t.Context(), client.ObjectKeyFromObject(after), after), api.Get(t.Context(), key, same)); err != nil {
		t.Fatal(err)
	}
	if after.UID != before.UID || after.Generation != before.Generation || len(after.Webhooks) != 1 {
		t.Errorf("the registration changed: %d webhooks, generation %d, was %d", len(after.Webhooks), after.Generation, before.Generation)
	}
	if !reflect.DeepEqual(secret.Data, same.Data) || len(same.Data) == 0 {
		t.Error("the certificates changed")
	}
}

// registered waits until the API server is told to ask the webhook.
func registered(t *testing.T) {
	t.Helper()
	eventually(t, waitTimeout, func(ctx context.Context) error {
		o := registration()
		if err := api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		if len(o.Webhooks) != 1 || o.Webhooks[0].Name != webhook.WebhookName {
			return errors.New("the webhook is not registered")
		}
		return nil
	})
}

// unchecked makes a Configuration while the webhook is off. The controllers
// register it again within a minute.
func unchecked(t *testing.T, c *v0.Configuration) {
	t.Helper()
	eventually(t, waitTimeout, func(ctx context.Context) error {
		if err := api.Patch(ctx, registration(), client.RawPatch(types.MergePatchType, []byte(`{"webhooks":null}`))); err != nil {
			return err
		}
		return api.Create(ctx, c)
	})
}

func registration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "akri-webhook-configuration"}}
}
