//go:build integration

package limits

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
)

// TestAPIServers asks real API servers, as they are set up in clusters.
func TestAPIServers(t *testing.T) {
	for _, c := range []struct {
		name string
		with kubetest.Option
		want Limits
	}{
		{"kubeadm and K3s", kubetest.WithNodeRestriction(), Limits{Reads: true, Writes: true}},
		{"MicroK8s", kubetest.WithAPIServerArgs("--authorization-mode=AlwaysAllow"), Limits{}},
		{"MicroK8s with rbac", kubetest.WithAPIServerArgs(), Limits{Reads: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := kubetest.Start(t, kubetest.WithCRDs(""), c.with)
			client, err := kube.New(s.Config)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Ask(t.Context(), client); err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			admin, err := kubernetes.NewForConfig(s.Config)
			if err != nil {
				t.Fatal(err)
			}
			nodes, err := admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil || len(nodes.Items) > 0 {
				t.Errorf("it has left %d Nodes, %v", len(nodes.Items), err)
			}
		})
	}
}
