package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// makeCall finds the make targets in a text: `make test`, `make -s version`.
var makeCall = regexp.MustCompile(`(?m)(?:^|[^a-z-])make (?:-s )?([a-z][a-z0-9-]*)`)

// TestWorkflows checks that the workflows are valid, and run existing targets.
func TestWorkflows(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) < 2 {
		t.Fatalf("workflows %v, error %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var workflow struct {
			Permissions map[string]string `json:"permissions"`
			Jobs        map[string]struct {
				TimeoutMinutes int `json:"timeout-minutes"`
				Steps          []struct {
					Uses string `json:"uses"`
					Run  string `json:"run"`
				} `json:"steps"`
			} `json:"jobs"`
		}
		if err := yaml.Unmarshal(data, &workflow); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(workflow.Permissions) == 0 {
			t.Errorf("%s does not say what its token may do", file)
		}
		for name, job := range workflow.Jobs {
			if job.TimeoutMinutes == 0 || len(job.Steps) == 0 {
				t.Errorf("%s: job %s has no time limit, or no steps", file, name)
			}
			for _, step := range job.Steps {
				for _, m := range makeCall.FindAllStringSubmatch(step.Run, -1) {
					if !strings.Contains(string(makefile), "\n"+m[1]+":") {
						t.Errorf("%s: job %s runs make %s, which is no target", file, name, m[1])
					}
				}
				for word := range strings.FieldsSeq(step.Run) {
					if strings.HasPrefix(word, ".ci/") {
						if _, err := os.Stat(filepath.Join("..", word)); err != nil {
							t.Errorf("%s: job %s: %v", file, name, err)
						}
					}
				}
			}
		}
	}
}

// TestTargets checks that the make targets on the pages exist.
func TestTargets(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`make [^`\n]+`")
	for page, text := range pages(t) {
		calls := code.FindAllString(text, -1)
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] == "sh" || m[1] == "" {
				calls = append(calls, m[2])
			}
		}
		for _, m := range makeCall.FindAllStringSubmatch(strings.Join(calls, "\n"), -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s says make %s, which is no target", page, m[1])
			}
		}
	}
}
