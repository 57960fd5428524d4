package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMetricSum(t *testing.T) {
	text := []byte(`# HELP cloudhub_sessions Edge nodes that are connected.
cloudhub_sessions 12
cloudhub_sessions_opened_total 40
apiserver_longrunning_requests{resource="pods",verb="WATCH"} 3
apiserver_longrunning_requests{resource="nodes",verb="WATCH"} 2
apiserver_longrunning_requests{resource="pods",verb="CONNECT"} 1
of_text{about="a b"} 1.5e+03
`)
	for _, tt := range []struct {
		name   string
		having []string
		want   float64
	}{
		{"cloudhub_sessions", nil, 12},
		{"apiserver_longrunning_requests", nil, 6},
		{"apiserver_longrunning_requests", []string{`verb="WATCH"`}, 5},
		{"apiserver_longrunning_requests", []string{`verb="WATCH"`, `resource="pods"`}, 3},
		{"of_text", nil, 1500},
		{"not_there", nil, 0},
	} {
		if got := metricSum(text, tt.name, tt.having...); got != tt.want {
			t.Errorf("%s %v: %v, want %v", tt.name, tt.having, got, tt.want)
		}
	}
}

func TestLine(t *testing.T) {
	for want, got := range map[string]string{
		"figure=a value=1.5 unit=s floor=- ratio=- bound=-":               line("a", 1.5, "s", 0),
		"figure=a value=3 unit=s floor=1.5 ratio=2 bound=5":               line("a", 3, "s", 1.5, 5),
		"figure=a value=0 unit=B floor=- ratio=- bound=0":                 line("a", 0, "B", 0, 0),
		"figure=a value=12345.678 unit=B floor=1000 ratio=12.346 bound=-": line("a", 12345.678, "B", 1000),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestInterfaceBytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dev")
	text := `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9999      10    0    0    0     0          0         0     9999      10    0    0    0     0       0          0
  eth0:    1000       5    0    0    0     0          0         0      234       3    0    0    0     0       0          0
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := interfaceBytes(file); err != nil || got != 1234 {
		t.Errorf("%v, %v; want 1234", got, err)
	}
}
