// Akri-agent runs on every node: it knows the node's discovery handlers, keeps
// the inventory of its devices, writes their Instances and offers them to the
// kubelet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent"
	agentmetrics "github.com/akri-go/akri/internal/agent/metrics"
	"github.com/akri-go/akri/internal/handlers/all"
	debugecho "github.com/akri-go/akri/internal/handlers/debugecho/details"
	"github.com/akri-go/akri/internal/handlers/setup"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	code := exitCode(err)
	if code != 0 {
		fmt.Fprintln(os.Stderr, "akri-agent:", err)
	}
	os.Exit(code)
}

// usageError says that the agent was called wrongly.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

const usage = `Usage: akri-agent [flags]

The agent of one Kubernetes node. It normally runs as a DaemonSet, which the
Helm chart installs; flags win over the environment variables named with them.
It runs until it gets SIGTERM. Exit code: 0 then, 1 if it failed, 2 if it was
called wrongly. --version tells which build this is.

Flags:
`

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	if version.Asked(args) {
		fmt.Fprintln(stderr, "akri-agent", version.String())
		return nil
	}
	env := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	f := flag.NewFlagSet("akri-agent", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	var (
		opts       agent.Options
		handlers   = f.String("builtin", env("AKRI_BUILTIN_HANDLERS", ""), "comma separated handlers to run inside the agent: "+all.Names("and")+" (AKRI_BUILTIN_HANDLERS; ENABLE_DEBUG_ECHO adds debugEcho)")
		paths      = f.String("allowed-host-paths", env("AKRI_ALLOWED_HOST_PATHS", ""), "comma separated folders in which the device nodes may be that handlers report (AKRI_ALLOWED_HOST_PATHS; default /dev)")
		mounts     = f.String("allowed-mounts", env("AKRI_ALLOWED_MOUNTS", ""), "comma separated paths that handlers may have mounted into containers, and what is below them; default none (AKRI_ALLOWED_MOUNTS)")
		memory     = f.String("handlers-memory", env("AKRI_HANDLERS_MEMORY", "24Mi"), "how much of this process's memory the lists of all handlers may take (AKRI_HANDLERS_MEMORY)")
		namespaces = f.String("property-namespaces", env("AKRI_PROPERTY_NAMESPACES", ""), "comma separated namespaces whose Secrets and ConfigMaps the discoveryProperties of every Configuration may refer to, besides its own; * for all (AKRI_PROPERTY_NAMESPACES)")
		metrics    = f.String("metrics-port", env("METRICS_PORT", "8080"), "port of /metrics, /healthz and /readyz (METRICS_PORT); 0 for none")
		gid        = f.Int("socket-gid", -1, "group that owns the registration directory; its members may register handlers. -1 leaves the group as it is")
		bound      = f.String("handler-uids", env("AKRI_HANDLER_UIDS", ""), "comma separated <handler name>=<uid>: handlers of such a name must run as that user, or one of those if the name is there again; <handler name>= is nobody (AKRI_HANDLER_UIDS)")
		kubeconfig = f.String("kubeconfig", env("KUBECONFIG", ""), "kubeconfig file; none means the Pod's service account (KUBECONFIG)")
		level      = f.String("log-level", env("LOG_LEVEL", "info"), "debug, info, warn or error (LOG_LEVEL)")
	)
	f.StringVar(&opts.Node, "node-name", env("AGENT_NODE_NAME", ""), "name of the node, required (AGENT_NODE_NAME)")
	f.StringVar(&opts.HandlersDir, "handlers-dir", env("DISCOVERY_HANDLERS_DIRECTORY", "/var/lib/akri"), "directory of the handlers' sockets (DISCOVERY_HANDLERS_DIRECTORY)")
	f.StringVar(&opts.StateDir, "state-dir", env("AKRI_STATE_DIR", agent.DefaultStateDir), "directory of the checkpoints, outside of the handlers' (AKRI_STATE_DIR)")
	f.StringVar(&opts.HostPaths.Root, "host-root", env("AKRI_HOST_ROOT", "/"), "where the agent sees the node's root, of which it needs /dev: what is given to containers is looked at there (AKRI_HOST_ROOT)")
	f.StringVar(&opts.DevicePluginDir, "device-plugin-dir", env("AKRI_DEVICE_PLUGIN_DIR", "/var/lib/kubelet/device-plugins"), "the kubelet's device plugin directory")
	f.StringVar(&opts.PodResourcesSocket, "pod-resources-socket", env("AKRI_POD_RESOURCES_SOCKET", "/var/lib/kubelet/pod-resources/kubelet.sock"), "the kubelet's PodResources socket")
	f.StringVar(&opts.PodName, "pod-name", env("POD_NAME", ""), "the agent's own Pod, by which it knows that the kubelet's answers are complete (POD_NAME)")
	f.StringVar(&opts.PodNamespace, "pod-namespace", env("POD_NAMESPACE", ""), "the namespace of that Pod (POD_NAMESPACE)")
	if err := f.Parse(args); err != nil {
		return usageError{err}
	}
	if f.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", f.Arg(0))}
	}
	if opts.Node == "" {
		return usageError{errors.New("the node's name is missing: set AGENT_NODE_NAME (by the downward API, spec.nodeName) or --node-name")}
	}
	logger, err := logging.New(stderr, *level)
	if err != nil {
		return usageError{err}
	}
	opts.Logger = logger
	port, err := strconv.ParseUint(*metrics, 10, 16)
	if err != nil {
		return usageError{fmt.Errorf("metrics port %q: want a number from 0 to 65535", *metrics)}
	}
	if port != 0 {
		opts.MetricsAddress = fmt.Sprintf(":%d", port)
	}
	opts.SocketGID = *gid
	opts.HostPaths.Devices, opts.HostPaths.Mounts = list(*paths), list(*mounts)
	if opts.HandlerUIDs, err = bindings(list(*bound)); err != nil {
		return err
	}
	if opts.HandlersMemory, err = megabytes(*memory); err != nil {
		return fmt.Errorf("handlers' memory %q: %w", *memory, err)
	}
	opts.PropertyNamespaces = list(*namespaces)
	opts.Metrics = agentmetrics.NewRegistry()
	program := setup.Program{Log: logger, Histogram: agentmetrics.Histogram(opts.Metrics)}
	if opts.Builtin, err = builtin(list(*handlers), getenv, program); err != nil {
		return usageError{err}
	}
	if *kubeconfig == "" {
		opts.API, err = rest.InClusterConfig()
	} else {
		opts.API, err = clientcmd.BuildConfigFromFlags("", *kubeconfig)
	}
	if err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	bounded.Memory(getenv)
	return agent.Run(ctx, opts)
}

// builtin makes the built-in handlers of the given names.
func builtin(names []string, getenv func(string) string, p setup.Program) ([]discovery.Handler, error) {
	if getenv("ENABLE_DEBUG_ECHO") != "" {
		names = append(names, debugecho.Name)
	}
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
		// Of what can be chosen for it the agent has the variables, not the flags.
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
		all[name] = uids // none, but there, is nobody
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
