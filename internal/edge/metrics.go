package edge

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/promtext"
)

// state is what edgecore's parts say of themselves at one moment.
type state struct {
	link   link.Snapshot
	sync   sync.State
	store  store.Stats
	fault  error // of the store's file
	outbox outbox.State
	api    api.Stats
	// programs are those that edgecore may run, by name.
	programs map[string]edged.State
}

func (r *reporter) state() state {
	return state{
		link: r.link.Snapshot(), sync: r.hub.State(), store: r.store.Stats(), fault: r.store.Healthy(),
		outbox: r.outbox.State(), api: r.api.Stats(),
		programs: map[string]edged.State{"kubelet": r.kubelet.State(), "kube-proxy": r.proxy.State()},
	}
}

// ServeHTTP answers with edgecore's metrics.
func (r *reporter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text := metrics(r.state(), time.Now())
	text.Serve(w)
}

// metrics are those of docs/metrics.md.
func metrics(s state, now time.Time) *promtext.Text {
	var t promtext.Text
	t.Process()
	gauge := func(name, help string, value float64) { t.One("akri_edge_"+name, promtext.Gauge, help, value) }
	counter := func(name, help string, value uint64) {
		t.One("akri_edge_"+name, promtext.Counter, help, float64(value))
	}
	moment := func(name, help string, at time.Time) {
		if !at.IsZero() { // it has no value then
			gauge(name, help, float64(at.UnixMilli())/1000)
		}
	}

	gauge("link_connected", "Whether there is a session with cloudcore.", zeroOrOne(s.sync.Connected))
	moment("link_since_timestamp_seconds", "When the present session with cloudcore began.", s.sync.Since)
	moment("link_last_contact_timestamp_seconds", "When cloudcore was last heard.", s.link.LastContact)
	counter("link_sessions_total", "Sessions with cloudcore that began.", uint64(s.link.Sessions))
	t.Family("akri_edge_link_bytes_total", promtext.Counter, "Bytes of the link, TLS included, by direction (in: from cloudcore).")
	t.Sample("akri_edge_link_bytes_total", float64(s.link.Received), "direction", "in")
	t.Sample("akri_edge_link_bytes_total", float64(s.link.Sent), "direction", "out")

	gauge("sync_interests", "Interests that are followed in the present session.", float64(s.sync.Interests))
	gauge("sync_interests_syncing", "Interests of these that are not complete yet.", float64(s.sync.Syncing))
	moment("sync_last_in_step_timestamp_seconds", "When the store was last known to be in step with the cluster.", s.sync.InStep)
	counter("sync_objects_received_total", "Objects that cloudcore sent.", s.sync.Counts.Put)
	counter("sync_objects_gone_total", "Objects of which cloudcore said that they are gone.", s.sync.Counts.Gone)
	counter("sync_refused_total", "Interests that cloudcore refused.", s.sync.Counts.Refused)
	counter("calls_total", "Requests of programs on this node that were sent to the cluster.", s.sync.Counts.Calls)

	gauge("store_objects", "Objects in the store.", float64(s.store.Objects))
	gauge("store_bytes", "Bytes of the objects in the store.", float64(s.store.Bytes))
	gauge("store_interests", "Interests in the store.", float64(s.store.Interests))
	gauge("store_overlaid_objects", "Objects whose status this node has changed while the link was cut.", float64(s.store.Overlaid))
	gauge("store_events", "Changes that watches can still be told of.", float64(s.store.Events))
	gauge("store_healthy", "Whether the store's file takes what is written.", zeroOrOne(s.fault == nil))
	counter("store_writes_total", "Batches that were to be written to the store's file.", s.store.Writes)
	counter("store_write_failures_total", "Batches of these that could not be written.", s.store.WriteFailures)

	t.Family("akri_edge_outbox_entries", promtext.Gauge, "Requests that wait for cloudcore, by kind.")
	t.Sample("akri_edge_outbox_entries", float64(s.outbox.Events), "kind", "event")
	t.Sample("akri_edge_outbox_entries", float64(s.outbox.Others), "kind", "other")
	age := time.Duration(0)
	if !s.outbox.Oldest.IsZero() {
		age = max(0, now.Sub(s.outbox.Oldest))
	}
	gauge("outbox_oldest_age_seconds", "How long the oldest of them has waited.", age.Seconds())
	t.Family("akri_edge_outbox_settled_total", promtext.Counter,
		"Requests that waited, by what came of them: made, refused by the cluster, dropped because there were too many.")
	t.Sample("akri_edge_outbox_settled_total", float64(s.outbox.Made), "result", "made")
	t.Sample("akri_edge_outbox_settled_total", float64(s.outbox.Refused), "result", "refused")
	t.Sample("akri_edge_outbox_settled_total", float64(s.outbox.Dropped), "result", "dropped")

	t.Family("akri_edge_api_requests_total", promtext.Counter, "Requests to the local API, by verb and code.")
	order := slices.SortedFunc(maps.Keys(s.api.Requests), func(a, b api.Request) int {
		return cmp.Or(cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Code, b.Code))
	})
	for _, r := range order {
		t.Sample("akri_edge_api_requests_total", float64(s.api.Requests[r]), "verb", r.Verb, "code", strconv.Itoa(r.Code))
	}
	gauge("api_watches", "Watches of the local API that are open.", float64(s.api.Watches))

	t.Family("akri_edge_program_running", promtext.Gauge, "Whether a program that edgecore has started runs.")
	names := slices.Sorted(maps.Keys(s.programs))
	for _, name := range names {
		t.Sample("akri_edge_program_running", zeroOrOne(s.programs[name].PID > 0), "program", name)
	}
	t.Family("akri_edge_program_restarts_total", promtext.Counter, "How often such a program has ended, and was started again.")
	for _, name := range names {
		t.Sample("akri_edge_program_restarts_total", float64(s.programs[name].Restarts), "program", name)
	}
	return &t
}

func zeroOrOne(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
