//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/test/testcluster"
)

// startForeign starts a handler on the node that has devices (ids with commas
// between).
func startForeign(t *testing.T, name, devices string) foreign {
	t.Helper()
	return foreign{t, bed.StartForeign(t, testcluster.ForeignOptions{Name: name, Devices: strings.Split(devices, ",")})}
}

// foreign is a discovery handler that one test controls.
type foreign struct {
	t *testing.T
	*testcluster.Foreign
}

func (f foreign) do(commands ...string) {
	f.t.Helper()
	f.Do(f.t, commands...)
}

func foreignConfiguration(ns, name, handler string) *v0.Configuration {
	return testcluster.HandlerConfiguration(ns, name, handler, 1, "")
}

// status complains unless a node's entry in the Configuration's status has
// this state, and the words in its message.
func status(ns, name string, state v0.DiscoveryState, words ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		var c v0.Configuration
		if err := api.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &c); err != nil {
			return err
		}
		for _, n := range c.Status.Nodes {
			if n.State != state {
				continue
			}
			missing := ""
			for _, w := range words {
				if !strings.Contains(n.Message, w) {
					missing = w
				}
			}
			if missing == "" {
				return nil
			}
		}
		return fmt.Errorf("status of %s is %+v, want %s with %q", name, c.Status.Nodes, state, words)
	}
}

