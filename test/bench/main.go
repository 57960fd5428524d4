// Bench measures what Akri promises about speed and size. It prints one line per
// figure:
//
//	figure=<name> value=<number> unit=<unit> floor=<number or -> ratio=<number or -> bound=<number or ->
//
// The floor is what the same machine needs for the unavoidable part, measured
// in the same run; ratio is value divided by floor. The bound is what the figure
// must not exceed, where that was set. The names of figures of two nodes begin with
// two-nodes-.
//
// Handlers of the network and the edge link it measures alone first, without a
// cluster, and then cloudcore and an edge node on what they need. Then it makes a
// cluster of one node with the chart and the images of out/images, and then one of
// two nodes for the figures of shared devices, as far as they are wanted. It runs in the checkout. With -kubeconfig it measures on an
// existing cluster, such as that of `akri dev`: the figures for its number of
// nodes. Devices are real, zram block devices that are plugged and unplugged, or
// debugEcho's where a thousand are needed. It must run as root on the cluster's
// machine, and removes what it made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/akri-go/akri/internal/devcluster"
	mdns "github.com/akri-go/akri/internal/handlers/mdns/details"
	modbus "github.com/akri-go/akri/internal/handlers/modbus/details"
	mqtt "github.com/akri-go/akri/internal/handlers/mqtt/details"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrllog.SetLogger(logr.Discard())
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// figure is one measurement of the suite.
type figure struct {
	name    string
	about   string
	nodes   int // of the cluster that it is measured on; 0 if it needs none
	measure func(context.Context, *bench) error
}

func figures() []figure {
	return []figure{
		{"rss", "memory of agent, controller and discovery without devices", 1, measureRSS},
		{"plug", "uevent to Instance visible, with 64 devices present", 1, measurePlug},
		{"broker", "plug to broker running, unplug to broker gone", 1, measureBroker},
		{"burst", "1,000 devices reported at once, and memory with them", 1, measureBurst},
		{"idle", "API writes and CPU with 1,000 Instances while nothing changes", 1, measureIdle},
		{"quiet", "CPU, memory and API requests of each component with 64 devices while nothing changes", 1, measureQuiet},
		{"flood", "memory of agent and controller with 100 shared Instances of 512 KiB of another node", 1, measureFloodOfInstances},
		{"flood-handler", "memory of an agent under 64 handlers that report as much as they can", 1, measureFloodOfReports},
		{"flood-webhook", "memory of a webhook that strangers flood with connections and costly reviews", 1, measureFloodOfReviews},
		{"cameras", "Hello and Bye to Instance; 500 cameras on one network, and packets while nothing changes, also of a 10 s poller", 1, measureCameras},
		{"cameras-alone", "the same of the handler onvif alone, to its reports", 0, runAlone(cameras, onvif.Name)},
		{"mdns", "announcement to report of the handler mdns alone; 500 devices, and packets while nothing changes, also of a 10 s poller", 0, runAlone(services, mdns.Name)},
		{"mdns-instances", "announcement to Instance, and 500 devices of mDNS on a cluster", 1, measureServices},
		{"modbus", "the same as mdns of the handler modbus alone", 0, runAlone(units, modbus.Name)},
		{"mqtt", "the same of the handler mqtt alone, without a poller", 0, runAlone(things, mqtt.Name)},
		{"edge-link", "the link of 1,000 edge nodes alone: memory, CPU, reconnecting, short messages beside long ones; 3 min", 0, measureEdgeLink},
		{"edge-cloudcore", "cloudcore with 10,000 simulated edge nodes: memory, CPU, reconnecting, requests to the API server; 6 min", 0, measureEdgeCloudcore},
		{"edge-node", "an edge node on a cluster of its own: memory, bytes on the wire and the disk, changes seen, power cuts while cut off; 12 min", 0, measureEdgeNode},
		{"together", "memory of agent, udev and onvif in processes of their own, and of the two handlers in one", 1, measureTogether},
		{"dashboard", "the dashboard with 1,000 devices and up to 20 browsers: CPU, memory and what is sent while nothing and everything changes", 0, measureDashboard},
		{"pictures", "the start of a network camera to its first picture on a page, and what of it is the start of a Pod", 1, measurePictures},
		{"streams", "1, 4 and 16 cameras on a page: how old pictures are there, CPU and memory of brokers and application", 0, measureStreams},
		{"samples", "memory of the samples for OPC UA, and of the broker for USB cameras where there is a camera", 0, measureSamples},
		{"burst-two-nodes", "1,000 devices that two nodes see, reported at once, and memory with them", 2, measureBurst},
		{"idle-two-nodes", "API writes and CPU with them while nothing changes", 2, measureIdle},
	}
}

