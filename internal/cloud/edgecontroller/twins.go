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
	// twinsInterval is how often it is said of one node that two machines have its
	// name: they take turns each minute.
	twinsInterval = 10 * time.Minute
	// maxTwins is how many nodes may wait to be told of.
	maxTwins     = 64
	twinsTimeout = 10 * time.Second
)

// twins are two machines that have certificates of one node.
type twins struct{ node, address, before string }

// Twins notes that a machine has taken a node's session over from another one.
// An Event on the Node says so.
func (c *Controller) Twins(node, address, before string) {
	select {
	case c.twins <- twins{node, address, before}:
	default: // of so many, each is told of at the next turn
	}
}

// tellTwins writes the Events until ctx is done.
func (c *Controller) tellTwins(ctx context.Context) error {
	told := map[string]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-c.twins:
			now := time.Now()
			for node, at := range told {
				if now.Sub(at) >= twinsInterval {
					delete(told, node)
				}
			}
			if !told[t.node].IsZero() {
				continue
			}
			told[t.node] = now
			if err := c.writeTwins(ctx, t, now); err != nil && ctx.Err() == nil {
				c.complaints.Log(c.Log, slog.LevelWarn, "an Event cannot be written", "node", t.node, "error", err)
			}
		}
	}
}

// writeTwins writes the Event, as the node itself may.
func (c *Controller) writeTwins(ctx context.Context, t twins, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, twinsTimeout)
	defer cancel()
	at := now.UTC().Format(time.RFC3339)
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata":       map[string]any{"name": fmt.Sprintf("%s.%x", t.node, now.UnixNano()), "namespace": "default"},
		"involvedObject": map[string]any{"apiVersion": "v1", "kind": "Node", "name": t.node, "uid": c.nodeUID(t.node)},
		"type":           "Warning", "reason": "TwoMachines",
		"message": fmt.Sprintf("two machines have certificates of this node: the one at %s has taken over from the one at %s. "+
			"Run keadm reset %s, then join the right one again with a new token", t.address, t.before, t.node),
		"source": map[string]any{"component": "cloudcore"}, "reportingComponent": "cloudcore",
		"firstTimestamp": at, "lastTimestamp": at, "count": 1,
	})
	if err != nil {
		return err
	}
	return c.Client.Do(ctx, kube.Node(t.node), kube.Request{
		Method: http.MethodPost, Path: "/api/v1/namespaces/default/events", ContentType: kube.JSON, Body: body,
	}, maxAnswerSize, nil)
}
