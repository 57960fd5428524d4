// Package kubeconfig finds out how to reach the API server.
package kubeconfig

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Load returns how to reach the API server: from the kubeconfig file if one is
// given, else as a Pod in the cluster.
func Load(file string) (*rest.Config, error) {
	if file != "" {
		cfg, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			return nil, fmt.Errorf("read kubeconfig %s: %w", file, err)
		}
		return cfg, nil
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server (outside a cluster, give --kubeconfig): %w", err)
	}
	return cfg, nil
}

// User returns how a person's program reaches the API server, as kubectl does:
// from the file if one is given, else as $KUBECONFIG, ~/.kube/config or the Pod
// say; and the namespace of that context. Context may be "", for the current one.
func User(file, context string) (cfg *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
	if namespace, _, err = loader.Namespace(); err == nil {
		cfg, err = loader.ClientConfig()
	}
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", errors.New("there is no kubeconfig: set KUBECONFIG or give --kubeconfig " +
			"(for a cluster of `akri dev up`: export KUBECONFIG=$(akri dev kubeconfig --path))")
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	return cfg, namespace, nil
}
