package labs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/images"
)

var block = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The pages have the commands of the steps, all of them, in their order, and no
// others.
func TestPages(t *testing.T) {
	for _, lab := range All() {
		page, err := os.ReadFile(filepath.Join("..", "..", "docs", "labs", lab.Name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		var have, want []string
		for _, m := range block.FindAllSubmatch(page, -1) {
			if !bytes.HasPrefix(m[1], []byte("make lab-")) {
				have = append(have, strings.TrimSpace(string(m[1])))
			}
		}
		for _, s := range lab.Steps {
			if len(s.Commands) > 0 {
				want = append(want, strings.Join(s.Commands, "\n"))
			}
			if s.Title != "" && !strings.Contains(string(page), s.Title) {
				t.Errorf("docs/labs/%s.md does not name the step %q", lab.Name, s.Title)
			}
		}
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("docs/labs/%s.md has other commands than the lab (-lab +page):\n%s", lab.Name, d)
		}
	}
}

// The steps are the documents', with their marks.
func TestSteps(t *testing.T) {
	tag, err := images.DefaultTag(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range All() {
		if found, ok := Find(lab.Name); !ok || found.Title != lab.Title {
			t.Errorf("%s is not found", lab.Name)
		}
		deeds, checks := map[Deed]int{}, map[Check]int{}
		for _, s := range lab.Steps {
			deeds[s.Do]++
			checks[s.Check]++
			if other := s.Here != nil || s.Simulated != nil || len(s.Commands) == 0; other && s.Differs == "" {
				t.Errorf("%s: step %q does not say how it differs here", lab.Name, s.Title)
			}
			for _, c := range slices.Concat(s.Commands, s.Here, s.Simulated) {
				for _, m := range regexp.MustCompile(`image\.tag=(\S+)`).FindAllStringSubmatch(c, -1) {
					if m[1] != tag {
						t.Errorf("%s: tag %s, and the images have %s", lab.Name, m[1], tag)
					}
				}
			}
		}
		for _, d := range []Deed{MakeCluster, LoadImages, ConnectCameras} {
			if deeds[d] != 1 {
				t.Errorf("%s: %d steps %s", lab.Name, deeds[d], d)
			}
		}
		if checks[BrokersRun] != 1 || checks[PageShows] != 1 {
			t.Errorf("%s: checks %v", lab.Name, checks)
		}
	}
	number, marks := 0, []string{}
	for _, s := range microk8s().Steps {
		if s.Title != "" {
			number++
			if !strings.HasPrefix(s.Title, fmt.Sprintf("%d. ", number)) {
				t.Errorf("step %d is called %q", number, s.Title)
			}
		}
		if s.Mark != "" {
			marks = append(marks, s.Mark)
		}
	}
	if d := cmp.Diff([]string{"<-<step-completed>-> 1", "<-<step-completed>-> 2"}, marks); number != 16 || d != "" {
		t.Errorf("%d steps, marks %s", number, d)
	}
}

// The chart accepts the values of all installs, and they are the documents'.
func TestValues(t *testing.T) {
	k3sValues := []string{"kubernetesDistro=k3s", "udev.discovery.enabled=true", "udev.configuration.enabled=true", "udev.configuration.name=akri-udev-video",
		`udev.configuration.discoveryDetails.udevRules[0]=KERNEL=="video[0-9]*"`}
	for _, lab := range All() {
		installs := 0
		env := map[string]string{}
		r := &run{env: env}
		for _, s := range lab.Steps {
			for _, c := range slices.Concat(s.Commands, s.Simulated) {
				c = strings.TrimPrefix(c, "microk8s ")
				if strings.HasPrefix(c, "export ") {
					if err := r.export(c); err != nil {
						t.Errorf("%s: %v", c, err)
					}
				}
				if !strings.HasPrefix(c, "helm") {
					continue
				}
				words, err := split(c, r.variable)
				if err != nil {
					t.Fatalf("%s: %v", c, err)
				}
				call, err := parseHelm(words[1:])
				if err != nil {
					t.Fatalf("%s: %v", c, err)
				}
				if call.verb != "install" {
					continue
				}
				installs++
				values, err := helm.ParseValues(call.set)
				if err != nil {
					t.Fatal(err)
				}
				err = helm.CheckChart(t.Context(), helm.InstallOptions{ChartDir: filepath.Join("..", "..", call.chart),
					Release: call.release, Namespace: call.namespace, Values: values})
				if err != nil {
					t.Errorf("%s: %v", c, err)
				}
				for _, want := range k3sValues {
					if lab.Name == "k3s" && !slices.Contains(call.set, want) {
						t.Errorf("the K3s lab does not set %s: %q", want, call.set)
					}
				}
			}
		}
		if installs != 2 {
			t.Errorf("%s: %d installs, want the document's, and one with simulated cameras", lab.Name, installs)
		}
	}
}

func TestSplit(t *testing.T) {
	variables := func(name string) string {
		return map[string]string{"FLAGS": "--set a=b  --set c=d", "X": "x"}[name]
	}
	for text, want := range map[string][]string{
		`helm install akri`:               {"helm", "install", "akri"},
		"a \\\n  b\n":                     {"a", "b"},
		`k[0]='KERNEL=="video[0-9]*"'`:    {`k[0]=KERNEL=="video[0-9]*"`},
		`export A="--set b=c" D=$X`:       {"export", "A=--set b=c", "D=x"},
		`a $FLAGS "$FLAGS" '$FLAGS'`:      {"a", "--set", "a=b", "--set", "c=d", "--set a=b  --set c=d", "$FLAGS"},
		`a$X-b ''`:                        {"ax-b", ""},
		`rule='SUBSYSTEM=="tty"\, A' \,b`: {`rule=SUBSYSTEM=="tty"\, A`, ",b"},
		`"a\"b\c"`:                        {`a"b\c`},
		`$NONE`:                           nil,
		``:                                nil,
	} {
		if got, err := split(text, variables); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`'a`, `"a`, `a\`, `a | b`, `a &`, `a $(b)`, `a $`, "a `b`", `a; b`, `a > b`, `*`} {
		if got, err := split(text, variables); err == nil {
			t.Errorf("%s: %q, want an error", text, got)
		}
	}
}

func TestParseHelm(t *testing.T) {
	for text, want := range map[string]helmCall{
		"install akri charts/akri --set a=b --set=c=d": {verb: "install", release: "akri", chart: "charts/akri", namespace: "default", set: []string{"a=b", "c=d"}},
		"delete akri":             {verb: "uninstall", release: "akri", namespace: "default"},
		"uninstall akri -n other": {verb: "uninstall", release: "akri", namespace: "other"},
	} {
		got, err := parseHelm(strings.Fields(text))
		if err != nil {
			t.Errorf("helm %s: %v", text, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(helmCall{})); d != "" {
			t.Errorf("helm %s: %s", text, d)
		}
	}
	for _, text := range []string{"", "install akri", "install akri charts/akri --wait true", "install akri charts/akri --set", "delete akri --set a=b", "repo add a b"} {
		if got, err := parseHelm(strings.Fields(text)); err == nil {
			t.Errorf("helm %s: %+v, want an error", text, got)
		}
	}
}

func TestHere(t *testing.T) {
	s := Step{Commands: []string{"real"}}
	if got := s.here(true); !slices.Equal(got, s.Commands) {
		t.Error(got)
	}
	s.Here = []string{"here"}
	s.Simulated = []string{"simulated"}
	for simulated, want := range map[bool]string{true: "simulated", false: "here"} {
		if got := s.here(simulated); !slices.Equal(got, []string{want}) {
			t.Errorf("simulated %v: %v", simulated, got)
		}
	}
	s = Step{Commands: []string{"real"}, Here: nothing}
	if got := s.here(false); len(got) != 0 {
		t.Error(got)
	}
}

// Commands are run with the lab's variables, and what they print is shown; one in
// the background runs until it is stopped.
func TestCommand(t *testing.T) {
	var out bytes.Buffer
	r := &run{Options: Options{Repo: t.TempDir(), Out: &out}, env: map[string]string{}, shims: t.TempDir()}
	ctx := t.Context()
	for _, c := range []string{`export A="one two"`, "echo $A | tr o 0"} {
		if err := r.command(ctx, c); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
	}
	if out.String() != "0ne tw0\n" {
		t.Errorf("it printed %q", &out)
	}
	for _, c := range []string{"false | true", "echo $no_such_variable", "export A", "helm list", "helm 'a"} {
		if err := r.command(ctx, c); err == nil {
			t.Errorf("%s succeeds", c)
		}
	}
	if err := r.command(ctx, "sleep 1000 &"); err != nil || len(r.started) != 1 {
		t.Fatalf("%d started, %v", len(r.started), err)
	}
	stop(r.started[0])
	if r.started[0].ProcessState == nil {
		t.Error("it runs on")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := r.command(ended, "sleep 1000"); err == nil {
		t.Error("a command runs although the lab was interrupted")
	}
}

func TestDevicesOf(t *testing.T) {
	index := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	webcam := fstest.MapFS{
		"class/video4linux/video0/index": index("0"), "class/video4linux/video1/index": index("1"),
		"class/video4linux/v4l-subdev0/name": index("x"), "class/video4linux/videox/index": index("0"),
	}
	if got, want := devicesOf(webcam), (videoDevices{nodes: 2, capture: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := devicesOf(fstest.MapFS{}); got != (videoDevices{}) {
		t.Errorf("without: %+v", got)
	}
}
