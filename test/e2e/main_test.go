//go:build e2e

// Package e2e tests the whole on a real cluster: API server, scheduler,
// kubelet and containerd, with the chart and the images that users install,
// and devices that the kernel really plugs and unplugs.
//
// The cluster is made for the tests and is gone afterwards. With AKRI_E2E_DIR
// set it is kept in that folder, and used again by the next run.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/go-logr/logr"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
)

const (
	release          = "akri"
	releaseNamespace = "akri-system"
)

// These are set before the first test and then only read.
var (
	cluster *devcluster.Cluster
	api     client.WithWatch
	// programs is a folder for what the tests build and run on the node.
	programs string
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, keep := os.Getenv("AKRI_E2E_DIR"), true
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "akri-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
		keep = false
	}
	if !keep {
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			if err := devcluster.Down(ctx, dir, os.Stderr); err != nil {
				fmt.Fprintln(os.Stderr, "e2e: take the cluster down:", err)
				return
			}
			if err := os.RemoveAll(dir); err != nil {
				fmt.Fprintln(os.Stderr, "e2e:", err)
			}
		}()
	}
	var err error
	if programs, err = os.MkdirTemp("", "akri-e2e-programs-"); err == nil {
		err = os.Chmod(programs, 0o755) // other users run them too
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(programs)
	if err := setUp(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: set up:", err)
		return 1
	}
	return m.Run()
}

func setUp(ctx context.Context, dir string) (err error) {
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	cluster, err = devcluster.Up(ctx, devcluster.Options{Dir: dir, Nodes: 1, Progress: os.Stderr, Repo: repo, Install: true})
	if err != nil {
		return err
	}
	if _, err := cluster.LoadImageDir(ctx, filepath.Join(repo, "out", "images")); err != nil {
		return err
	}
	values, err := devcluster.ParseValues([]string{
		"udev.discovery.enabled=true",
		"debugEcho.discovery.enabled=true",
		"agent.allowDebugEcho=true",
	})
	if err != nil {
		return err
	}
	err = cluster.InstallChart(ctx, devcluster.InstallOptions{
		ChartDir: filepath.Join(repo, "charts", "akri"), Release: release, Namespace: releaseNamespace,
		Values: values, Wait: 3 * time.Minute,
	})
	if err != nil {
		return err
	}
	config, err := cluster.RESTConfig()
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v0.AddToScheme(scheme)); err != nil {
		return err
	}
	api, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	return err
}
