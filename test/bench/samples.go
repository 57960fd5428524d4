package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
)

// usbCameraStart is how long the broker for USB cameras may take until it has a
// picture.
const usbCameraStart = 30 * time.Second

// measureSamples measures the memory of the samples that streams do not run.
func measureSamples(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	all, err := goBench(ctx, "./samples/apps/anomaly-detection", "", "Memory")
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, key string }{
		{"rss-opcua-monitoring", "Memory MiB-broker"},
		{"rss-anomaly-detection", "Memory MiB-application"},
		{fmt.Sprintf("rss-anomaly-detection-%d-browsers", browsers), fmt.Sprintf("Memory MiB-application-%d-pages", browsers)},
	} {
		value, ok := all[f.key]
		if !ok {
			return fmt.Errorf("%s: there is no benchmark with %q", f.name, f.key)
		}
		b.report(f.name, value, "MiB", 0)
	}
	return b.usbCamera(ctx)
}

// usbCamera measures the broker for USB cameras with the first camera that this
// machine has.
func (b *bench) usbCamera(ctx context.Context) (err error) {
	found, err := filepath.Glob("/dev/video[0-9]*")
	if err != nil {
		return err
	}
	if len(found) == 0 {
		fmt.Fprintln(os.Stderr, "left out: rss-usb-camera needs a camera, /dev/video*; test/vm runs the broker with one")
		return nil
	}
	program, err := images.Find("udev-video-broker")
	if err != nil {
		return err
	}
	dir, err := images.Compile(ctx, images.Options{Module: ".", Out: "out", Images: program}, images.Platform{Arch: runtime.GOARCH})
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(dir, program[0].Program()))
	cmd.Env = append(os.Environ(), "UDEV_DEVNODE_ABCDEF="+slices.Min(found), fmt.Sprintf("PORT=%d", brokerPort), fmt.Sprintf("METRICS_PORT=%d", probesPort))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cmd.Process.Signal(unix.SIGTERM), cmd.Wait()) }()
	started, cancel := context.WithTimeout(ctx, usbCameraStart)
	defer cancel()
	err = poll.Until(started, "the camera gives a picture", 200*time.Millisecond, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/snapshot", brokerPort), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	now, _, err := processOf(cmd).rss()
	b.report("rss-usb-camera", now, "MiB", 0)
	return err
}
