// Command ip-camera is a broker for network cameras. It asks a camera by ONVIF
// where its pictures are, gets them by RTSP or as snapshots over HTTP, and serves
// them as upstream Akri's broker does: camera.Camera/GetFrame on port 8083. Beside
// that it streams them, and has metrics and probes on port 8080.
//
// All settings are environment variables; its README lists them.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/samples/camera"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		slog.Error("broker failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bounded.Memory(os.Getenv)
	log, err := logging.New(os.Stderr, os.Getenv("LOG_LEVEL"))
	if err != nil {
		return err
	}
	s, err := parse(os.Environ())
	if err != nil {
		return err
	}
	return newBroker(s, log).Run(ctx)
}

func newBroker(s settings, log *slog.Logger) *camera.Broker {
	f := &finder{settings: s, log: log}
	return &camera.Broker{
		Source: f.source, Camera: s.name(), Start: startTimeout,
		Address: ":" + s.port, ProbesAddress: ":" + s.probesPort, Log: log,
	}
}