// event complains unless there is an Event on a Configuration with this reason.
func event(ns, name, reason string) func(context.Context) error {
	return func(ctx context.Context) error {
		var list corev1.EventList
		if err := api.List(ctx, &list, client.InNamespace(ns)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.Name == name && e.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("no Event %s on %s", reason, name)
	}
}

// A handler that uses only the protocol registers, streams, is killed, and
// comes back.
func TestForeignHandler(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	h := startForeign(t, "e2e-foreign", "")
	eventually(t, waitTimeout, h.Says("registered"))
	h.do("add one COLOUR=red node:/dev/null", "add two")
	c := foreignConfiguration(ns, "e2e-foreign", "e2e-foreign")
	before := running(t, c, 2)
	pods, err := brokersOf(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	red := false
	for i := range pods {
		g := show(t, &pods[i])
		red = red || g.Env["COLOUR"] == "red"
	}
	if !red {
		t.Error("no broker has COLOUR=red")
	}
	h.do("add three")
	eventually(t, waitTimeout, both(hasInstances(ns, c.Name, 3), hasBrokers(ns, c.Name, 3)))
	h.do("remove three")
	eventually(t, waitTimeout, both(hasInstances(ns, c.Name, 2), hasBrokers(ns, c.Name, 2)))

	h.Kill()
	throughout(t, 5*time.Second, unchanged(ns, c.Name, before))
	h = startForeign(t, "e2e-foreign", "one,two,four")
	eventually(t, waitTimeout, both(h.Says("registered"), hasInstances(ns, c.Name, 3)))
	now, err := uids(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name, uid := range before {
		if now[name] != uid {
			t.Errorf("%s was deleted or replaced", name)
		}
	}
}

// What a handler must not report is refused, visibly for the author of the
// Configuration, and harms nothing else.
func TestBadHandlers(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	echo := echoConfiguration(ns, "e2e-bystander", 1, "a", "b")
	before := running(t, echo, 2)

	// It is some time before silence is a fault; the others come meanwhile.
	mute := startForeign(t, "e2e-mute", "")
	eventually(t, waitTimeout, mute.Says("registered"))
	mute.do("mute")
	silent := create(t, foreignConfiguration(ns, "e2e-mute", "e2e-mute"))

	h := startForeign(t, "e2e-bad", "")
	eventually(t, waitTimeout, h.Says("registered"))
	h.do("add good", "add with/slashes", `add "two\nlines"`, "add "+strings.Repeat("x", 10<<10),
		"add secrets mount:/etc/shadow", "add disk node:/etc/passwd")
	c := create(t, foreignConfiguration(ns, "e2e-bad", "e2e-bad"))
	eventually(t, waitTimeout, both(
		hasInstances(ns, c.Name, 2), // good, and with/slashes
		status(ns, c.Name, v0.DiscoveryActive, "/etc/shadow"),
		event(ns, c.Name, "DevicesRefused"),
	))
	h.do("flood 100000")
	eventually(t, waitTimeout, event(ns, c.Name, "HandlerFailed"))
	throughout(t, 3*time.Second, hasInstances(ns, c.Name, 2))
	h.do("clear", "add good", "add with/slashes")
	eventually(t, waitTimeout, status(ns, c.Name, v0.DiscoveryActive))

	refusing := startForeign(t, "e2e-refusing", "")
	eventually(t, waitTimeout, refusing.Says("registered"))
	refusing.do("refuse no such thing here")
	refused := create(t, foreignConfiguration(ns, "e2e-refusing", "e2e-refusing"))
	eventually(t, waitTimeout, both(
		status(ns, refused.Name, v0.DiscoveryFailed, "no such thing here"), event(ns, refused.Name, "HandlerFailed")))

	// It listens where it may; the agent is what it may not reach.
	stranger := foreign{t, bed.StartForeign(t, testcluster.ForeignOptions{Name: "e2e-stranger", Address: "127.0.0.1:0",
		// It is to end with who started it, as every command on a node; a change
		// of user takes that back.
		By: []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig", "KILL"}})}
	eventually(t, waitTimeout, stranger.Says("unregistered"))
	nobody := create(t, foreignConfiguration(ns, "e2e-stranger", "e2e-stranger"))
	eventually(t, waitTimeout, status(ns, nobody.Name, v0.DiscoveryWaiting, "e2e-stranger"))
	throughout(t, 2*time.Second, func(ctx context.Context) error {
		if stranger.Says("registered")(ctx) == nil {
			return fmt.Errorf("a stranger could register")
		}
		return nil
	})
	eventually(t, waitTimeout, status(ns, silent.Name, v0.DiscoveryWaiting, "nothing was reported"))
	if err := unchanged(ns, echo.Name, before)(t.Context()); err != nil {
		t.Errorf("the bystander: %v", err)
	}
}

// warned complains unless an Event of that reason on name has these words.
func warned(ns, name, reason, words string) testcluster.Check {
	return func(ctx context.Context) error {
		var list corev1.EventList
		if err := api.List(ctx, &list, client.InNamespace(ns)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.Name == name && e.Reason == reason && strings.Contains(e.Message, words) {
				return nil
			}
		}
		return fmt.Errorf("no Event %s on %s says %q", reason, name, words)
	}
}

// A container gets the device node at the end of a link, and nothing else of
// the node: no folder that the runtime has open, no memory of the node, nothing
// that a link leads to since it was reported.
func TestHostPaths(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	const link = "/dev/akri-e2e-link"
	aim := func(target string) {
		t.Helper()
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	aim("full")
	t.Cleanup(func() { os.Remove(link) })
	h := startForeign(t, "e2e-paths", "")
	eventually(t, waitTimeout, h.Says("registered"))
	h.do("add link UDEV_DEVNODE="+link+" node:"+link,
		"add open mount:/dev/fd/12", "add fd node:/dev/fd/12", "add shm mount:/dev/shm", "add loader LD_PRELOAD=/x")
	c := foreignConfiguration(ns, "e2e-paths", "e2e-paths")
	c.Spec.BrokerSpec = brokerPod(t)
	create(t, c)
	eventually(t, waitTimeout, both(hasInstances(ns, c.Name, 1), hasBrokers(ns, c.Name, 1),
		status(ns, c.Name, v0.DiscoveryActive, "/dev/fd/12", "/dev/shm", "LD_PRELOAD")))
	pods, err := brokersOf(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := show(t, &pods[0]).opened(link); err != nil {
		t.Errorf("the end of the link: %v", err)
	}
	aim("/etc/shadow")
	if err := api.Delete(t.Context(), &pods[0]); err != nil { // the controller makes another
		t.Fatal(err)
	}
	eventually(t, waitTimeout, warned(ns, c.Name, "ClaimDenied", `"/dev/akri-e2e-link" leads elsewhere`))
}

// The agent sees the node's devices but cannot open them, except those that
// every container may open; it sees nothing of the node's terminals and shared
// memory.
func TestAgentOpensNoDevice(t *testing.T) {
	t.Parallel()
	var pods corev1.PodList
	if err := api.List(t.Context(), &pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": "akri-agent"}); err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, p := range pods.Items {
		uids = append(uids, string(p.UID))
	}
	pids := processesOf(t, "akri-agent", uids...)
	if len(pids) != 1 {
		t.Fatalf("%d agents", len(pids))
	}
	proc := fmt.Sprintf("/proc/%d", pids[0])
	dev := proc + "/root/host/dev/"
	for _, folder := range []string{"pts", "shm"} {
		if entries, err := os.ReadDir(dev + folder); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v, %v", folder, entries, err)
		}
	}
	groups, err := os.ReadFile(proc + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	group := ""
	for line := range strings.Lines(string(groups)) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), ":devices:"); ok {
			group = "/sys/fs/cgroup/devices" + path
		} else if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && group == "" {
			group = "/sys/fs/cgroup" + path
		}
	}
	// A process that shares the agent's group of devices, and root's capabilities
	// besides.
	for device, may := range map[string]bool{"full": true, "kmsg": false} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `echo $$ >"$1/cgroup.procs" && : <"$2"`, "sh", group, dev+device).CombinedOutput()
		if (err == nil) != may {
			t.Errorf("%s: %v, %s", device, err, out)
		}
	}
}

// A Configuration that cannot work is refused; one that bypassed the webhook
// says so in its status. Others keep working.
func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	echo := echoConfiguration(ns, "e2e-neighbour", 1, "a")
	before := running(t, echo, 1)
	bad := []struct {
		name, details string
		words         []string
	}{
		{"e2e-rule", `udevRules: ['KERNEL=="video[0-9]*", NONSENSE=="x"']`, []string{"NONSENSE"}},
		{"e2e-action", `udevRules: ['KERNEL=="x", RUN+="/bin/sh"']`, []string{"RUN"}},
		{"e2e-empty", `udevRules: []`, []string{"udevRules"}},
		{"e2e-yaml", `udevRules: {`, []string{"yaml"}},
		{"e2e-permissions", `{udevRules: ['KERNEL=="null"'], permissions: wr}`, []string{"permissions"}},
		{"e2e-misspelt", `{udevRule: ['KERNEL=="null"']}`, []string{"udevRule"}},
	}
	configuration := func(name, details string) *v0.Configuration {
		c := udevConfiguration(ns, name)
		c.Spec.DiscoveryHandler.DiscoveryDetails = details
		return c
	}
	registered(t)
	for _, c := range bad {
		eventually(t, waitTimeout, func(ctx context.Context) error {
			err := api.Create(ctx, configuration(c.name, c.details), client.DryRunAll)
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.discoveryHandler.discoveryDetails") {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			return nil
		})
	}
	for _, c := range bad {
		unchecked(t, configuration(c.name, c.details))
	}
	for _, c := range bad {
		eventually(t, waitTimeout, both(
			status(ns, c.name, v0.DiscoveryFailed, c.words...), event(ns, c.name, "HandlerFailed"), hasInstances(ns, c.name, 0),
			explained(explain.Subject{Kind: explain.Configuration, Namespace: ns, Name: c.name}, explain.DetailsRefused, c.words...)))
	}
	// A rule that is mended works at once.
	mended := configuration("e2e-rule", "")
	mend := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"discoveryHandler":{"discoveryDetails":"udevRules: ['KERNEL==\"null\"']"}}}`))
	testcluster.Insist(t, func(ctx context.Context) error { return api.Patch(ctx, mended, mend) })
	eventually(t, waitTimeout, both(hasInstances(ns, mended.Name, 1), status(ns, mended.Name, v0.DiscoveryActive)))

	// What the schema can say is refused by the API server.
	both := udevConfiguration(ns, "e2e-both", `KERNEL=="null"`)
	both.Spec.BrokerSpec = brokerPod(t)
	both.Spec.BrokerSpec.BrokerJobSpec = both.Spec.BrokerSpec.BrokerPodSpec
	zero := udevConfiguration(ns, "e2e-negative", `KERNEL=="null"`)
	zero.Spec.Capacity = -1
	long := udevConfiguration(ns, "e2e-"+strings.Repeat("x", 53), `KERNEL=="null"`)
	for _, c := range []*v0.Configuration{both, zero, long} {
		if err := api.Create(t.Context(), c); err == nil {
			t.Errorf("Configuration %s was accepted", c.Name)
		}
	}
	if err := unchanged(ns, echo.Name, before)(t.Context()); err != nil {
		t.Errorf("the neighbour: %v", err)
	}
}
