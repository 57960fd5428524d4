package chartuser

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	agentAccount      = "akri-agent-sa"
	controllerAccount = "akri-controller-sa"
	dashboardAccount  = "akri-dashboard-sa"

	// nodeName is the user info key for the node of a token's Pod.
	nodeName = "authentication.kubernetes.io/node-name"
)

// Agent returns a client configuration that acts as the agent of a node: an
// administrator who impersonates the user of [AgentToken].
func Agent(cfg *rest.Config, node string) *rest.Config {
	c := impersonate(cfg, agentAccount)
	c.Impersonate.Extra = map[string][]string{nodeName: {node}}
	return c
}

// Controller returns a client configuration that acts as the controller.
func Controller(cfg *rest.Config) *rest.Config { return impersonate(cfg, controllerAccount) }

// Dashboard returns a client configuration that acts as the dashboard.
func Dashboard(cfg *rest.Config) *rest.Config { return impersonate(cfg, dashboardAccount) }

func impersonate(cfg *rest.Config, account string) *rest.Config {
	c := rest.CopyConfig(cfg)
	c.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + Namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + Namespace, "system:authenticated"},
	}
	return c
}

// AgentToken returns a client configuration with a token like the one that the
// kubelet gives the agent: for the agent's service account, bound to a Pod on
// the node. It creates Node and Pod if they do not exist. Without a node the
// token is not bound.
func AgentToken(ctx context.Context, cfg *rest.Config, node string) (*rest.Config, error) {
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	request := &authenticationv1.TokenRequest{}
	if node != "" {
		pod, err := agentPod(ctx, cs, node)
		if err != nil {
			return nil, err
		}
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
		}
	}
	answer, err := cs.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, agentAccount, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token for node %q: %w", node, err)
	}
	return &rest.Config{
		Host:            cfg.Host,
		TLSClientConfig: rest.TLSClientConfig{CAData: cfg.CAData},
		BearerToken:     answer.Status.Token,
		QPS:             -1,
	}, nil
}

func agentPod(ctx context.Context, cs kubernetes.Interface, node string) (*corev1.Pod, error) {
	_, err := cs.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("create node %s: %w", node, err)
	}
	pods := cs.CoreV1().Pods(Namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "akri-agent-" + node},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: agentAccount,
			Containers: []corev1.Container{{Name: "akri-agent", Image: "none"}},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return pods.Get(ctx, "akri-agent-"+node, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("create the agent's Pod on node %s: %w", node, err)
	}
	return pod, nil
}
