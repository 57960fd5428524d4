package edge

import (
	"context"
	"errors"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// registrationInterval is how often it is looked whether the cluster has the Node,
// if nobody says that it has changed.
const registrationInterval = 10 * time.Second

// errNodeGone is why a kubelet is started again.
var errNodeGone = errors.New("the cluster has this node's Node no longer; the kubelet makes it when it starts")

// registration is what is known of a kubelet that runs. A kubelet makes its Node
// when it starts, and never again: somebody may delete it, or restore the
// cluster's etcd from a backup that is older than the node.
type registration struct {
	pid int
	had bool // this kubelet has had a Node, the cluster's or the one of before the cut
}

// lost decides whether the kubelet must start again. there says whether the Node is
// there as far as this node knows, and current whether the cluster says the same
// now. A kubelet whose Node has never come is not helped by a start.
func (r *registration) lost(pid int, there, current bool) bool {
	if pid != r.pid {
		*r = registration{pid: pid}
	}
	lost := r.had && !there && current && pid != 0
	r.had = !lost && (r.had || there)
	return lost
}

// keepRegistered has the kubelet start again when its Node is gone, until ctx is
// done: before the cluster deletes the Pods of a Node that it does not have, after
// 40 s. linked says whether what the store has is the cluster's.
func keepRegistered(ctx context.Context, st *store.Store, node string, linked func() bool, kubelet *edged.Program) {
	tick := time.NewTicker(registrationInterval)
	defer tick.Stop()
	key := store.Key{Resource: store.Nodes, Name: node}
	var r registration
	for ctx.Err() == nil {
		changed := st.Changed(key.Resource)
		o, live, known := st.Known(key, edgev1.As{})
		if r.lost(kubelet.State().PID, o != nil, live && known && linked()) {
			kubelet.Restart(errNodeGone)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-tick.C:
		}
	}
}
