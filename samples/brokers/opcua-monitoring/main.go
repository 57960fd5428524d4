// Command opcua-monitoring is a broker for OPC UA servers. It subscribes to a node
// of a server and serves the node's value as upstream Akri's broker does:
// OpcuaNode.OpcuaNode/GetValue on port 8083. Beside that it streams the values, and
// has metrics and probes on port 8080.
//
// All settings are environment variables; its README lists them.
package main

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/logging"
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
	slog.SetDefault(log)         // which writes by package log until then
	stdlog.SetOutput(io.Discard) // the library's: its errors are returned, too
	s, err := parse(os.Environ())
	if err != nil {
		return err
	}
	listener, err := bounded.Listen(ctx, ":"+s.port, bounded.Limits{})
	if err != nil {
		return fmt.Errorf("serve values (PORT): %w", err)
	}
	return newBroker(s, log).run(ctx, listener)
}
