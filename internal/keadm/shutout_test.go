package keadm

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// resets notes who was reset.
type resets struct {
	nodes []string
	err   error
}

func (r *resets) Reset(_ context.Context, node string) error {
	r.nodes = append(r.nodes, node)
	return r.err
}

func TestShutOut(t *testing.T) {
	refused := errors.New("forbidden")
	for _, c := range []struct {
		node   string
		err    error
		warned bool
	}{
		{"shop-1", nil, false},
		{"shop1", nil, true}, // misspelt
		{"edge", nil, true},  // as KubeEdge's keadm reset edge, which is about a machine
		{"shop-1", refused, false},
	} {
		client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "shop-1"}})
		r := &resets{err: c.err}
		var out, notes bytes.Buffer
		err := ShutOut(t.Context(), r, client, c.node, &out, &notes)
		if !errors.Is(err, c.err) || len(r.nodes) != 1 || r.nodes[0] != c.node {
			t.Errorf("%s: %v, reset %v", c.node, err, r.nodes)
		}
		if done := strings.Contains(out.String(), "useless now"); done != (c.err == nil) {
			t.Errorf("%s: says %q", c.node, &out)
		}
		if warned := strings.Contains(notes.String(), "no Node "+c.node); warned != c.warned {
			t.Errorf("%s: warns %q", c.node, &notes)
		}
	}
}
