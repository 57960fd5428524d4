package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/admission/webhook"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/controller/node"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/trim"
	"github.com/akri-go/akri/internal/version"
)

const usage = `akri-controller runs brokers and Services for the devices that Akri's agents find.
It runs in the cluster. One of several replicas is the leader and does the work.

Usage:
  akri-controller [flags]
  akri-controller crds [flags]      update the cluster's CRDs to those of this version
  akri-controller cleanup [flags]   delete all Configurations before an uninstall

The first form serves /metrics, /healthz and /readyz, and runs until it gets
SIGTERM. With --webhook it also checks Configurations when they are written. The
other two are for the Helm chart's hooks, and end when they are done.
--version prints the version.

%s

Flags (with the environment variables that set their defaults):
`

// namespaceFile is where a Pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// minLeaseDuration is the shortest --lease-duration: a renewal may take a
// second, and is retried after a sixth of it.
const minLeaseDuration = 6 * time.Second

// settings are the flags and environment.
type settings struct {
	kubeconfig, namespace, level string
	metricsPort                  int
	probeAddress                 string
	leaderElection               bool
	leaseDuration                time.Duration
	pod                          controller.Pod
	nodeGrace                    node.Grace
	resourceRetention            time.Duration
	webhook                      string // empty: none
	webhookPort                  int
	webhookCA                    string // PEM
	authorizeSpecs               bool
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "akri-controller", version.String())
		return exitcode.OK
	}
	bounded.Memory(getenv)
	if len(args) > 0 && (args[0] == crdsHook || args[0] == cleanupHook) {
		return runHook(ctx, args[0], args[1:], getenv, out, errs)
	}
	var log *slog.Logger
	s, err := parse(args, getenv, out)
	if err == nil {
		log, err = logging.New(errs, s.level)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "akri-controller: %v\nSee akri-controller --help.\n", err)
		return exitcode.Usage
	}
	// The libraries have their own loggers.
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50) // memory matters more here than CPU
	}
	defer trim.Start(ctx, log)()
	if err := serve(ctx, s, controller.Options{Log: log, Metrics: metrics.Registry}); err != nil {
		log.Error("akri-controller ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

func serve(ctx context.Context, s settings, o controller.Options) error {
	cfg, err := kubeconfig.Load(s.kubeconfig)
	if err != nil {
		return err
	}
	cfg.UserAgent = "akri-controller"
	o.Config = cfg
	o.MetricsAddress = "0"
	if s.metricsPort != 0 {
		o.MetricsAddress = net.JoinHostPort("", strconv.Itoa(s.metricsPort))
	}
	o.ProbeAddress = s.probeAddress
	o.LeaderElection, o.Namespace, o.LeaseDuration, o.Pod = s.leaderElection, s.namespace, s.leaseDuration, s.pod
	o.NodeGrace, o.ResourceRetention = s.nodeGrace, s.resourceRetention
	if o.Namespace == "" {
		if b, err := os.ReadFile(namespaceFile); err == nil {
			o.Namespace = strings.TrimSpace(string(b))
		}
	}
	if s.webhook != "" {
		if o.Namespace == "" {
			return errors.New("the admission webhook needs the namespace of its Service: set POD_NAMESPACE or --namespace")
		}
		w := webhook.Options{
			Name: s.webhook, Namespace: o.Namespace, Port: s.webhookPort,
			AuthorizeSpecs: s.authorizeSpecs, DiscoveryDigest: view.DiscoveryDigest, Log: o.Log,
		}
		if s.webhookCA != "" {
			w.CABundle = []byte(s.webhookCA)
		}
		o.Webhook = func(mgr manager.Manager) (func() error, error) { return webhook.Setup(mgr, w) }
	}
	if err := controller.AwaitAPIServer(ctx, o); err != nil {
		if ctx.Err() != nil {
			return nil // it was told to end
		}
		return err
	}
	mgr, err := controller.New(ctx, o)
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the manager: %w", err)
	}
	return nil
}

func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	env := envvar.Or(getenv)
	var s settings
	var badTime error
	duration := func(to *time.Duration, flags *flag.FlagSet, name, variable string, fallback time.Duration, use string) {
		if v := getenv(variable); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil {
				badTime = errors.Join(badTime, fmt.Errorf("%s: %q is not a time such as 1m30s", variable, v))
			}
			fallback = d
		}
		flags.DurationVar(to, name, fallback, use+" ("+variable+")")
	}
	port, badPort := strconv.Atoi(env("METRICS_PORT", "8080"))
	flags := flag.NewFlagSet("akri-controller", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.kubeconfig, "kubeconfig", getenv("KUBECONFIG"), "`file` that says how to reach the API server, outside a cluster (KUBECONFIG)")
	flags.StringVar(&s.namespace, "namespace", getenv("POD_NAMESPACE"), "`namespace` of the Lease; default is the Pod's own (POD_NAMESPACE)")
	flags.IntVar(&s.metricsPort, "metrics-port", port, "`port` for /metrics, 0 for none (METRICS_PORT)")
	flags.StringVar(&s.probeAddress, "health-probe-address", env("HEALTH_PROBE_ADDRESS", ":8081"), "`address` for /healthz and /readyz, 0 for none (HEALTH_PROBE_ADDRESS)")
	flags.BoolVar(&s.leaderElection, "leader-elect", true, "work only while holding the Lease "+controller.LeaseName)
	duration(&s.leaseDuration, flags, "lease-duration", "LEASE_DURATION", controller.DefaultLeaseDuration,
		"`time` after which another replica takes over from a leader that no longer responds, as when its node is lost")
	if name, uid := getenv("POD_NAME"), getenv("POD_UID"); name != "" && uid != "" {
		s.pod = controller.Pod{Name: name, UID: types.UID(uid)}
	}
	duration(&s.nodeGrace.Node, flags, "node-lost-after", "NODE_LOST_AFTER", time.Minute,
		"`time` for which a node must be not ready before it leaves shared Instances; 0 is never; a deleted node leaves at once")
	duration(&s.nodeGrace.Last, flags, "last-node-lost-after", "LAST_NODE_LOST_AFTER", 5*time.Minute,
		"`time` for which an Instance's last node must be not ready before the Instance is deleted; 0 is never")
	duration(&s.resourceRetention, flags, "resources-left-over-after", "RESOURCES_LEFT_OVER_AFTER", 6*time.Minute,
		"`time` after which akri.sh/... resources are removed from Nodes that no object has the name of; three times as long if their value is not 0; 0 is never")
	flags.StringVar(&s.webhook, "webhook", getenv("WEBHOOK"), "`name` of the Service and ValidatingWebhookConfiguration of the admission webhook, and with -certs of its Secret; empty means no webhook (WEBHOOK)")
	flags.IntVar(&s.webhookPort, "webhook-port", 8443, "`port` for the admission webhook")
	ca := flags.String("webhook-ca-bundle", getenv("WEBHOOK_CA_BUNDLE"), "`base64` of the PEM CA bundle for the webhook's certificate, which is in a Secret of yours with the webhook's name; empty means that the controller makes its own (WEBHOOK_CA_BUNDLE)")
	authorize, badAuthorize := strconv.ParseBool(env("WEBHOOK_AUTHORIZE_SPECS", "false"))
	flags.BoolVar(&s.authorizeSpecs, "webhook-authorize-specs", authorize,
		"the webhook refuses Pod, Job and Service specs from users who may not create such objects themselves (WEBHOOK_AUTHORIZE_SPECS)")
	flags.StringVar(&s.level, "log-level", env("LOG_LEVEL", rustLevel(getenv("RUST_LOG"))), "lowest `level` that is logged: debug, info, warn or error (LOG_LEVEL)")
	flags.Usage = func() {}
	err := flags.Parse(args)
	pem, badCA := base64.StdEncoding.DecodeString(*ca)
	s.webhookCA = string(pem)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, exitcode.ServiceText())
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil:
	case badPort != nil:
		err = fmt.Errorf("METRICS_PORT: %q is not a number", getenv("METRICS_PORT"))
	case badAuthorize != nil:
		err = fmt.Errorf("WEBHOOK_AUTHORIZE_SPECS: %q is neither true nor false", getenv("WEBHOOK_AUTHORIZE_SPECS"))
	case badTime != nil:
		err = badTime
	case s.nodeGrace.Node < 0 || s.nodeGrace.Last < 0 || s.resourceRetention < 0:
		err = errors.New("a time must not be negative")
	case s.leaseDuration < minLeaseDuration:
		err = fmt.Errorf("--lease-duration %v is too short: replicas would lose their Lease whenever the API server is slow; use at least %v", s.leaseDuration, minLeaseDuration)
	case s.metricsPort < 0 || s.metricsPort > 65535:
		err = fmt.Errorf("metrics port %d: want 0 to 65535", s.metricsPort)
	case s.webhookPort < 1 || s.webhookPort > 65535:
		err = fmt.Errorf("webhook port %d: want 1 to 65535", s.webhookPort)
	case badCA != nil:
		err = fmt.Errorf("CA bundle of the webhook: %w", badCA)
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s, err
}

// rustLevel reads upstream's RUST_LOG as far as it is a plain level.
func rustLevel(s string) string {
	switch s = strings.ToLower(s); s {
	case "trace":
		return "debug"
	case "debug", "info", "warn", "error":
		return s
	default:
		return "info"
	}
}
