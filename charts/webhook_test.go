package charts

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// The controller registers the webhook, never the chart: until it can be
// reached the API server must not call it.
func TestWebhook(t *testing.T) {
	const name = "akri-webhook-configuration"
	r := render(t)
	registration := decode[admissionregistrationv1.ValidatingWebhookConfiguration](t, r, "ValidatingWebhookConfiguration/"+name)
	secret := decode[corev1.Secret](t, r, "Secret/"+name+"-certs")
	if registration.Webhooks != nil || secret.Data != nil {
		t.Errorf("not empty: %v %v", registration.Webhooks, secret.Data)
	}
	pod := r.deployment(t, "akri-controller-deployment").Spec.Template
	svc := decode[corev1.Service](t, r, "Service/"+name)
	for k, v := range svc.Spec.Selector {
		if pod.Labels[k] != v {
			t.Errorf("the Service selects %s=%s, the controller has %q", k, v, pod.Labels[k])
		}
	}
	if p := svc.Spec.Ports[0]; p.Port != 443 || !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool {
		return c.Name == p.TargetPort.StrVal && c.ContainerPort == 8443
	}) {
		t.Errorf("port %v of %v", p, pod.Spec.Containers[0].Ports)
	}
	if e := envOf(pod.Spec.Containers[0], "WEBHOOK"); e == nil || e.Value != name {
		t.Errorf("WEBHOOK is %v", e)
	}
	role := decode[rbacv1.Role](t, r, "Role/akri-controller-webhook")
	if d := cmp.Diff([]rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name + "-certs"}, Verbs: []string{"get", "update"}}}, role.Rules); d != "" {
		t.Error(d)
	}
	if rule := r.clusterRole(t, "akri-controller-webhook").Rules[0]; !slices.Equal(rule.ResourceNames, []string{name}) || !slices.Equal(rule.Verbs, []string{"get", "patch"}) {
		t.Errorf("cluster role %v", rule)
	}

	r = render(t, "webhookConfiguration.caBundle=cGVt", "webhookConfiguration.name=mine")
	if e := envOf(r.deployment(t, "akri-controller-deployment").Spec.Template.Spec.Containers[0], "WEBHOOK_CA_BUNDLE"); e == nil || e.Value != "cGVt" {
		t.Errorf("WEBHOOK_CA_BUNDLE is %v", e)
	}
	if rule := decode[rbacv1.Role](t, r, "Role/akri-controller-webhook").Rules[0]; !slices.Equal(rule.Verbs, []string{"get"}) || rule.ResourceNames[0] != "mine" {
		t.Errorf("the controller may %v", rule)
	}
	c := render(t, "webhookConfiguration.enabled=false").deployment(t, "akri-controller-deployment").Spec.Template.Spec.Containers[0]
	if envOf(c, "WEBHOOK") != nil || len(c.Ports) != 2 || c.Lifecycle != nil {
		t.Errorf("without the webhook: %v %v", c.Env, c.Ports)
	}
}
