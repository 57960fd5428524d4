package charts

import (
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers"
)

// The chart has all handlers, each by its name.
func TestHandlers(t *testing.T) {
	base := render(t, "prometheus.enabled=true").names()
	for _, kind := range handlers.Kinds() {
		r := render(t, "prometheus.enabled=true", kind.Name+".discovery.enabled=true")
		added := slices.DeleteFunc(r.names(), func(name string) bool { return slices.Contains(base, name) })
		if len(added) != 2 || !strings.HasPrefix(added[0], "DaemonSet/") || added[1] != "PodMonitor/akri-discovery-metrics" {
			t.Errorf("%s: renders %q, want a DaemonSet and a PodMonitor", kind.Name, added)
			continue
		}
		ds := r.daemonSet(t, strings.TrimPrefix(added[0], "DaemonSet/"))
		if args := ds.Spec.Template.Spec.Containers[0].Args; !slices.Equal(args, []string{kind.Name}) {
			t.Errorf("%s: the program is called with %q", kind.Name, args)
		}
		if strings.Contains(r.notes, "No discovery handler is enabled") {
			t.Errorf("%s: the notes do not know it:\n%s", kind.Name, r.notes)
		}
	}
}
