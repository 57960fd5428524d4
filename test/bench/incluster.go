package main

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// inCluster is a handler as the chart runs it: devices are seen when they are
// Instances. The floor is as many Instances that this program applies.
type inCluster struct {
	*bench
	component string // of the handler's Pods
}

func (c *inCluster) seen() string { return "instance" }

func (c *inCluster) ask(ctx context.Context, name, handler, details string) (watcher, func() error, error) {
	w, err := c.watchInstances(ctx)
	if err != nil {
		return nil, nil, err
	}
	clean, err := c.configure(ctx, &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: handler, DiscoveryDetails: details}},
	})
	if err != nil {
		w.Stop()
		return nil, nil, err
	}
	return w, func() error { w.Stop(); return clean() }, nil
}

func (w *instances) count(ctx context.Context, is func(int) bool) (time.Time, error) {
	return w.until(ctx, func() bool { return is(len(w.there)) })
}

func (c *inCluster) floor(ctx context.Context, see watcher) (time.Duration, error) {
	return c.floorOfOne(ctx, see.(*instances))
}

func (c *inCluster) floorOfMany(ctx context.Context) (time.Duration, error) {
	b := *c.bench
	b.devices = many
	return b.floorOfMany(ctx)
}

func (c *inCluster) process(ctx context.Context) (process, error) {
	all, err := c.processes(ctx, c.component)
	if err != nil {
		return "", err
	}
	return all[0], nil
}

func (c *inCluster) report(name string, p process) error {
	m, err := p.memory()
	if err == nil {
		c.reportMemory(name, m)
	}
	return err
}
