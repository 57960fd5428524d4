// Command devnode is an example of a discovery handler: it finds device nodes by
// their names, such as the serial ports ttyUSB0 and ttyACM1.
//
// A Configuration asks for names with the wildcards of [path.Match]:
//
//	discoveryHandler:
//	  name: devnode
//	  discoveryDetails: |
//	    names: [ttyUSB*, ttyACM*]
//
// Each node becomes a device that containers get, with its path in DEVNODE.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
)

func main() {
	dev := flag.String("dev", "/dev", "where the node's /dev is mounted")
	flag.Parse()
	bounded.Memory(os.Getenv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	opts := append(discovery.OptionsFromEnv(os.Getenv), discovery.WithLogger(log))
	if err := discovery.Serve(ctx, devnode{dir: *dev, inotify: fsnotify.NewWatcher}, opts...); err != nil {
		log.Error("devnode ends", "error", err)
		os.Exit(1)
	}
}
