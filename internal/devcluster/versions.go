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

// CheckKubernetes refuses a version of Kubernetes that no cluster can have.
func CheckKubernetes(wish string) error {
	_, err := kubebin.FindVersion(wish)
	return err
}

// Kubernetes is the version of the cluster's Kubernetes, v1.37.1 for instance.
func (c *Cluster) Kubernetes() string {
	return cmp.Or(c.state.Kubernetes, kubebin.DefaultVersion()) // earlier, there was one only
}

// kubeletGates lists the feature gates that the cluster's Kubernetes has closed
// by default and the kubelet's configuration needs.
func (c *Cluster) kubeletGates() []string {
	if c.maxRestart > 0 && kubebin.Before(c.Kubernetes(), "v1.35") {
		return []string{"KubeletCrashLoopBackOffMax"}
	}
	return nil
}

// chooseKubernetes returns the version that a cluster gets, given the state of
// the one that is there, or nil, and what is asked for, which may be nothing. A
// cluster stays with its minor version.
func chooseKubernetes(old *state, wish string) (string, error) {
	if old == nil {
		return kubebin.FindVersion(cmp.Or(wish, kubebin.DefaultVersion()))
	}
	has := (&Cluster{state: *old}).Kubernetes()
	version, err := kubebin.FindVersion(cmp.Or(wish, kubebin.Minor(has)))
	if err != nil && wish == "" {
		return "", fmt.Errorf("the cluster that is there has Kubernetes %s: %w; `akri dev down` removes it", has, err)
	}
	if err == nil && kubebin.Minor(version) != kubebin.Minor(has) {
		return "", fmt.Errorf("the cluster that is there has Kubernetes %s, not %s, and does not change; `akri dev down` first, or make another with --dir", has, version)
	}
	return version, err
}
