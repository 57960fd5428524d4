package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent"
	"github.com/akri-go/akri/internal/agent/ledger"
	agentmetrics "github.com/akri-go/akri/internal/agent/metrics"
	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/all"
	debugecho "github.com/akri-go/akri/internal/handlers/debugecho/details"
	"github.com/akri-go/akri/internal/handlers/setup"
	"github.com/akri-go/akri/internal/logging"
)

// settings are what flags and environment say.
type settings struct {
	agent.Options
	kubeconfig, level string
	builtin           []string // names of handlers
}

// parse reads flags and environment.
func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	env := envvar.Or(getenv)
	var s settings
	f := flag.NewFlagSet("akri-agent", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&s.Node, "node-name", env("AGENT_NODE_NAME", ""), "`name` of the node, required (AGENT_NODE_NAME)")
	f.StringVar(&s.HandlersDir, "handlers-dir", env("DISCOVERY_HANDLERS_DIRECTORY", discovery.DefaultDirectory),
		"`folder` of the handlers' sockets (DISCOVERY_HANDLERS_DIRECTORY)")
	f.StringVar(&s.StateDir, "state-dir", env("AKRI_STATE_DIR", agent.DefaultStateDir),
		"`folder` of the checkpoints, outside of the handlers' (AKRI_STATE_DIR)")
	f.StringVar(&s.HostPaths.Root, "host-root", env("AKRI_HOST_ROOT", "/"),
		"`folder` where the agent sees the node's root, at least /dev: device nodes are checked there (AKRI_HOST_ROOT)")
	f.StringVar(&s.DevicePluginDir, "device-plugin-dir", env("AKRI_DEVICE_PLUGIN_DIR", "/var/lib/kubelet/device-plugins"),
		"the kubelet's device plugin `folder` (AKRI_DEVICE_PLUGIN_DIR)")
	f.StringVar(&s.PodResourcesSocket, "pod-resources-socket", env("AKRI_POD_RESOURCES_SOCKET", "/var/lib/kubelet/pod-resources/kubelet.sock"),
		"the kubelet's PodResources `socket` (AKRI_POD_RESOURCES_SOCKET)")
	f.StringVar(&s.PodName, "pod-name", env("POD_NAME", ""),
		"`name` of the agent's own Pod, by which it knows whether the kubelet's answers are complete (POD_NAME)")
	f.StringVar(&s.PodNamespace, "pod-namespace", env("POD_NAMESPACE", ""), "`namespace` of that Pod (POD_NAMESPACE)")
	f.IntVar(&s.SocketGID, "socket-gid", -1,
		"`group` that owns the registration directory; its members may register handlers. -1 leaves the group as it is")
	f.StringVar(&s.kubeconfig, "kubeconfig", env("KUBECONFIG", ""),
		"`file` that says how to reach the API server; none means the Pod's service account (KUBECONFIG)")
	f.StringVar(&s.level, "log-level", env("LOG_LEVEL", "info"), "least `level` that is logged: debug, info, warn or error (LOG_LEVEL)")
	builtin := f.String("builtin", env("AKRI_BUILTIN_HANDLERS", ""),
		"comma separated `handlers` to run inside the agent: "+all.Names("and")+" (AKRI_BUILTIN_HANDLERS; ENABLE_DEBUG_ECHO adds debugEcho)")
	paths := f.String("allowed-host-paths", env("AKRI_ALLOWED_HOST_PATHS", ""),
		"comma separated `folders` that may hold the device nodes that handlers report (AKRI_ALLOWED_HOST_PATHS; default /dev)")
	mounts := f.String("allowed-mounts", env("AKRI_ALLOWED_MOUNTS", ""),
		"comma separated `paths` that handlers may mount into containers, with what is below them; default none (AKRI_ALLOWED_MOUNTS)")
	memory := f.String("handlers-memory", env("AKRI_HANDLERS_MEMORY", "24Mi"),
		"how much of this process's memory the lists of all handlers may take: an `amount` such as 24Mi (AKRI_HANDLERS_MEMORY)")
	namespaces := f.String("property-namespaces", env("AKRI_PROPERTY_NAMESPACES", ""),
		"comma separated `namespaces` whose Secrets and ConfigMaps the discoveryProperties of every Configuration may refer to, besides its own; * for all (AKRI_PROPERTY_NAMESPACES)")
	freed := f.String("slots-freed-after", env("AKRI_SLOTS_FREED_AFTER", ledger.IdleGrace.String()),
		"`time` that a slot stays this node's after the last container that used it; at least 1s (AKRI_SLOTS_FREED_AFTER)")
	metrics := f.String("metrics-port", env("METRICS_PORT", "8080"), "`port` of /metrics, /healthz and /readyz; 0 for none (METRICS_PORT)")
	bound := f.String("handler-uids", env("AKRI_HANDLER_UIDS", ""),
		"comma separated `<handler name>=<uid>`: handlers with that name must run as that user, or as one of several if the name is repeated; <handler name>= allows nobody (AKRI_HANDLER_UIDS)")
	f.Usage = func() {}

	err := f.Parse(args)
	port, badPort := strconv.ParseUint(*metrics, 10, 16)
	var badUIDs, badMemory, badFreed error
	s.HandlerUIDs, badUIDs = bindings(list(*bound))
	s.HandlersMemoryBytes, badMemory = megabytes(*memory)
	s.SlotsFreedAfter, badFreed = time.ParseDuration(*freed)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, exitcode.ServiceText())
		f.SetOutput(out)
		f.PrintDefaults()
		return s, err
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case s.Node == "":
		err = errors.New("the node's name is missing: set AGENT_NODE_NAME (by the downward API, spec.nodeName) or --node-name")
	case badPort != nil:
		err = fmt.Errorf("metrics port %q: want a number from 0 to 65535", *metrics)
	case badUIDs != nil:
		err = badUIDs
	case badMemory != nil:
		err = fmt.Errorf("handlers' memory %q: %w", *memory, badMemory)
	case badFreed != nil || s.SlotsFreedAfter < time.Second:
		err = fmt.Errorf("slots freed after %q: want a time of at least 1s, such as 20s", *freed)
	}
	if port != 0 {
		s.MetricsAddress = net.JoinHostPort("", strconv.FormatUint(port, 10))
	}
	s.HostPaths.Devices, s.HostPaths.Mounts = list(*paths), list(*mounts)
	s.PropertyNamespaces = list(*namespaces)
	s.builtin = list(*builtin)
	if getenv("ENABLE_DEBUG_ECHO") != "" { // upstream's
		s.builtin = append(s.builtin, debugecho.Name)
	}
	return s, err
}