// choose returns the figures of these names, all if there are none.
func choose(names []string) ([]figure, error) {
	for _, name := range names {
		if !slices.ContainsFunc(figures(), func(fig figure) bool { return fig.name == name }) {
			return nil, fmt.Errorf("there is no figure %q", name)
		}
	}
	return slices.DeleteFunc(figures(), func(fig figure) bool {
		return len(names) > 0 && !slices.Contains(names, fig.name)
	}), nil
}

// bench is what all measurements share.
type bench struct {
	api     client.WithWatch
	metrics func(context.Context) ([]byte, error)
	nodes   []string            // of the cluster
	audit   string              // file with the requests of Akri's service accounts, or ""
	cluster *devcluster.Cluster // nil if it was there before
	options
}

// options are the flags.
type options struct {
	namespace string
	release   string
	image     string
	rounds    int
	devices   int
	edgeNodes int
	idle      time.Duration
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "Usage: bench [flags] [figure ...]\n\nFigures (all by default):")
		for _, fig := range figures() {
			fmt.Fprintf(f.Output(), "  %-16s %s\n", fig.name, fig.about)
		}
		fmt.Fprintln(f.Output(), "\nFlags:")
		f.PrintDefaults()
	}
	var o options
	kubeconfig := f.String("kubeconfig", "", "kubeconfig of a cluster with Akri; none means to make clusters")
	f.StringVar(&o.namespace, "namespace", "akri-bench", "namespace to work in; it is made and deleted")
	f.StringVar(&o.release, "release-namespace", "akri-system", "namespace of the Akri release")
	f.StringVar(&o.image, "broker-image", "", "image of a broker that stops at once; none means the sample broker of this checkout")
	f.IntVar(&o.rounds, "rounds", 100, "plugs for the latency figures; the broker figures take a tenth")
	f.IntVar(&o.devices, "devices", 1000, "devices of the burst")
	f.IntVar(&o.edgeNodes, "edge-nodes", 10_000, "simulated edge nodes of the figure edge-cloudcore")
	f.DurationVar(&o.idle, "idle", time.Minute, "how long to watch an idle cluster; five times as long an edge node")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(f.Args())
	if err != nil {
		return err
	}
	if o.image == "" {
		tag, err := images.DefaultTag(false)
		if err != nil {
			return err
		}
		o.image = images.DefaultPrefix + "/show-broker:" + tag
	}
	if *kubeconfig != "" {
		return measure(ctx, o, *kubeconfig, nil, chosen)
	}
	for _, nodes := range []int{0, 1, 2} {
		some := slices.DeleteFunc(slices.Clone(chosen), func(fig figure) bool { return fig.nodes != nodes })
		if len(some) == 0 {
			continue
		}
		if nodes == 0 {
			if err := (&bench{options: o}).run(ctx, some); err != nil {
				return err
			}
			continue
		}
		err := withCluster(ctx, nodes, o.release, func(c *devcluster.Cluster) error {
			return measure(ctx, o, c.Kubeconfig(), c, some)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measure measures on a cluster the figures that it has enough nodes for. made is
// nil unless bench has made it.
func measure(ctx context.Context, o options, kubeconfig string, made *devcluster.Cluster, chosen []figure) error {
	b, err := connect(ctx, o, kubeconfig)
	if err != nil {
		return err
	}
	if made != nil {
		b.cluster, b.audit = made, made.AuditLog()
	}
	if err := b.setUp(ctx); err != nil {
		return err
	}
	defer b.tearDown()
	return b.run(ctx, chosen)
}

// run measures the figures, but for those that are for other numbers of nodes.
func (b *bench) run(ctx context.Context, chosen []figure) error {
	for _, fig := range chosen {
		if fig.nodes != len(b.nodes) {
			fmt.Fprintf(os.Stderr, "left out: %s is not for %d nodes\n", fig.name, len(b.nodes))
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s: %s\n", fig.name, fig.about)
		if err := fig.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", fig.name, err)
		}
	}
	return nil
}

// report prints one figure. A floor of zero means that there is none. There may be
// a bound, beside it.
func (b *bench) report(name string, value float64, unit string, floor float64, bound ...float64) {
	if len(b.nodes) > 1 {
		name = "two-nodes-" + name
	}
	fmt.Println(line(name, value, unit, floor, bound...))
}

func line(name string, value float64, unit string, floor float64, bound ...float64) string {
	line := fmt.Sprintf("figure=%s value=%s unit=%s", name, number(value), unit)
	if floor > 0 {
		line += fmt.Sprintf(" floor=%s ratio=%s", number(floor), number(value/floor))
	} else {
		line += " floor=- ratio=-"
	}
	if len(bound) == 0 {
		return line + " bound=-"
	}
	return line + " bound=" + number(bound[0])
}

func number(v float64) string {
	s := fmt.Sprintf("%.3f", v)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// quantile returns the value below which the share q of the sorted values is.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q * float64(len(sorted)))
	return sorted[min(i, len(sorted)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
