package helm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/charts"
)

func TestParseValues(t *testing.T) {
	v, err := ParseValues([]string{"udev.discovery.enabled=true", "agent.name=x"})
	if err != nil {
		t.Fatal(err)
	}
	udev, _ := v["udev"].(map[string]any)
	discovery, _ := udev["discovery"].(map[string]any)
	if discovery["enabled"] != true {
		t.Errorf("got %v", v)
	}
	if _, err := ParseValues([]string{"value-without-key"}); err == nil {
		t.Error("nonsense was accepted")
	}
}

// A chart inside a program is as good as one in a folder.
func TestCheckChart(t *testing.T) {
	files, err := charts.Cloudcore()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []InstallOptions{
		{Chart: files, Release: "cloudcore", Namespace: "kubeedge"},
		{ChartDir: filepath.Join("..", "..", "charts", "cloudcore"), Release: "cloudcore", Namespace: "kubeedge"},
	} {
		if err := CheckChart(t.Context(), o); err != nil {
			t.Error(err)
		}
		o.Values = map[string]any{"replicsa": 3}
		if err := CheckChart(t.Context(), o); err == nil || !strings.Contains(err.Error(), "replicsa") {
			t.Errorf("a value that does not exist: %v", err)
		}
	}
	if err := CheckChart(t.Context(), InstallOptions{Chart: os.DirFS(t.TempDir()), Release: "a", Namespace: "a"}); err == nil {
		t.Error("an empty chart was accepted")
	}
}
