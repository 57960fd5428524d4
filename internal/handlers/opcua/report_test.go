package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
)

func mustDetails(t testing.TB, text string) details.Details {
	t.Helper()
	d, err := details.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestChoose(t *testing.T) {
	all := []ua.Application{
		{URI: "urn:z", Name: "Press", ProductURI: "urn:p"},
		{URI: "urn:b", Name: "Both", ProductURI: "urn:q", Type: ua.ClientAndServer},
		{URI: "urn:c", Name: "Client", Type: ua.Client}, {URI: "urn:d", Name: "LDS", Type: ua.DiscoveryServer},
		{URI: "urn:e", Name: "Odd", Type: 99},
	}
	for text, want := range map[string]string{
		"": "urn:b urn:z",
		"applicationNames: {action: Include, items: [Press, LDS]}":            "urn:z",
		"applicationNames: {action: Exclude, items: [Press]}":                 "urn:b",
		"applicationUris: {items: ['urn:b']}":                                 "urn:b",
		"productUris: {items: ['urn:p']}":                                     "urn:z",
		"productUris: {action: Exclude, items: ['urn:p', 'urn:q']}":           "",
		"applicationNames: {items: [Press]}\nproductUris: {items: ['urn:q']}": "",
	} {
		wanted, leftOut, filtered := choose(answer{found: ua.Found{Applications: all, Total: len(all)}}, mustDetails(t, text))
		var uris []string
		for _, app := range wanted {
			uris = append(uris, app.URI)
		}
		if got := strings.Join(uris, " "); got != want || leftOut != nil || filtered != 2-len(wanted) {
			t.Errorf("%s: %s, want %s; %q; %d do not pass", text, got, want, leftOut, filtered)
		}
	}
	_, leftOut, _ := choose(answer{found: ua.Found{Applications: all, Total: 9}, unheard: 2}, details.Details{})
	if len(leftOut) != 1 || !strings.HasPrefix(leftOut[0], "6 entries") {
		t.Errorf("%q", leftOut)
	}
}

func TestLocate(t *testing.T) {
	where := func(u details.URL) (details.URL, address.Judge, error) {
		switch u.Host {
		case "nowhere":
			return u.At("asked"), nil, nil
		case "bad":
			return u, nil, errors.New("not that one")
		}
		return u, nil, nil
	}
	for urls, want := range map[string]string{
		"opc.tcp://a:1 opc.tcp://b:1":               "opc.tcp://a:1",
		"https://a:1 opc.tcp://b:1":                 "opc.tcp://b:1",
		"opc.tcp://nowhere:1 opc.tcp://b:2":         "opc.tcp://b:2",
		"opc.tcp://nowhere:1/x opc.tcp://nowhere:2": "opc.tcp://asked:1/x",
		"opc.tcp://bad:1 opc.tcp://nowhere:2":       "opc.tcp://asked:2",
		"opc.tcp://bad:1":                           "error: not that one",
		"https://a:1":                               `error: "https://a:1": does not begin with opc.tcp://`,
		"":                                          "error: has no discovery URL",
	} {
		c, err := locate(strings.Fields(urls), where)
		got := c.url.Text()
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) || err == nil && got != want {
			t.Errorf("%s: %s, want %s", urls, got, want)
		}
	}
}

// told1 is a server that a discovery server tells of.
func told1(t testing.TB, url, uri string) server {
	return server{asked: true, candidate: candidate{url: mustURL(t, url), app: &ua.Application{URI: uri, Name: "n"}}}
}

