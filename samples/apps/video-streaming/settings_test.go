package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"CONFIGURATION_NAME=akri-udev-video", "akri-udev-video in default [] 15 5000"},
		{"CONFIGURATION_NAME=c NAMESPACE=n PORT=1 FRAMES_PER_SECOND=2", "c in n [] 2 1"},
		{"CAMERA_COUNT=2 CAMERAS_SOURCE_SVC=all CAMERA1_SOURCE_SVC=one CAMERA2_SOURCE_SVC=10.0.0.2:8083",
			" in  [{main all:80} {camera1 one:80} {camera2 10.0.0.2:8083}] 15 5000"},
		{"CAMERA_COUNT=1 CAMERA1_SOURCE_SVC=fd00::1", " in  [{camera1 [fd00::1]:80}] 15 5000"},
		{"", "set CONFIGURATION_NAME to the name of a Configuration"},
		{"CAMERA_COUNT=2 CAMERA1_SOURCE_SVC=one", "CAMERA_COUNT is 2 and CAMERA2_SOURCE_SVC is not set"},
		{"CAMERA_COUNT=1000", `CAMERA_COUNT: "1000": want a number from 1 to 64`},
		{"CONFIGURATION_NAME=c FRAMES_PER_SECOND=x", `FRAMES_PER_SECOND: "x"`},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		s, err := parse(func(name string) string { return env[name] })
		got := fmt.Sprintf("%s in %s %v %d %s", s.configuration, s.namespace, s.cameras, s.perSecond, s.port)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.env, got, c.want)
		}
	}
}

func TestState(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for _, c := range []struct {
		name string
		p    progress
		now  time.Time
		want State
		why  string
	}{
		{"just begun", progress{began: began}, at(1), Starting, ""},
		{"the broker does not answer yet", progress{began: began, reason: "x"}, at(30), Starting, "x"},
		{"nor after a minute", progress{began: began, reason: "x"}, at(61), Lost, "x"},
		{"it says nothing for a minute", progress{began: began}, at(61), Lost, "no picture has come"},
		{"a picture", progress{began: began, came: at(100)}, at(101), Live, ""},
		{"it stalls", progress{began: began, came: at(100)}, at(106), Lost, "no picture comes any more"},
		{"the broker says that there is none", progress{began: began, came: at(100), reason: "x"}, at(101), Lost, "x"},
	} {
		if got, why := c.p.state(c.now), c.p.why(c.now); got != c.want || why != c.why {
			t.Errorf("%s: %s, since %q; want %s, %q", c.name, got, why, c.want, c.why)
		}
	}
}

// Upstream's numbers and addresses, and feeds by their names.
func TestFind(t *testing.T) {
	h := newHub(t.Context(), 10, nil)
	defer h.close()
	address := func(id string) string {
		if f := h.find(id); f != nil {
			return f.source.address
		}
		return ""
	}
	if h.addresses() != "" || h.find("0") != nil || h.find("main") != nil {
		t.Error("without cameras")
	}
	h.set([]source{{mainID, "m:80"}, {"a", "a:80"}, {"b", "b:80"}}, nil)
	for id, want := range map[string]string{"0": "m:80", "1": "a:80", "2": "b:80", "3": "", "-1": "", "main": "m:80", "b": "b:80", "x": "", "": ""} {
		if got := address(id); got != want {
			t.Errorf("feed %q: %q, want %q", id, got, want)
		}
	}
	if got := h.addresses(); got != "m:80+a:80,b:80" {
		t.Error(got)
	}
	before := slices.Clone(h.list())
	h.set([]source{{"a", "a:80"}, {"b", "other:80"}}, nil)
	if h.list()[0] != before[1] || h.list()[1] == before[2] {
		t.Error("a feed that stays must go on, and one at another address begin anew")
	}
	for id, want := range map[string]string{"0": "", "1": "a:80", "2": "other:80"} {
		if got := address(id); got != want {
			t.Errorf("without a main feed, %q: %q, want %q", id, got, want)
		}
	}
	if got := h.addresses(); got != "a:80,other:80" {
		t.Error(got)
	}
}
