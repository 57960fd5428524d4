package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/leaktest"
)

// Each fault does what its comment says.
func TestFaults(t *testing.T) {
	leaktest.Check(t)
	s := start(t, Options{Count: 2, NoRTSP: true, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.3")}})
	c, other, client := s.Cameras()[0], s.Cameras()[1], newClient(t, s)
	n := 0
	probe := func(atLeast int) []string {
		n++
		return tell(t, s, c, strings.Replace(wrap(actionProbe, `<x:Probe/>`), "urn:uuid:1", fmt.Sprint("urn:uuid:", n), 1), atLeast)
	}
	set := func(text string) {
		t.Helper()
		command, err := ParseCommand(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(command); err != nil {
			t.Fatal(err)
		}
		if got := c.Faults().String(); got != text {
			t.Errorf("faults %q, want %q", got, text)
		}
	}

	set("silent")
	if answers := probe(0); len(answers) > 0 {
		t.Errorf("silent: %s", answers)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	_, _, _, err := post(t, client, c.XAddr(), "", getTime, func(r *http.Request) { *r = *r.WithContext(ctx) })
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}

	set("garbage")
	if answers := probe(1); len(answers) != 1 {
		t.Errorf("garbage: %d answers", len(answers))
	} else if _, err := parse([]byte(answers[0])); err == nil {
		t.Error("garbage is XML")
	}
	if _, text, _, err := post(t, client, c.XAddr(), "", getTime); err != nil || strings.Contains(text, "Envelope") {
		t.Errorf("garbage: %v %s", err, text)
	}

	set("endless")
	if _, text, _, err := post(t, client, c.XAddr(), "", getTime); err != nil || len(text) != 1<<20 {
		t.Errorf("endless: %d bytes, %v", len(text), err)
	}

	set("redirect=" + other.XAddr())
	if status, _, header, err := post(t, client, c.XAddr(), "", getTime); err != nil || status != 307 || header.Get("Location") != other.XAddr() {
		t.Errorf("redirect: %d %v %v", status, header, err)
	}
	if asked := other.Asked(); len(asked) > 0 {
		t.Errorf("the other camera was asked: %v", asked)
	}

	set("bomb")
	if answers := probe(1); len(answers) != 1 || !strings.Contains(answers[0], "<!ENTITY") {
		t.Errorf("bomb: %s", answers)
	}

	set("xaddrs=http://127.0.0.1/,http://169.254.169.254/latest flood=20")
	answers := probe(21)
	if len(answers) != 21 {
		t.Errorf("flood: %d answers", len(answers))
	}
	own := 0
	for _, a := range answers {
		if strings.Contains(a, c.UUID) && strings.Contains(a, ">http://127.0.0.1/ http://169.254.169.254/latest<") {
			own++
		}
	}
	if own != 1 {
		t.Errorf("%d answers are the camera's own", own)
	}

	set("clock=-1h0m0s")
	now := c.now()
	if _, text, _, err := post(t, client, c.XAddr(), "", getTime); err != nil ||
		!strings.Contains(text, fmt.Sprintf("<tt:Hour>%d</tt:Hour>", now.Hour())) && !strings.Contains(text, fmt.Sprintf("<tt:Hour>%d</tt:Hour>", now.Add(time.Minute).Hour())) {
		t.Errorf("clock: %v %s", err, text)
	}
	if d := time.Since(now); d < 59*time.Minute || d > 61*time.Minute {
		t.Errorf("the clock is %v behind", d)
	}

	set("slow=30ms")
	began := time.Now()
	if _, _, _, err := post(t, client, c.XAddr(), "", getTime); err != nil || time.Since(began) < 30*time.Millisecond {
		t.Errorf("slow: %v", err)
	}
	if err := c.Do(Command{Faults: &Faults{Expired: true}}); err == nil {
		t.Error("a certificate of HTTP expires")
	}
	set("well")
	if answers := probe(1); len(answers) != 1 {
		t.Errorf("well: %s", answers)
	}
}

// A camera that moves is gone where it was; one that vanishes comes back.
func TestMove(t *testing.T) {
	leaktest.Check(t)
	s := start(t, Options{})
	c, client := s.Cameras()[0], newClient(t, s)
	before := c.XAddr()
	for _, to := range []string{"127.0.0.4", "127.0.0.5"} {
		command, err := ParseCommand("move=" + to)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(command); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := post(t, client, before, "", getTime); err == nil {
			t.Error("it answers where it was")
		}
		if status, _, _, err := post(t, client, c.XAddr(), "", getTime); err != nil || status != 200 {
			t.Errorf("at %s: %d %v", to, status, err)
		}
		before = c.XAddr()
	}
	if err := c.Move(netip.MustParseAddr("192.0.2.1")); err == nil || c.Address().Addr() != netip.MustParseAddr("127.0.0.5") || !c.Running() {
		t.Errorf("to an address that is not here: %v, it is at %s", err, c.Address())
	}
	for _, text := range []string{"vanish", "start", "stop", "start"} {
		command, err := ParseCommand(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(command); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := post(t, client, before, "", getTime); (err == nil) != (text == "start") || c.Running() != (text == "start") {
			t.Errorf("after %s: %v", text, err)
		}
	}
}

// What can be told is read, and what cannot be is named.
func TestParseCommand(t *testing.T) {
	for text, want := range map[string]string{
		"well":                                   "well",
		"silent":                                 "silent",
		"slow=2s":                                "slow=2s",
		"slow=-1s":                               "error: slow=-1s: it is a time from 0 to 1h",
		"slow":                                   "error: slow: time",
		"clock=-1h garbage endless bomb expired": "clock=-1h0m0s garbage endless bomb expired",
		"redirect=http://10.0.0.9/":              "redirect=http://10.0.0.9/",
		"redirect=nowhere":                       "error: redirect=nowhere: it is not a URL",
		"xaddrs=http://127.0.0.1/,http://[::1]/": "xaddrs=http://127.0.0.1/,http://[::1]/",
		"xaddrs=":                                "error: xaddrs=: it is not a URL",
		"flood=10000":                            "flood=10000",
		"flood=0":                                "error: flood=0: it is a number from 1",
		"flood=1000000":                          "error: flood=1000000: it is a number from 1",
		"well silent":                            "silent",
		"":                                       "error: no fault is named",
		"sick":                                   "error: sick: it is none of well",
		"move=10.9.0.9":                          "move",
		"move=there":                             "error: move=there",
	} {
		c, err := ParseCommand(text)
		got := "move"
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case c.Faults != nil:
			got = c.Faults.String()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
