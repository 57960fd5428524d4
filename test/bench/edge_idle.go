package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/keadm"
)

// Whose requests are counted: cloudcore's, which are in the names of nodes and their
// Pods, and those of the plain node's kubelet.
var (
	cloudcoreUser = "system:serviceaccount:" + keadm.NamespaceDefault + ":cloudcore"
	plainUser     = "system:node:" + devcluster.NodeName(plainNode)
)

// spending is what the edge node has used so far.
type spending struct {
	cpu     time.Duration // of edgecore
	written float64       // bytes that edgecore has caused to be written to disks
	link    float64       // bytes of edgecore's connections, TLS included
	wire    float64       // bytes that have passed the machine's interface
	// requests are those for the edge node and its Pods, and those of the plain
	// node's kubelet, by what they did to what.
	requests, plain map[string]int
}

// measureIdle reports what the edge node and its Pods cost while nothing happens.
func (e *edgeBench) measureIdle(ctx context.Context) error {
	before, err := e.spent(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := backoff.Sleep(ctx, idleMinutes*e.idle); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := e.spent(ctx)
	if err != nil {
		return err
	}
	tell := func(who string, before, after map[string]int) (sum float64) {
		for _, what := range slices.Sorted(maps.Keys(after)) {
			if n := after[what] - before[what]; n > 0 {
				fmt.Fprintf(os.Stderr, "requests of %s in %s: %s, %d times\n", who, took.Round(time.Second), what, n)
				sum += float64(n)
			}
		}
		return sum / took.Hours()
	}
	requests := tell("the edge node", before.requests, after.requests)
	plain := tell("a plain node's kubelet", before.plain, after.plain)
	with := fmt.Sprintf("-idle-%d-pods", edgePods)
	e.report("edgecore-cpu"+with, 100*(after.cpu-before.cpu).Seconds()/took.Seconds(), "percent-of-a-core", 0)
	e.report("edgecore-written-per-day"+with, (after.written-before.written)/took.Hours()*24, "B", 0, 0)
	e.report("edge-link-bytes-per-hour"+with, (after.link-before.link)/took.Hours(), "B", 0)
	e.report("edge-wire-bytes-per-hour"+with, (after.wire-before.wire)/took.Hours(), "B", 0)
	e.report("edge-api-requests-per-hour"+with, requests, "requests", plain)
	return nil
}

// spent looks at what the edge node has used.
func (e *edgeBench) spent(ctx context.Context) (s spending, err error) {
	p, err := e.process()
	if err != nil {
		return s, err
	}
	s.cpu = p.cpu()
	io, err := fields(filepath.Join(string(p), "io"))
	if err != nil {
		return s, err
	}
	s.written = io["write_bytes:"]
	r, err := e.edge.Report(ctx)
	if err != nil {
		return s, err
	}
	s.link = float64(r.Link.Received + r.Link.Sent)
	if s.wire, err = interfaceBytes(filepath.Join(string(p), "net", "dev")); err != nil {
		return s, err
	}
	s.requests, s.plain = map[string]int{}, map[string]int{}
	return s, readAudit(e.audit, func(a auditEvent) {
		switch {
		case a.User.Username == plainUser:
			s.plain[a.what()]++
		case a.User.Username == cloudcoreUser && (a.ImpersonatedUser.Username != "" || a.ObjectRef.Resource == "subjectaccessreviews"):
			s.requests[a.what()]++
		}
	})
}

// interfaceBytes is how many bytes have passed a machine's link, both ways.
func interfaceBytes(file string) (sum float64, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, rest, there := strings.Cut(string(raw), cell.MemberLink+":")
	words := strings.Fields(rest) // received: bytes and seven more; then the same of those sent
	if !there || len(words) < 9 {
		return 0, fmt.Errorf("no %s in %q", cell.MemberLink, raw)
	}
	for _, word := range []string{words[0], words[8]} {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// localAPI is a client of an edge node's own API, with the kubelet's credentials.
func localAPI(e *devcluster.EdgeNode) (client.WithWatch, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return nil, err
	}
	// The files are not there while the node has no power.
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, err
	}
	config.CertFile, config.KeyFile, config.CAFile = "", "", ""
	config.ContentType = "application/json"
	config.QPS = -1
	return client.NewWithWatch(config, client.Options{Scheme: clientgoscheme.Scheme})
}

// measureChanges measures how soon a watcher on the edge node sees a change that is
// made in the cloud; the floor is how soon one at the API server does.
func (e *edgeBench) measureChanges(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	seen := map[string]<-chan sighting{}
	took := map[string][]time.Duration{}
	for at, api := range map[string]client.WithWatch{"edge": e.local, "cloud": e.api} {
		w, err := api.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(e.namespace), client.MatchingFields{"metadata.name": followedName})
		if err != nil {
			return fmt.Errorf("watch at the %s: %w", at, err)
		}
		defer w.Stop()
		seen[at] = sightings(w)
	}
	for i := range e.rounds {
		value := strconv.Itoa(i + 1)
		began := time.Now()
		patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"data":{%q:%q}}`, changeKey, value))
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: followedName, Namespace: e.namespace}}
		if err := e.api.Patch(ctx, o, patch); err != nil {
			return err
		}
		for at, from := range seen {
			for {
				var s sighting
				var open bool
				select {
				case s, open = <-from:
				case <-ctx.Done():
					return fmt.Errorf("change %s is not seen at the %s: %w", value, at, ctx.Err())
				}
				if !open {
					return fmt.Errorf("the watch at the %s has ended", at)
				}
				if s.id == value {
					took[at] = append(took[at], s.at.Sub(began))
					break
				}
			}
		}
	}
	slices.Sort(took["edge"])
	slices.Sort(took["cloud"])
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		e.report("edge-change-seen-"+q.name, ms(quantile(took["edge"], q.of)), "ms", ms(quantile(took["cloud"], q.of)))
	}
	return nil
}

// sightings are the values of the ConfigMap, with when they came.
func sightings(w watch.Interface) <-chan sighting {
	seen := make(chan sighting, 1000)
	go func() {
		defer close(seen)
		for event := range w.ResultChan() {
			if c, ok := event.Object.(*corev1.ConfigMap); ok {
				seen <- sighting{c.Data[changeKey], time.Now()}
			}
		}
	}()
	return seen
}
