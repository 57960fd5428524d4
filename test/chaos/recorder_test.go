//go:build e2e

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/chaos/history"
)

// recorder writes the history of a run.
type recorder struct {
	ns     string
	folder string
	began  time.Time

	mu      sync.Mutex
	h       history.History
	objects *os.File // every version of every object, a line each
	errs    []error  // gaps in the history

	stop   context.CancelFunc
	ending sync.WaitGroup
}

// record starts to record. The history is in out/logs/chaos-history, and stays
// there if the test fails.
func record(t *testing.T, ns string) *recorder {
	t.Helper()
	r := &recorder{ns: ns, folder: filepath.Join(bed.Repo, "out", "logs", "chaos-history"), began: time.Now()}
	if err := os.RemoveAll(r.folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.objects, err = os.Create(filepath.Join(r.folder, "objects.jsonl")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	t.Cleanup(r.end)
	for _, list := range []client.ObjectList{
		&v0.ConfigurationList{}, &v0.InstanceList{}, &corev1.PodList{}, &batchv1.JobList{}, &corev1.EventList{}, &corev1.NodeList{},
	} {
		if err := r.watch(ctx, list); err != nil {
			t.Fatalf("record %T: %v", list, err)
		}
	}
	for n := 1; n <= nodes; n++ {
		r.ending.Go(func() { r.poll(ctx, n) })
	}
	return r
}

// end stops recording; the history is complete afterwards.
func (r *recorder) end() {
	r.stop()
	r.ending.Wait()
	r.objects.Close()
}

type watcher struct{ list client.ObjectList }

func (w watcher) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return bed.API.Watch(ctx, w.list.DeepCopyObject().(client.ObjectList), &client.ListOptions{Raw: &o})
}

// watch records the objects of a kind from now on. A watch that ends is resumed
// where it ended, so that no version is missed; if that fails, it is an error.
func (r *recorder) watch(ctx context.Context, list client.ObjectList) error {
	if err := bed.API.List(ctx, list); err != nil {
		return err
	}
	events, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), watcher{list})
	if err != nil {
		return err
	}
	r.ending.Go(func() {
		for e := range events.ResultChan() {
			if o, ok := e.Object.(client.Object); ok && e.Type != watch.Bookmark {
				r.version(e.Type, o)
			} else if e.Type == watch.Error {
				r.fail(fmt.Errorf("the watch of %T ended: %v", list, e.Object))
			}
		}
		if ctx.Err() == nil {
			r.fail(fmt.Errorf("the watch of %T ended", list))
		}
	})
	return nil
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// version records a version of an object.
func (r *recorder) version(e watch.EventType, o client.Object) {
	now := time.Now()
	o.SetManagedFields(nil)
	raw, err := json.Marshal(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.errs = append(r.errs, err)
	}
	fmt.Fprintf(r.objects, `{"at":%q,"event":%q,"kind":"%T","object":%s}`+"\n", now.Format("15:04:05.000"), e, o, raw)
	if o.GetNamespace() != r.ns {
		return
	}
	switch o := o.(type) {
	case *v0.Instance:
		v := history.Instance{
			At: now, Name: o.Name, UID: string(o.UID), Capacity: int(o.Spec.Capacity), Nodes: o.Spec.Nodes,
			Device: history.Device{Configuration: o.Spec.ConfigurationName, ID: o.Annotations[v0.AnnotationDeviceID], Shared: o.Spec.Shared},
			Usage:  usageOf(o), Gone: e == watch.Deleted,
		}
		r.h.Instances = append(r.h.Instances, v)
	case *batchv1.Job:
		if owner := metav1.GetControllerOf(o); owner != nil && e != watch.Deleted {
			r.h.Jobs = append(r.h.Jobs, history.Job{At: now, Name: o.Name, UID: string(o.UID), Instance: owner.Name, Owner: string(owner.UID)})
		}
	case *corev1.Pod:
		r.h.Pods = append(r.h.Pods, history.Pod{
			At: now, Name: o.Name, UID: string(o.UID), Node: o.Spec.NodeName, Instance: o.Labels[v0.LabelInstance],
			Phase: string(o.Status.Phase), Reason: strings.TrimSpace(o.Status.Reason + " " + o.Status.Message),
			Deleting: o.DeletionTimestamp != nil, Gone: e == watch.Deleted,
		})
	}
}

// usageOf returns the slots that are held. Values that cannot be read are left
// out.
func usageOf(i *v0.Instance) map[string]v0.Usage {
	all := map[string]v0.Usage{}
	for slot, holder := range i.Spec.DeviceUsage {
		u, err := v0.ParseUsage(holder)
		if err != nil {
			u = v0.Usage{Node: "unreadable: " + holder}
		}
		if !u.Free() {
			all[slot] = u
		}
	}
	return all
}

// present records that a device came to nodes, or left them.
func (r *recorder) present(d history.Device, there bool, on ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range on {
		r.h.Presences = append(r.h.Presences, history.Presence{At: time.Now(), Device: d, Node: devcluster.NodeName(n), There: there})
	}
}

// fault records what is about to be done.
func (r *recorder) fault(kind, node, object string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Faults = append(r.h.Faults, history.Fault{At: time.Now(), Kind: kind, Node: node, Object: object})
}

// poll asks a kubelet what its containers have, several times a second.
func (r *recorder) poll(ctx context.Context, node int) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		if holds, err := holdsOf(ctx, node); err == nil {
			r.mu.Lock()
			r.h.Polls = append(r.h.Polls, history.Poll{At: time.Now(), Node: devcluster.NodeName(node), Holds: holds})
			r.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// holdsOf returns the slots that containers of a node have.
func holdsOf(ctx context.Context, node int) ([]history.Hold, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	socket, err := bed.NodePath(node, "/var/lib/kubelet/pod-resources/kubelet.sock")
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := podresources.NewPodResourcesListerClient(conn).List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		return nil, err
	}
	var holds []history.Hold
	for _, p := range answer.PodResources {
		for _, c := range p.Containers {
			for _, d := range c.Devices {
				for _, id := range d.DeviceIds {
					if strings.HasPrefix(d.ResourceName, v0.ResourcePrefix+"/") {
						holds = append(holds, history.Hold{Pod: p.Namespace + "/" + p.Name, Resource: d.ResourceName, Slot: id})
					}
				}
			}
		}
	}
	return holds, nil
}

// judge ends the recording, and reports what should not have happened.
func (r *recorder) judge(t *testing.T, l history.Limits) {
	t.Helper()
	r.end()
	r.h.End = time.Now()
	for _, err := range r.errs {
		t.Errorf("the history has a gap: %v", err)
	}
	told := map[string]bool{}
	for _, v := range history.Check(&r.h, l) {
		t.Errorf("%s", v)
		if !told[v.Object] {
			told[v.Object] = true
			r.tell(t, v.Object, r.h.Of(v.Object))
		}
	}
	if !t.Failed() {
		os.RemoveAll(r.folder)
		return
	}
	var faults []string
	for _, f := range r.h.Faults {
		faults = append(faults, f.At.Format("15:04:05.000")+" "+f.String())
	}
	r.tell(t, "faults", faults)
	t.Logf("the whole history is in %s", r.folder)
}

func (r *recorder) tell(t *testing.T, name string, lines []string) {
	file := filepath.Join(r.folder, strings.ReplaceAll(name, "/", "_")+".txt")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Error(err)
	}
}
