package keadm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/poll"
)

const (
	// answerTimeout is how long edgecore may take until it answers, and linkTimeout
	// until it is connected.
	answerTimeout = 90 * time.Second
	linkTimeout   = time.Minute
	askInterval   = 200 * time.Millisecond
)

// install puts edgecore and its unit where they belong. The unit starts an
// edgecore that no person moves, so it is copied there.
func (j *joining) install(ctx context.Context) error {
	if j.Systemctl == "" {
		return nil
	}
	program := filepath.Join(j.Programs, "edgecore")
	text, err := unit(program, j.Config())
	if err != nil {
		return err
	}
	binary, err := os.ReadFile(j.Edgecore)
	if err != nil {
		return err
	}
	active := j.is(ctx, "is-active")
	if same(program, binary) && same(j.unitFile(), text) && active {
		return nil
	}
	j.back.add(func(ctx context.Context) error { // when the files are as before
		if err := j.systemctl(ctx, "daemon-reload"); err != nil || !active {
			return err
		}
		return j.systemctl(ctx, "restart", unitName)
	})
	for _, f := range []struct {
		path    string
		content []byte
		mode    os.FileMode
	}{{program, binary, 0o755}, {j.unitFile(), text, 0o644}} {
		if same(f.path, f.content) {
			continue
		}
		if err := j.back.file(f.path); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return err
		}
		if err := atomicfile.WriteDurable(f.path, f.content, f.mode); err != nil {
			return err
		}
		j.say("installed %s", f.path)
	}
	if err := j.systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	if active { // a newer one
		return j.systemctl(ctx, "restart", unitName)
	}
	return nil
}

// start starts edgecore, now and at boot, and waits until it is connected.
func (j *joining) start(ctx context.Context) error {
	switch {
	case j.Systemctl == "":
		j.say("systemd does not run here: have edgecore started at boot, and again whenever it ends, with\n\n  %s --config %s\n\nedgecore status tells what it does", j.Edgecore, j.Config())
		return nil
	case !j.Start:
		j.say("edgecore is not started; this starts it, now and at boot:\n\n  systemctl enable --now edgecore")
		return nil
	}
	enabled, active := j.is(ctx, "is-enabled"), j.is(ctx, "is-active")
	j.back.add(func(ctx context.Context) error {
		var errs []error
		if !active {
			errs = append(errs, j.systemctl(ctx, "stop", unitName))
		}
		if !enabled {
			errs = append(errs, j.systemctl(ctx, "disable", unitName))
		}
		return errors.Join(errs...)
	})
	if err := j.systemctl(ctx, "enable", "--now", unitName); err != nil {
		return err
	}
	return j.await(ctx)
}

// await waits until edgecore answers, which it must, and is connected, for which
// it goes on trying.
func (j *joining) await(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var report status.Report
	err := poll.Until(limited, "edgecore answers", askInterval, func(ctx context.Context) (err error) {
		report, err = status.Ask(ctx, j.config.StatusSocket)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, journal(context.WithoutCancel(ctx)))
	}
	j.say("edgecore runs")
	limited, cancel = context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	err = poll.Until(limited, "edgecore is connected", askInterval, func(ctx context.Context) (err error) {
		if report, err = status.Ask(ctx, j.config.StatusSocket); err == nil && !report.Link.Connected {
			err = errors.New(report.Link.LastError)
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return err
	case err != nil:
		j.say("warning: node %s is not connected yet, and edgecore goes on trying: %v; edgecore status tells more", j.node(), err)
	default:
		j.say("node %s is connected to the cluster; edgecore status tells what it does", j.node())
	}
	return nil
}
