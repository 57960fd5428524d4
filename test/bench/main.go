// Bench measures what Akri promises about speed and size, on a cluster where
// the chart is installed with the udev and debugEcho handlers, such as that of
// `akri dev`. It prints one line per figure:
//
//	figure=<name> value=<number> unit=<unit> floor=<number or -> ratio=<number or ->
//
// The floor is what the same machine needs for the unavoidable part, measured
// in the same run; ratio is value divided by floor. Devices are real: zram
// block devices, plugged and unplugged. It must run as root on the machine of
// the cluster, and leaves nothing behind.
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

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
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
	measure func(context.Context, *bench) error
}

func figures() []figure {
	return []figure{
		{"rss", "memory of agent, controller and discovery with the devices there are", measureRSS},
		{"plug", "uevent to Instance visible, with 64 devices present", measurePlug},
		{"broker", "plug to broker running, unplug to broker gone", measureBroker},
		{"burst", "1,000 devices reported at once", measureBurst},
		{"idle", "API writes and CPU while nothing changes; runs within burst, with 1,000 Instances", nil},
	}
}

// bench is what all measurements share.
type bench struct {
	api       client.WithWatch
	metrics   func(context.Context) ([]byte, error)
	namespace string
	release   string
	image     string
	rounds    int
	devices   int
	idle      time.Duration
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "Usage: bench [flags] [figure ...]\n\nFigures (all by default):")
		for _, fig := range figures() {
			fmt.Fprintf(f.Output(), "  %-8s %s\n", fig.name, fig.about)
		}
		fmt.Fprintln(f.Output(), "\nFlags:")
		f.PrintDefaults()
	}
	b := &bench{}
	kubeconfig := f.String("kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig of the cluster")
	f.StringVar(&b.namespace, "namespace", "akri-bench", "namespace to work in; it is made and deleted")
	f.StringVar(&b.release, "release-namespace", "akri-system", "namespace of the Akri release")
	f.StringVar(&b.image, "broker-image", "", "image of a broker that stops at once, such as the sample broker; needed for the figure broker")
	f.IntVar(&b.rounds, "rounds", 100, "plugs for the latency figures; the broker figures take a tenth")
	f.IntVar(&b.devices, "devices", 1000, "devices of the burst")
	f.DurationVar(&b.idle, "idle", time.Minute, "how long to watch an idle cluster")
	if err := f.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v0.AddToScheme(scheme)); err != nil {
		return err
	}
	if b.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if b.metrics, err = metricsReader(config); err != nil {
		return err
	}
	if f.NArg() > 0 {
		for _, name := range f.Args() {
			if !slices.ContainsFunc(figures(), func(fig figure) bool { return fig.name == name }) {
				return fmt.Errorf("there is no figure %q", name)
			}
		}
	}
	if err := b.setUp(ctx); err != nil {
		return err
	}
	defer b.tearDown()
	for _, fig := range figures() {
		if fig.measure == nil || f.NArg() > 0 && !slices.Contains(f.Args(), fig.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s: %s\n", fig.name, fig.about)
		if err := fig.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", fig.name, err)
		}
	}
	return nil
}

// report prints one figure. A floor of zero means that there is none.
func report(name string, value float64, unit string, floor float64) {
	line := fmt.Sprintf("figure=%s value=%s unit=%s", name, number(value), unit)
	if floor > 0 {
		line += fmt.Sprintf(" floor=%s ratio=%s", number(floor), number(value/floor))
	} else {
		line += " floor=- ratio=-"
	}
	fmt.Println(line)
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