// finish makes what the settings ask for: the logger, metrics and the built-in
// handlers. Errors are about flags or environment.
func (s *settings) finish(getenv func(string) string, errs io.Writer) (err error) {
	if s.Logger, err = logging.New(errs, s.level); err != nil {
		return err
	}
	s.Metrics = agentmetrics.NewRegistry()
	s.Builtin, err = builtin(s.builtin, getenv, setup.Program{
		Log: s.Logger, Histogram: agentmetrics.Histogram(s.Metrics), Counter: agentmetrics.Counter(s.Metrics),
	})
	return err
}

// builtin makes the built-in handlers of the given names.
func builtin(names []string, getenv func(string) string, p setup.Program) ([]discovery.Handler, error) {
	var made []discovery.Handler
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		kind, ok := all.Find(name)
		if !ok {
			return nil, fmt.Errorf("there is no built-in handler %q: want %s", name, all.Names("or"))
		}
		// The agent has the variables of a handler, not its flags.
		start := kind.Setup(flag.NewFlagSet(name, flag.ContinueOnError), getenv)
		h, err := start(p)
		if err != nil {
			return nil, fmt.Errorf("handler %s: %w", name, err)
		}
		made = append(made, h)
	}
	return made, nil
}

// bindings reads <handler name>=<uid>.
func bindings(words []string) (map[string][]int, error) {
	all := map[string][]int{}
	for _, word := range words {
		i := strings.LastIndexByte(word, '=')
		if i <= 0 {
			return nil, fmt.Errorf("handler uid %q: want <handler name>=<uid>", word)
		}
		name, number := word[:i], word[i+1:]
		uids := all[name]
		if number != "" {
			uid, err := strconv.ParseUint(number, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("handler uid %q: %q is not a user's number", word, number)
			}
			uids = append(uids, int(uid))
		}
		all[name] = uids // an empty list allows nobody
	}
	return all, nil
}

// megabytes reads an amount of memory as Kubernetes writes it: 24Mi.
func megabytes(s string) (bytes int, err error) {
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Value() < 1<<20 || q.Value() > 1<<34 {
		return 0, errors.New("want an amount from 1Mi to 16Gi, such as 24Mi")
	}
	return int(q.Value()), nil
}

func list(s string) []string {
	var all []string
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}
