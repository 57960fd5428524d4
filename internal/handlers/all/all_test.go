package all

import (
	"flag"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// The two lists agree, and so do the handlers that come of them.
func TestKinds(t *testing.T) {
	var names []string
	for _, k := range handlers.Kinds() {
		if slices.Contains(names, k.Name) {
			t.Errorf("%s is there twice", k.Name)
		}
		names = append(names, k.Name)
		if has, runs := k.Check != nil, setups()[k.Name] != nil; has != runs {
			t.Errorf("%s: its details can be checked: %v; it can be run: %v", k.Name, has, runs)
		}
		if _, err := k.Check("\t"); err == nil || strings.Contains(err.Error(), "discoveryDetails") {
			t.Errorf("%s: the check of details that are no YAML says %v, want an error that does not name discoveryDetails", k.Name, err)
		}
		if k.Summary == "" || strings.Contains(k.Summary, "\n") || strings.HasSuffix(k.Summary, ".") {
			t.Errorf("%s: the summary is %q, want one line without a full stop", k.Name, k.Summary)
		}
		for line := range strings.SplitSeq(k.About, "\n") {
			if line == "" || len([]rune(line)) > 76 {
				t.Errorf("%s: %q has %d characters, want 1 to 76", k.Name, line, len([]rune(line)))
			}
		}
		for _, c := range k.Columns {
			if c.Title == "" || c.Title != strings.ToUpper(c.Title) || c.Property == "" {
				t.Errorf("%s: column %+v, want a title in capitals and a property", k.Name, c)
			}
		}
	}
	for name := range setups() {
		if !slices.Contains(names, name) {
			t.Errorf("handlers.Kinds does not have %s", name)
		}
	}
	for _, k := range Kinds() {
		flags := flag.NewFlagSet(k.Name, flag.ContinueOnError)
		var metrics handlermetrics.Metrics
		start := k.Setup(flags, func(string) string { return "" })
		h, err := start(setup.Program{Log: slog.New(slog.DiscardHandler), Histogram: metrics.Histogram, Counter: metrics.Counter})
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if h.Name() != k.Name || h.Shared() != k.Shared {
			t.Errorf("%s, shared %v: the handler is %s, shared %v", k.Name, k.Shared, h.Name(), h.Shared())
		}
		flags.VisitAll(func(f *flag.Flag) {
			if f.Usage == "" || f.Name != strings.ToLower(f.Name) {
				t.Errorf("%s: flag %q: %q", k.Name, f.Name, f.Usage)
			}
		})
	}
}

func TestFind(t *testing.T) {
	if k, ok := Find("udev"); !ok || k.Name != "udev" || k.Setup == nil {
		t.Errorf("udev: %v, %v", k, ok)
	}
	for _, name := range []string{"", "UDEV", "zigbee"} {
		if k, ok := Find(name); ok {
			t.Errorf("%q: %v", name, k)
		}
	}
	if got := Names("or"); got != "udev, debugEcho, onvif, opcua, modbus or mqtt" {
		t.Errorf("%q", got)
	}
}
