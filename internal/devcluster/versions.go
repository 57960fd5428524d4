package devcluster

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
)

// KubernetesVersions lists the versions of Kubernetes that a cluster can have,
// the default first.
func KubernetesVersions() (list []string) {
	for _, v := range kubebin.Versions() {
		list = append(list, strings.TrimPrefix(v, "v"))
	}
	return list
}

// CheckKubernetes refuses a version of Kubernetes that is not supported.
func CheckKubernetes(wish string) error {
	_, err := kubebin.FindVersion(wish)
	return err
}

// Kubernetes is the version of the cluster's Kubernetes, for example v1.37.1.
func (c *Cluster) Kubernetes() string {
	return cmp.Or(c.state.Kubernetes, kubebin.DefaultVersion()) // earlier there was only one
}

// kubeletGates lists the feature gates that are off by default in the cluster's
// Kubernetes and that the kubelet's configuration needs.
func (c *Cluster) kubeletGates() []string {
	if c.maxRestart > 0 && kubebin.Before(c.Kubernetes(), "v1.35") {
		return []string{"KubeletCrashLoopBackOffMax"}
	}
	return nil
}

// chooseKubernetes returns the version for a cluster, given the state of an
// existing one, or nil, and the wished version, or "". A cluster keeps its
// minor version.
func chooseKubernetes(old *state, wish string) (string, error) {
	if old == nil {
		return kubebin.FindVersion(cmp.Or(wish, kubebin.DefaultVersion()))
	}
	has := (&Cluster{state: *old}).Kubernetes()
	version, err := kubebin.FindVersion(cmp.Or(wish, kubebin.Minor(has)))
	if err != nil && wish == "" {
		return "", fmt.Errorf("the existing cluster has Kubernetes %s: %w; `akri dev down` removes it", has, err)
	}
	if err == nil && kubebin.Minor(version) != kubebin.Minor(has) {
		return "", fmt.Errorf("the existing cluster has Kubernetes %s, not %s, and keeps it; `akri dev down` first, or make another with --dir", has, version)
	}
	return version, err
}
