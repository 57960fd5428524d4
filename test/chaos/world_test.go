//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/chaos/history"
	"github.com/akri-go/akri/test/testcluster"
)

// The Configurations, which are handlers' names too where the handler is ours.
const (
	sharedName = "chaos-shared" // brokers; two slots; a handler of the test on each node
	localName  = "chaos-local"  // Jobs and other users; two slots; a handler of the test on each node
	udevName   = "chaos-udev"   // brokers; zram devices, which both nodes see as their own
	echoName   = "chaos-echo"   // brokers and other users, for all of which one device has slots; shared
)

// maxUsers is how many other users a Configuration has at most.
const maxUsers = 2

// fixture is what there is for Akri to see, and what the test does to it.
type fixture struct {
	t   *testing.T
	ns  string
	rng *rand.Rand
	rec *recorder

	// there are the devices, and on which nodes they are.
	there    map[history.Device]map[int]bool
	handlers map[place]*testcluster.Foreign
	echoes   []string
	users    map[string]int32 // wanted by Configuration
}

type place struct {
	name string
	node int
}

func bothNodes() []int { return []int{1, 2} }

func newFixture(t *testing.T, ns string, rng *rand.Rand, rec *recorder) *fixture {
	w := &fixture{t: t, ns: ns, rng: rng, rec: rec,
		there: map[history.Device]map[int]bool{}, handlers: map[place]*testcluster.Foreign{}, users: map[string]int32{}}
	others, err := filepath.Glob("/sys/block/zram*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range others {
		w.put(block(filepath.Base(path)), bothNodes()...)
	}
	for _, n := range bothNodes() {
		w.put(shared("cam0"), n)
		w.put(local("box0"), n)
		w.startHandler(sharedName, n)
		w.startHandler(localName, n)
	}
	w.echoes = []string{"echo0", "echo1"}
	for _, e := range w.echoes {
		w.put(echo(e), bothNodes()...)
	}
	w.plug()

	grace := &metav1.Duration{Duration: 2 * time.Second}
	sharedOnes := testcluster.HandlerConfiguration(ns, sharedName, sharedName, 2, "")
	echoes := testcluster.EchoConfiguration(ns, echoName, nodes+maxUsers, w.echoes...)
	locals := testcluster.HandlerConfiguration(ns, localName, localName, 2, "")
	blocks := testcluster.UdevConfiguration(ns, udevName, `KERNEL=="zram*"`)
	sharedOnes.Spec.DiscoveryHandler.OfflineGracePeriod, echoes.Spec.DiscoveryHandler.OfflineGracePeriod = grace, grace
	for _, c := range []*v0.Configuration{sharedOnes, echoes, blocks} {
		c.Spec.BrokerSpec = brokerPod(t)
	}
	locals.Spec.BrokerSpec = brokerJob(t)
	for _, c := range []*v0.Configuration{sharedOnes, echoes, locals, blocks} {
		testcluster.Insist(t, func(ctx context.Context) error { return bed.API.Create(ctx, c) })
	}
	for _, name := range []string{localName, echoName} {
		w.makeUsers(name, 1)
	}
	return w
}

func shared(id string) history.Device {
	return history.Device{Configuration: sharedName, ID: id, Shared: true}
}
func local(id string) history.Device { return history.Device{Configuration: localName, ID: id} }
func echo(id string) history.Device {
	return history.Device{Configuration: echoName, ID: id, Shared: true}
}
func block(name string) history.Device {
	return history.Device{Configuration: udevName, ID: "/devices/virtual/block/" + name}
}

// put notes a device that comes to nodes; take, one that leaves them.
func (w *fixture) put(d history.Device, on ...int) {
	if w.there[d] == nil {
		w.there[d] = map[int]bool{}
	}
	for _, n := range on {
		w.there[d][n] = true
	}
	w.rec.present(d, true, on...)
}

func (w *fixture) take(d history.Device, on ...int) {
	w.rec.present(d, false, on...)
	for _, n := range on {
		delete(w.there[d], n)
	}
	if len(w.there[d]) == 0 {
		delete(w.there, d)
	}
}

