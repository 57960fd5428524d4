package edgecontroller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/autonomy"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

const (
	// keepers is how many Nodes and Pods are written at a time.
	keepers = 4
	// elsewhereDelay is how long Pods of nodes that are not connected here are
	// left to the replica where they are.
	elsewhereDelay = 5 * time.Second
	// keepTimeout bounds the work on one Node or Pod.
	keepTimeout   = 15 * time.Second
	maxAnswerSize = 4 << 20
)

// keeper gives connected nodes their labels, and takes tolerationSeconds off the
// Pods of edge nodes. It looks at an object when that changes, and asks what is
// to be done by what is true then.
type keeper struct {
	c     *Controller
	queue workqueue.TypedRateLimitingInterface[task]
}

// task is an object to look at: a Node, or a Pod where pod is set.
type task struct {
	pod index.Key
	// node is the name of a Node.
	node string
	// late says that other replicas have had their time.
	late bool
}

func newKeeper(c *Controller) *keeper {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[task](200*time.Millisecond, time.Minute)
	return &keeper{c: c, queue: workqueue.NewTypedRateLimitingQueue(limiter)}
}

// podListener and nodeListener tell the keeper what has changed.
type podListener struct{ *keeper }

func (k podListener) Changed(key index.Key, gone string) {
	if gone == "" && k.c.Autonomy {
		k.queue.Add(task{pod: key})
	}
}
func (podListener) Synced()      {}
func (podListener) Failed(error) {}

func (podListener) WentBack() {}

type nodeListener struct{ *keeper }

func (k nodeListener) Changed(key index.Key, _ string) {
	k.node(key.Name)
}
func (nodeListener) Synced()      {}
func (nodeListener) Failed(error) {}

func (nodeListener) WentBack() {}

// node has a Node looked at.
func (k *keeper) node(name string) { k.queue.Add(task{node: name}) }

// run works until ctx is done.
func (k *keeper) run(ctx context.Context) error {
	var wait sync.WaitGroup
	for range keepers {
		wait.Go(func() { k.work(ctx) })
	}
	<-ctx.Done()
	k.queue.ShutDown()
	wait.Wait()
	return nil
}

func (k *keeper) work(ctx context.Context) {
	for {
		t, stop := k.queue.Get()
		if stop {
			return
		}
		err := k.do(ctx, t)
		switch {
		case err == nil || ctx.Err() != nil || apierrors.IsNotFound(err):
			k.queue.Forget(t)
		default:
			k.c.complaints.Log(k.c.Log, slog.LevelWarn, "a Node or Pod cannot be kept as it should be; trying again",
				"node", t.node, "pod", t.pod.Namespace+"/"+t.pod.Name, "error", err)
			k.queue.AddRateLimited(t)
		}
		k.queue.Done(t)
	}
}

func (k *keeper) do(ctx context.Context, t task) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if t.node != "" {
		return k.keepNode(ctx, t.node)
	}
	return k.keepPod(ctx, t)
}

// keepNode labels a Node, notes its site, and looks at its Pods.
func (k *keeper) keepNode(ctx context.Context, name string) error {
	note, there := k.c.nodes.Note(index.Key{Name: name})
	n, _ := note.(nodeNote)
	k.c.settle(name, n.site)
	if !there {
		return nil // it will come, or has gone
	}
	if k.c.connected(name) {
		patch, err := labelPatch(n.labels)
		if err != nil {
			return err
		}
		if patch != nil {
			if err := k.patch(ctx, "/api/v1/nodes/"+name, patch); err != nil {
				return fmt.Errorf("label the Node: %w", err)
			}
			k.c.metrics.kept.WithLabelValues("Node").Inc()
		}
	}
	if !k.c.Autonomy || !k.isEdge(name) {
		return nil
	}
	k.c.pods.EachOf(name, func(pod index.Key, _ string, note any) {
		if p, ok := note.(podNote); ok && p.lift {
			k.queue.Add(task{pod: pod})
		}
	})
	return nil
}

// isEdge tells whether a node is an edge node.
func (k *keeper) isEdge(node string) bool {
	note, _ := k.c.nodes.Note(index.Key{Name: node})
	n, _ := note.(nodeNote)
	_, labelled := n.labels[edgeLabel]
	return labelled || k.c.connected(node)
}

// keepPod lifts the limits of a Pod, if it has some and should not.
func (k *keeper) keepPod(ctx context.Context, t task) error {
	note, _ := k.c.pods.Note(t.pod)
	p, ok := note.(podNote)
	if !ok || !p.lift || !k.isEdge(p.node) || !k.wanted(t.pod.Namespace, p) {
		return nil
	}
	if !t.late && !k.c.connected(p.node) {
		t.late = true
		k.queue.AddAfter(t, elsewhereDelay)
		return nil
	}
	o, err := k.c.pods.Read(ctx, t.pod)
	if err != nil || o == nil {
		return err
	}
	var pod autonomy.Pod
	if err := json.Unmarshal(o.JSON, &pod); err != nil {
		return err
	}
	patch, err := autonomy.Patch(&pod)
	if err != nil || patch == nil {
		return err
	}
	err = k.patch(ctx, "/api/v1/namespaces/"+t.pod.Namespace+"/pods/"+t.pod.Name, patch)
	if apierrors.IsConflict(err) {
		return nil // it has changed, and comes again
	}
	if err != nil {
		return fmt.Errorf("take tolerationSeconds off the Pod: %w", err)
	}
	k.c.metrics.kept.WithLabelValues("Pod").Inc()
	return nil
}

// wanted decides whether a Pod is to stay.
func (k *keeper) wanted(namespace string, p podNote) bool {
	note, _ := k.c.namespaces.Note(index.Key{Name: namespace})
	ofNamespace, _ := note.(map[string]string)
	note, _ = k.c.nodes.Note(index.Key{Name: p.node})
	ofNode, _ := note.(nodeNote)
	return autonomy.Wanted(p.autonomy, ofNamespace, ofNode.autonomy)
}

// patch writes as cloudcore itself.
func (k *keeper) patch(ctx context.Context, path string, body []byte) error {
	err := k.c.Client.Do(ctx, kube.User{}, kube.Request{
		Method: http.MethodPatch, Path: path, Query: "fieldManager=cloudcore",
		ContentType: "application/merge-patch+json", Body: body,
	}, maxAnswerSize, nil)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