func TestPlan(t *testing.T) {
	d := mustDetails(t, "discoveryUrls: [opc.tcp://a, opc.tcp://b]\napplicationUris: {action: Exclude, items: ['urn:unwanted']}")
	full := told1(t, "opc.tcp://x:1", "urn:x")
	full.app.ProductURI = "urn:p"
	full.offers = &ua.Endpoints{Policies: []string{"Basic256Sha256", "None"}, Modes: []string{"None", "Sign"}}
	mute := told1(t, "opc.tcp://x:1", "urn:x")
	mute.problem = "opc.tcp://x:1: connection refused"
	heard := server{asked: true, candidate: candidate{url: mustURL(t, "opc.tcp://h:1")}}
	heardOf := func(uri string, kind ua.ApplicationType) server {
		v := heard
		v.offers = &ua.Endpoints{Server: ua.Application{URI: uri, Type: kind}}
		return v
	}
	settled := func(servers ...server) state { return state{settled: true, servers: servers} }
	for _, tt := range []struct {
		name   string
		states []state
		want   string // ids
		note   string // part of it; "" if there is none
	}{
		{"nothing", []state{settled(), settled()}, "", ""},
		{"sorted", []state{settled(told1(t, "opc.tcp://y:1", "urn:y")), settled(full)}, "opc.tcp://x:1 opc.tcp://y:1", ""},
		{"one at both", []state{settled(full), settled(full)}, "opc.tcp://x:1", ""},
		{"written differently", []state{settled(full), settled(told1(t, "opc.tcp://X:1/", "urn:x"))}, "opc.tcp://x:1", ""},
		{"two at one URL", []state{settled(full), settled(told1(t, "opc.tcp://x:1", "urn:other"))}, "opc.tcp://x:1", `"urn:x" counts and "urn:other" does not`},
		{"not all known", []state{settled(full), {}}, "opc.tcp://x:1", "opc.tcp://b:4840: not all is known yet"},
		{"a problem", []state{settled(full), {settled: true, problem: "opc.tcp://b:4840: dead"}}, "opc.tcp://x:1", "opc.tcp://b:4840: dead"},
		{"left out", []state{{settled: true, leftOut: []string{"r1", "r2", "r3", "r4"}}, settled()}, "",
			"opc.tcp://a:4840: r1; opc.tcp://a:4840: r2; opc.tcp://a:4840: r3"},
		{"what it offers is not known", []state{settled(mute), settled()}, "opc.tcp://x:1", "what it offers is not known: opc.tcp://x:1: connection refused"},
		{"heard of, and not met", []state{settled(heard), settled()}, "", ""},
		{"heard of", []state{settled(heardOf("urn:h", ua.Server)), settled()}, "opc.tcp://h:1", ""},
		{"heard of, and not wanted", []state{settled(heardOf("urn:unwanted", ua.Server)), settled()}, "", "no server passes the filters of discoveryDetails (of 1)"},
		{"told of, and not wanted", []state{{settled: true, filtered: 2}, settled()}, "", "no server passes the filters of discoveryDetails (of 2)"},
		{"some are not wanted", []state{{settled: true, filtered: 2}, settled(full)}, "opc.tcp://x:1", ""},
		{"heard of a discovery server", []state{settled(heardOf("urn:h", ua.DiscoveryServer)), settled()}, "", ""},
	} {
		r := Plan(d, tt.states, nil)
		var ids []string
		for _, device := range r.Devices {
			ids = append(ids, device.ID)
		}
		if got := strings.Join(ids, " "); got != tt.want || (r.Note == "") != (tt.note == "") || !strings.Contains(r.Note, tt.note) {
			t.Errorf("%s: %s, note %q", tt.name, got, r.Note)
		}
	}
	want := map[string]string{
		"OPCUA_DISCOVERY_URL": "opc.tcp://x:1", "OPCUA_APPLICATION_URI": "urn:x", "OPCUA_APPLICATION_NAME": "n",
		"OPCUA_PRODUCT_URI": "urn:p", "OPCUA_SECURITY_POLICIES": "Basic256Sha256,None", "OPCUA_SECURITY_MODES": "None,Sign",
	}
	if got := Plan(d, []state{settled(full), settled()}, nil).Devices[0].Properties; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("properties %v", got)
	}
	if got := Plan(d, []state{settled(mute), settled()}, nil).Devices[0].Properties; len(got) != 3 {
		t.Errorf("properties of one that does not answer: %v", got)
	}
}

