package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// A kubelet makes its CSINode as soon as it is answered when it asks for it, and
// fails while there is no Node. It registers its Node a moment later; on a busy
// machine it takes it long. It tries again 0.03, 0.2, 2, 15 and 123 s later, and
// its Node is not ready until then. So it is answered when it has registered.
func (s *Server) asksTooEarly(t target, user User) bool {
	if !user.isNode() || t.resource.Group != "storage.k8s.io" || t.resource.Name != "csinodes" || t.name != s.Node {
		return false
	}
	o, _, _ := s.Store.Known(store.Key{Resource: store.Nodes, Name: s.Node}, edgev1.As{})
	return o == nil
}

// registerFirst is the answer then. The kubelet asks again a second later.
func registerFirst() error {
	err := unavailable("the Node is not there yet, and a CSINode is its Node's")
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}
