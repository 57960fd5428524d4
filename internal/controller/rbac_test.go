package controller

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The chart grants what rbac.go says.
func TestChartGrantsWhatIsSaid(t *testing.T) {
	said, err := os.ReadFile("rbac.go")
	if err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile("../../charts/akri/templates/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, inCluster, _ := strings.Cut(string(said), "// In the cluster:\n")
	inCluster, _, _ = strings.Cut(inCluster, "// In its own namespace:\n")
	var want []string
	for line := range strings.Lines(inCluster) {
		if f := strings.Fields(strings.TrimPrefix(line, "//")); len(f) > 2 {
			want = append(want, strings.Join(append([]string{strings.Trim(f[0], `"`)}, f[1:]...), " "))
		}
	}
	_, granted, _ := strings.Cut(string(chart), "{{- $controller := list\n")
	granted, _, _ = strings.Cut(granted, "\n}}")
	var have []string
	for _, m := range regexp.MustCompile(`\(list "([^"]*)" "([^"]*)" \(list ([^)]*)\)\)`).FindAllStringSubmatch(granted, -1) {
		have = append(have, m[1]+" "+m[2]+" "+strings.ReplaceAll(m[3], `"`, ""))
	}
	slices.Sort(want)
	slices.Sort(have)
	if len(want) < 10 || !slices.Equal(want, have) {
		t.Errorf("rbac.go says\n%s\nthe chart grants\n%s", strings.Join(want, "\n"), strings.Join(have, "\n"))
	}
}
