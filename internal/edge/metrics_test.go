package edge

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
)

func TestMetrics(t *testing.T) {
	now := time.Unix(1000, 0)
	idle := metrics(state{programs: map[string]edged.State{"kubelet": {}}}, now).String()
	for _, want := range []string{
		"akri_edge_link_connected 0\n", "akri_edge_store_healthy 1\n", "akri_edge_outbox_oldest_age_seconds 0\n",
		"akri_edge_program_running{program=\"kubelet\"} 0\n",
	} {
		if !strings.Contains(idle, want) {
			t.Errorf("at first there is no %q", want)
		}
	}
	if strings.Contains(idle, "timestamp") {
		t.Error("something that never was has a time")
	}
	busy := metrics(state{
		link:   link.Snapshot{Sessions: 3, Received: 10, Sent: 20, LastContact: now},
		sync:   sync.State{Connected: true, Since: time.Unix(900, 0), InStep: now, Counts: sync.Counts{Put: 7}},
		fault:  os.ErrNotExist,
		outbox: outbox.State{Events: 2, Others: 1, Oldest: time.Unix(990, 0), Counts: outbox.Counts{Refused: 4}},
		api:    api.Stats{Requests: map[api.Request]uint64{{Verb: "list", Code: 200}: 5, {Verb: "get", Code: 503}: 1}},
	}, now).String()
	for _, want := range []string{
		"akri_edge_link_connected 1\n", "akri_edge_link_since_timestamp_seconds 900\n", "akri_edge_link_sessions_total 3\n",
		"akri_edge_link_bytes_total{direction=\"in\"} 10\n", "akri_edge_sync_objects_received_total 7\n",
		"akri_edge_store_healthy 0\n", "akri_edge_outbox_entries{kind=\"event\"} 2\n", "akri_edge_outbox_oldest_age_seconds 10\n",
		"akri_edge_outbox_settled_total{result=\"refused\"} 4\n",
		"akri_edge_api_requests_total{verb=\"get\",code=\"503\"} 1\nakri_edge_api_requests_total{verb=\"list\",code=\"200\"} 5\n",
	} {
		if !strings.Contains(busy, want) {
			t.Errorf("there is no %q in\n%s", want, busy)
		}
	}
}

// docs/metrics.md has each metric, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	all := state{
		link: link.Snapshot{LastContact: time.Unix(1, 0)}, sync: sync.State{Since: time.Unix(1, 0), InStep: time.Unix(1, 0)},
	}
	have := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(metrics(all, time.Unix(2, 0)).String()))
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "# TYPE "); ok && strings.HasPrefix(name, "akri_edge_") {
			name, _, _ = strings.Cut(name, " ")
			have[name] = true
		}
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, name := range regexp.MustCompile(`akri_edge_[a-z_]+`).FindAllString(string(page), -1) {
		told[name] = true
	}
	for name := range have {
		if !told[name] {
			t.Errorf("docs/metrics.md does not have %s", name)
		}
	}
	for name := range told {
		if !have[name] {
			t.Errorf("docs/metrics.md has %s, which there is not", name)
		}
	}
}