// Who lists servers that do not exist keeps none out that is known, and takes the
// place of none.
func TestPlanKeeps(t *testing.T) {
	d := mustDetails(t, "discoveryUrls: [opc.tcp://a, opc.tcp://b]")
	real := state{settled: true, servers: []server{told1(t, "opc.tcp://real:1", "urn:real")}}
	before := Plan(d, []state{{settled: true}, real}, nil).Devices
	flood := state{settled: true, servers: []server{told1(t, "opc.tcp://real:1", "urn:false")}}
	for i := range maxServers {
		flood.servers = append(flood.servers, told1(t, fmt.Sprintf("opc.tcp://false:%d", i+1), "urn:false"))
	}
	r := Plan(d, []state{flood, real}, before)
	n := slices.IndexFunc(r.Devices, func(v discovery.Device) bool { return v.ID == "opc.tcp://real:1" })
	if n < 0 || r.Devices[n].Properties[details.PropertyURI] != "urn:real" || len(r.Devices) != maxServers {
		t.Errorf("%d devices, the known one is %d", len(r.Devices), n)
	}
	if want := `"urn:real" counts and "urn:false" does not`; !strings.Contains(r.Note, want) {
		t.Errorf("no %s in %s", want, r.Note)
	}
}

// There is an end to what is reported, and it is said.
func TestPlanLimits(t *testing.T) {
	d := mustDetails(t, "discoveryUrls: [opc.tcp://a]")
	var many, long []server
	for i := range maxServers + 3 {
		many = append(many, told1(t, fmt.Sprintf("opc.tcp://x:%d", i+1), "urn:x"))
		v := told1(t, fmt.Sprintf("opc.tcp://x:%d", i+1), strings.Repeat("u", 1000))
		v.app = &ua.Application{URI: v.app.URI, Name: v.app.URI, ProductURI: v.app.URI}
		long = append(long, v)
	}
	r := Plan(d, []state{{settled: true, servers: many}}, nil)
	if len(r.Devices) != maxServers || !strings.HasPrefix(r.Note, "3 servers are left out") {
		t.Errorf("%d devices, %s", len(r.Devices), r.Note)
	}
	r = Plan(d, []state{{settled: true, servers: long}}, nil)
	size := 0
	for _, device := range r.Devices {
		size += fit.Bytes(device)
	}
	if size > maxPropertyBytes || len(r.Devices) < 500 || r.Note == "" || len(r.Note) > maxNoteBytes {
		t.Errorf("%d devices of %d bytes, %s", len(r.Devices), size, r.Note)
	}
}

// What goes wrong is said with the URL and what can be done.
func TestExplain(t *testing.T) {
	u := mustURL(t, "opc.tcp://plc:1")
	for want, err := range map[string]error{
		"does an OPC UA server run there": &net.OpError{Err: syscall.ECONNREFUSED},
		"no answer in time":               context.DeadlineExceeded,
		"no answer in time: is it":        &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"takes the connection":            errSilent,
		"is the name right":               noSuchHost,
		"does the name server answer":     dnsAway,
		"is there a route":                &net.OpError{Err: syscall.EHOSTUNREACH},
		"the server refuses: BadTimeout":  &ua.StatusError{Status: 0x800a0000},
	} {
		if got := explain(u, err); !strings.HasPrefix(got, "opc.tcp://plc:1: ") || !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
	if got := explain(u, errors.New(strings.Repeat("x", 1000))); len(got) > 300 {
		t.Errorf("%d bytes", len(got))
	}
}

// Which of two servers at one URL counts does not depend on the order of an
// answer.
func TestOrder(t *testing.T) {
	a, b := ua.Application{URI: "urn:a"}, ua.Application{URI: "urn:b"}
	one, _, _ := choose(answer{found: ua.Found{Applications: []ua.Application{a, b}, Total: 2}}, details.Details{})
	two, _, _ := choose(answer{found: ua.Found{Applications: []ua.Application{b, a}, Total: 2}}, details.Details{})
	if !slices.EqualFunc(one, two, func(x, y ua.Application) bool { return x.URI == y.URI }) {
		t.Errorf("%v, %v", one, two)
	}
}
