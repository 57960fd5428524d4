package chartuser

import (
	"context"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/charts"
)

// CloudcoreNamespace is the namespace of the release of the chart cloudcore.
const CloudcoreNamespace = "cloudcore-system"

// Cloudcore creates the service account, roles, policies and Secret of the chart
// cloudcore, waits until the policies are in effect, and returns a client
// configuration with a token of that account. Cfg is a cluster administrator's.
func Cloudcore(ctx context.Context, cfg *rest.Config, set ...string) (*rest.Config, error) {
	if _, err := install(ctx, cfg, charts.Cloudcore, CloudcoreNamespace, []string{"rbac.yaml", "policies.yaml"},
		set); err != nil {
		return nil, err
	}
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "cloudcore"}}
	if _, err := cs.CoreV1().Secrets(CloudcoreNamespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	answer, err := cs.CoreV1().ServiceAccounts(CloudcoreNamespace).
		CreateToken(ctx, "cloudcore", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token for cloudcore: %w", err)
	}
	own := &rest.Config{
		Host: cfg.Host, TLSClientConfig: rest.TLSClientConfig{CAData: cfg.CAData}, BearerToken: answer.Status.Token, QPS: -1,
	}
	return own, cloudcorePolicies(ctx, cs, own)
}

// cloudcorePolicies waits until the policies refuse what they must, in a dry run.
func cloudcorePolicies(ctx context.Context, admin kubernetes.Interface, own *rest.Config) error {
	cs, err := kubernetes.NewForConfig(own)
	if err != nil {
		return err
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	if _, err := admin.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: corev1.PodSpec{
		NodeName: "probe", Containers: []corev1.Container{{Name: "c", Image: "none"}},
	}}
	if _, err := admin.CoreV1().Pods(CloudcoreNamespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	patch, dry := []byte(`{"metadata":{"annotations":{"x":"y"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
	for what, try := range map[string]func(context.Context) error{
		"cloudcore-nodes": func(ctx context.Context) error {
			_, err := cs.CoreV1().Nodes().Patch(ctx, "probe", types.MergePatchType, patch, dry)
			return err
		},
		"cloudcore-pods": func(ctx context.Context) error {
			_, err := cs.CoreV1().Pods(CloudcoreNamespace).Patch(ctx, "probe", types.MergePatchType, patch, dry)
			return err
		},
	} {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 25*time.Millisecond, policyTimeout, true,
			func(ctx context.Context) (bool, error) {
				last = try(ctx)
				return last != nil && strings.Contains(last.Error(), "'"+what+"'"), nil
			})
		if err != nil {
			return fmt.Errorf("wait for policy %s: %w (last answer: %v)", what, err, last)
		}
	}
	var now int64
	if err := admin.CoreV1().Pods(CloudcoreNamespace).Delete(ctx, "probe",
		metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		return err
	}
	return admin.CoreV1().Nodes().Delete(ctx, "probe", metav1.DeleteOptions{})
}
