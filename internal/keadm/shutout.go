package keadm

import (
	"context"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Resetter makes what a node has useless.
type Resetter interface {
	Reset(ctx context.Context, node string) error
}

// ShutOut makes a node's certificates and tokens useless. Nobody keeps a list of
// certificates, so any name can be shut out; a person who has misspelt one hears
// in notes that the cluster has no such Node.
func ShutOut(ctx context.Context, t Resetter, client kubernetes.Interface, node string, out, notes io.Writer) error {
	if err := t.Reset(ctx, node); err != nil {
		return err
	}
	if _, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		fmt.Fprintf(notes, "warning: the cluster has no Node %s: is that its name? (keadm reset without a name takes this machine out of a cluster)\n", node)
	}
	_, err := fmt.Fprintf(out, "all certificates and tokens that %s had are useless now; with a new token it can join again\n", node)
	return err
}
