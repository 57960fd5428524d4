// Command images writes the container images of this repository to
// out/images, without a container engine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/akri-go/akri/internal/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("images", flag.ExitOnError)
	arch := flags.String("arch", runtime.GOARCH, `architectures, separated by commas, or "all"`)
	names := flags.String("images", "", "images, separated by commas (default all)")
	prefix := flags.String("prefix", images.DefaultPrefix, "what repository names start with")
	tag := flags.String("tag", "", "tag (default v<appVersion> of the chart, with -debug if so)")
	debug := flags.Bool("debug", false, "add a static shell and its tools")
	out := flags.String("out", "out", "directory to write to")
	flags.Parse(args)

	o := images.Options{Module: ".", Out: *out, Prefix: *prefix, Tag: *tag, Debug: *debug, Images: images.All(), Log: os.Stderr}
	if *names != "" {
		var err error
		if o.Images, err = images.Find(strings.Split(*names, ",")...); err != nil {
			return err
		}
	}
	if *arch == "all" {
		o.Platforms = images.Platforms()
	} else {
		for _, a := range strings.Split(*arch, ",") {
			p, err := images.ParsePlatform(a)
			if err != nil {
				return err
			}
			o.Platforms = append(o.Platforms, p)
		}
	}
	archives, err := images.Build(ctx, o)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tPLATFORM\tCOMPRESSED\tFILE")
	for _, a := range archives {
		fmt.Fprintf(w, "%s\tlinux/%s\t%.1f MB\t%s\n", a.Ref, a.Platform, float64(a.Size)/1e6, a.Path)
	}
	return w.Flush()
}
