// Package kubeconfig finds out how to reach the API server.
package kubeconfig

import (
	"fmt"
	"os"

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

// Missing is the error about a kubeconfig that is not there, and says what to do.
func Missing(remedy string) error {
	if file := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); file != "" {
		return fmt.Errorf("there is no kubeconfig where KUBECONFIG says, at %s: %s", file, remedy)
	}
	return fmt.Errorf("there is no kubeconfig: %s", remedy)
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
		return nil, "", Missing("set KUBECONFIG or give --kubeconfig " +
			"(for a cluster of `akri dev up`: export KUBECONFIG=$(akri dev kubeconfig --path))")
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	return cfg, namespace, nil
}
