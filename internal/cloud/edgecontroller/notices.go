package edgecontroller

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

const (
	// noticeInterval is how often the same is said of one node: two machines with
	// one name take turns each minute.
	noticeInterval = 10 * time.Minute
	// maxNotices is how many may wait to be written.
	maxNotices    = 256
	noticeTimeout = 10 * time.Second
)

// notice is something that a person must hear of a node: an Event on it.
type notice struct{ node, reason, message string }

// Twins notes that a machine has taken a node's session over from another one.
func (c *Controller) Twins(node, address, before string) {
	c.tell(notice{node, "TwoMachines", fmt.Sprintf("two machines have certificates of this node: the one at %s has taken over "+
		"from the one at %s. Run keadm reset %s, then join the right one again with a new token", address, before, node)})
}

// restored is that the cluster has forgotten what a node has seen of it.
func restored(node string) notice {
	return notice{node, "ClusterWentBack", "the cluster has forgotten changes that this node has seen: its etcd was restored from a " +
		"backup, or has lost data. The node takes over what the cluster has now"}
}

// tell has a notice written. It does not wait.
func (c *Controller) tell(n notice) {
	select {
	case c.notices <- n:
	default: // so many are a trouble of the whole cluster, which the log tells
	}
}

// writeNotices writes them until ctx is done.
func (c *Controller) writeNotices(ctx context.Context) error {
	told := map[[2]string]time.Time{} // by node and reason
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-c.notices:
			now := time.Now()
			for of, at := range told {
				if now.Sub(at) >= noticeInterval {
					delete(told, of)
				}
			}
			of := [2]string{n.node, n.reason}
			if !told[of].IsZero() {
				continue
			}
			told[of] = now
			if err := c.writeNotice(ctx, n, now); err != nil && ctx.Err() == nil {
				c.complaints.Log(c.Log, slog.LevelWarn, "an Event cannot be written", "node", n.node, "reason", n.reason, "error", err)
			}
		}
	}
}

// writeNotice writes the Event, as the node itself may.
func (c *Controller) writeNotice(ctx context.Context, n notice, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	at := now.UTC().Format(time.RFC3339)
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata":       map[string]any{"name": fmt.Sprintf("%s.%x", n.node, now.UnixNano()), "namespace": "default"},
		"involvedObject": map[string]any{"apiVersion": "v1", "kind": "Node", "name": n.node, "uid": c.nodeUID(n.node)},
		"type":           "Warning", "reason": n.reason, "message": n.message,
		"source": map[string]any{"component": "cloudcore"}, "reportingComponent": "cloudcore",
		"firstTimestamp": at, "lastTimestamp": at, "count": 1,
	})
	if err != nil {
		return err
	}
	return c.Client.Do(ctx, kube.Node(n.node), kube.Request{
		Method: http.MethodPost, Path: "/api/v1/namespaces/default/events", ContentType: kube.JSON, Body: body,
	}, maxAnswerSize, nil)
}
