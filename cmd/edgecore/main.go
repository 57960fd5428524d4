// edgecore is the edge half of an edge node: it keeps the node in step with the
// cluster over one connection to cloudcore, serves a local Kubernetes API from
// what it has stored, and runs the stock kubelet on it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
