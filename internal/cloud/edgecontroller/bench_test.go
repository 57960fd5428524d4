//go:build integration

package edgecontroller

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
)

// idle is an edge node that keeps nothing.
type idle struct {
	synced *sync.WaitGroup
	s      cloudhub.Session
}

func (n *idle) receive(_ context.Context, m edgev1.Message) error {
	if _, ok := m.(*edgev1.Synced); ok {
		n.synced.Done()
	}
	return nil
}

// kubelets are the interests of a kubelet and a kube-proxy without Pods.
func kubelets(node string) []edgev1.Interest {
	proxy := edgev1.As{Component: "kube-proxy"}
	return []edgev1.Interest{
		podsOf(node),
		{Version: "v1", Resource: "nodes", FieldSelector: "metadata.name=" + node},
		services(),
		{Group: "storage.k8s.io", Version: "v1", Resource: "csidrivers"},
		{Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses"},
		{Version: "v1", Resource: "services", FieldSelector: "spec.clusterIP!=None",
			LabelSelector: "!service.kubernetes.io/service-proxy-name", As: proxy},
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices",
			LabelSelector: "!service.kubernetes.io/headless", As: proxy},
		{Version: "v1", Resource: "nodes", FieldSelector: "metadata.name=" + node, As: proxy},
	}
}

// BenchmarkNodes measures what a session costs beside its link: memory of an idle
// one, and how long nodes that connect at once take until all their interests are
// synced.
func BenchmarkNodes(b *testing.B) {
	const nodes = 1000
	s := kubetest.Start(b, kubetest.WithCRDs(""), kubetest.WithNodeRestriction())
	c := run(b, s.Config, Options{})
	memory := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	for b.Loop() {
		before := memory()
		began := time.Now()
		var synced sync.WaitGroup
		all := make([]*idle, nodes)
		ctx, cancel := context.WithCancel(context.Background())
		for i := range all {
			node := fmt.Sprintf("edge-%d", i)
			n := &idle{synced: &synced}
			n.s = c.Open(ctx, node, edgev1.Hello{}, n.receive)
			for id, interest := range kubelets(node) {
				interest.ID = uint64(id + 1)
				synced.Add(1)
				n.s.Receive(&interest)
				n.s.Receive(&edgev1.Have{ID: interest.ID})
			}
			all[i] = n
		}
		synced.Wait()
		took := time.Since(began)
		b.ReportMetric((memory()-before)/nodes/1024, "KiB/node")
		b.ReportMetric(took.Seconds()*1000, "ms-until-synced")
		b.ReportMetric(float64(c.index.Stats().Feeds), "watches")
		asked, _ := c.grants.Stats()
		b.ReportMetric(float64(asked), "reviews")
		cancel()
		for _, n := range all {
			n.s.Close()
		}
	}
}