// devices returns what a Configuration can see on a node, 0 for any, sorted.
func (w *fixture) devices(configuration string, node int) (ids []string) {
	for d, on := range w.there {
		if d.Configuration == configuration && (node == 0 || on[node]) {
			ids = append(ids, d.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// startHandler starts the handler of a Configuration on a node, with what is
// there now.
func (w *fixture) startHandler(name string, node int) {
	w.handlers[place{name, node}] = bed.StartForeign(w.t, testcluster.ForeignOptions{
		Node: node, Name: name, Shared: name == sharedName, Devices: w.devices(name, node)})
}

// change makes one of the changes that users and devices make, and says which.
func (w *fixture) change() string {
	node := 1 + w.rng.IntN(nodes)
	switch w.rng.IntN(8) {
	case 0, 1:
		return w.toggle(sharedName, shared(fmt.Sprintf("cam%d", w.rng.IntN(4))), node)
	case 2:
		return w.toggle(localName, local(fmt.Sprintf("box%d", w.rng.IntN(3))), node)
	case 3, 4:
		if own, err := bed.Plugged(); err == nil && len(own) > 0 && (len(own) >= 3 || w.rng.IntN(2) == 0) {
			return w.unplug(own[w.rng.IntN(len(own))])
		}
		return w.plug()
	case 5:
		return w.changeEchoes()
	case 6:
		name := []string{localName, echoName}[w.rng.IntN(2)]
		return w.scaleUsers(name, int32(w.rng.IntN(maxUsers+1)))
	default:
		return w.deletePod()
	}
}

// toggle takes a device away from a node, or brings it.
func (w *fixture) toggle(name string, d history.Device, node int) string {
	tell := func(command string) {
		// One that was killed will hear of it when it starts.
		if h := w.handlers[place{name, node}]; h != nil {
			h.Do(w.t, command+" "+d.ID)
		}
	}
	if !w.there[d][node] {
		w.put(d, node)
		tell("add")
		return fmt.Sprintf("%s comes to node %d", d.ID, node)
	}
	if len(w.devices(name, node)) == 1 {
		// A handler as upstream's sends no empty first list, so an agent that
		// has just started would keep the device for five minutes.
		return fmt.Sprintf("%s stays on node %d: it is the last", d.ID, node)
	}
	w.take(d, node)
	tell("remove")
	return fmt.Sprintf("%s leaves node %d", d.ID, node)
}

func (w *fixture) plug() string {
	name, err := bed.Plug(w.t.Context())
	if err != nil {
		w.t.Fatalf("plug a device: %v", err)
	}
	w.put(block(name), bothNodes()...)
	return "plug " + name
}

func (w *fixture) unplug(name string) string {
	w.take(block(name), bothNodes()...)
	if _, err := bed.Unplug(w.t.Context(), name); err != nil {
		w.t.Fatalf("unplug %s: %v", name, err)
	}
	return "unplug " + name
}

// changeEchoes edits the Configuration of made-up devices.
func (w *fixture) changeEchoes() string {
	all := []string{"echo0", "echo1", "echo2", "echo3"}
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	now := slices.Sorted(slices.Values(all[:1+w.rng.IntN(3)]))
	for _, e := range now {
		if !slices.Contains(w.echoes, e) {
			w.put(echo(e), bothNodes()...)
		}
	}
	for _, e := range w.echoes {
		if !slices.Contains(now, e) {
			w.take(echo(e), bothNodes()...)
		}
	}
	patch := fmt.Appendf(nil, `{"spec":{"discoveryHandler":{"discoveryDetails":"descriptions: [%s]"}}}`, strings.Join(now, ", "))
	c := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: echoName}}
	testcluster.Insist(w.t, func(ctx context.Context) error {
		return bed.API.Patch(ctx, c, client.RawPatch(types.MergePatchType, patch))
	})
	w.echoes = now
	return fmt.Sprintf("echoes are %v", now)
}

// clear deletes everything, and complains until it is gone.
func (w *fixture) clear() testcluster.Check {
	for _, d := range slices.Collect(maps.Keys(w.there)) {
		w.take(d, bothNodes()...) // nobody will ask for it
	}
	ctx := w.t.Context()
	for _, o := range []client.Object{&appsv1.Deployment{}, &v0.Configuration{}} {
		if err := bed.API.DeleteAllOf(ctx, o, client.InNamespace(w.ns), client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			w.t.Fatalf("delete every %T: %v", o, err)
		}
	}
	return func(ctx context.Context) error {
		for _, list := range []client.ObjectList{&v0.InstanceList{}, &corev1.PodList{}, &batchv1.JobList{}, &corev1.ServiceList{}} {
			if err := bed.API.List(ctx, list, client.InNamespace(w.ns)); err != nil {
				return err
			}
			if names := namesIn(list); len(names) > 0 {
				return fmt.Errorf("still there: %v", names)
			}
		}
		var all corev1.NodeList
		if err := bed.API.List(ctx, &all); err != nil {
			return err
		}
		for _, n := range all.Items {
			for name, q := range n.Status.Allocatable {
				if strings.HasPrefix(string(name), v0.ResourcePrefix+"/") && !q.IsZero() {
					return fmt.Errorf("%s still offers %s of %s", n.Name, q.String(), name)
				}
			}
		}
		for _, n := range bothNodes() {
			holds, err := holdsOf(ctx, n)
			if err != nil {
				return err
			}
			if len(holds) > 0 {
				return fmt.Errorf("containers of %s still have %v", devcluster.NodeName(n), holds)
			}
		}
		return nil
	}
}

func namesIn(list client.ObjectList) (names []string) {
	switch l := list.(type) {
	case *v0.InstanceList:
		for _, i := range l.Items {
			names = append(names, i.Name)
		}
	case *corev1.PodList:
		for _, p := range l.Items {
			names = append(names, p.Name)
		}
	case *batchv1.JobList:
		for _, j := range l.Items {
			names = append(names, j.Name)
		}
	case *corev1.ServiceList:
		for _, s := range l.Items {
			names = append(names, s.Name)
		}
	}
	return names
}
