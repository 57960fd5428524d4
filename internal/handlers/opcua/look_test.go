package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	gopcua "github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/leaktest"
)

// dripping sends the first byte of an answer again and again, and so never one
// that can be read.
type dripping struct {
	net.Conn
	ended <-chan struct{}
}

func (c dripping) Write(p []byte) (int, error) {
	if string(p[:3]) != "MSG" {
		return c.Conn.Write(p)
	}
	_, _ = c.Conn.Write(p[:4])
	<-c.ended
	return 0, errors.New("ended")
}

// A look has an end, however a server keeps it up, and gives its place back.
func TestLookEnds(t *testing.T) {
	leaktest.Check(t)
	ended := make(chan struct{})
	silent, drips := opcuatest.Start(t), opcuatest.Start(t)
	t.Cleanup(func() { close(ended) })
	silent.Say(opcuatest.Says{Silent: true})
	drips.Wrap(func(c net.Conn) net.Conn { return dripping{c, ended} })
	a := newAsker(address.System())
	a.timeout = time.Second // in which it can connect
	for name, s := range map[string]*opcuatest.Server{"silent": silent, "drips": drips} {
		_, err := a.ask(t.Context(), mustURL(t, s.URL), true)
		if !errors.Is(err, errSilent) {
			t.Errorf("%s: %v", name, err)
		}
		c := candidate{url: mustURL(t, s.URL), judge: named(mustURL(t, s.URL))}
		if _, err := a.endpoints(t.Context(), c, c.url); !errors.Is(err, errSilent) {
			t.Errorf("%s: endpoints: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.ask(ctx, mustURL(t, silent.URL), true); !errors.Is(err, context.Canceled) {
		t.Errorf("asked with a context that is done: %v", err)
	}
	for i := range maxConversations { // fails if one was not given back
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		defer cancel()
		if _, err := a.places.Enter(ctx, fmt.Sprint("other ", i)); err != nil {
			t.Fatalf("place %d: %v", i, err)
		}
	}
	if _, err := a.ask(t.Context(), mustURL(t, silent.URL), true); !errors.Is(err, errCrowded) {
		t.Errorf("without a place: %v", err)
	}
}

// A discovery URL whose servers hold their conversations open takes no other's
// place.
func TestPlacesAreShared(t *testing.T) {
	s := opcuatest.Start(t)
	a := newAsker(address.System())
	a.timeout = 3 * time.Second // in which it can connect
	hostile := mustURL(t, s.URL)
	for range maxOfOneURL {
		if _, err := a.places.Enter(t.Context(), hostile.Key()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.ask(t.Context(), hostile, false); !errors.Is(err, errCrowded) {
		t.Errorf("one that has its places already: %v", err)
	}
	a.timeout = time.Minute
	other := opcuatest.Start(t)
	if _, err := a.ask(t.Context(), mustURL(t, other.URL), false); err != nil {
		t.Errorf("another: %v", err)
	}
}

// What a server says of where it is is not kept: a thousand that say as much as
// they can would fill the memory. Nor is all that a name server says of a host.
func TestKeptOfStrangers(t *testing.T) {
	v := &server{}
	v.take(ended{offers: ua.Endpoints{Server: ua.Application{URI: "urn:a", DiscoveryURLs: make([]string, 16)}}})
	if v.offers.Server.URI != "urn:a" || v.offers.Server.DiscoveryURLs != nil {
		t.Errorf("%+v", v.offers)
	}
	n := address.Network{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return make([]netip.Addr, 4000), nil
	}}
	var h hosts
	if _, err := h.find(t.Context(), n, mustURL(t, "opc.tcp://many"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if kept := h.known["many"].addresses; cap(kept) > 2*maxKept {
		t.Errorf("room for %d addresses", cap(kept))
	}
}

// What a server says of the network, or does not.
func TestAskNetwork(t *testing.T) {
	s := opcuatest.Start(t)
	a := newAsker(address.System())
	if got, err := a.ask(t.Context(), mustURL(t, s.URL), true); err != nil || got.network != cannotHear {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := a.ask(t.Context(), mustURL(t, s.URL), false); err != nil || got.network != notAsked {
		t.Errorf("%+v, %v", got, err)
	}
	if n := s.Asked("FindServersOnNetworkRequest"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	says := opcuatest.Alone(s.URL)
	says.OnNetwork = []*gopcua.ServerOnNetwork{{ServerName: "a"}}
	s.Say(says)
	if got, err := a.ask(t.Context(), mustURL(t, s.URL), true); err != nil || got.network != heardAll || len(got.heard) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	// One that hangs up instead, as some do, has answered what matters.
	s.Wrap(func(c net.Conn) net.Conn { return hangingUp{c, new(int)} })
	if got, err := a.ask(t.Context(), mustURL(t, s.URL), true); err != nil || got.network != heardBadly || len(got.found.Applications) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// hangingUp answers one question.
type hangingUp struct {
	net.Conn
	answers *int
}

func (c hangingUp) Write(p []byte) (int, error) {
	if string(p[:3]) == "MSG" {
		if *c.answers++; *c.answers > 1 {
			return 0, errors.New("enough")
		}
	}
	return c.Conn.Write(p)
}

// A server of another make: that of the library gopcua, which has no application
// URI unless it has a certificate.
func TestGopcua(t *testing.T) {
	_, url := opcuatest.Gopcua(t)
	reports := asking(t, Options{Patience: time.Minute}, "discoveryUrls: ["+url+"]")
	r := handlertest.Until(t, reports, "it is there", func(r discovery.Report) bool { return handlertest.IDs(r) == url })
	p := r.Devices[0].Properties
	if _, there := p[details.PropertyURI]; there || p[details.PropertyName] != "gopcua" || p[details.PropertyModes] != "None" || !strings.Contains(p[details.PropertyProduct], "gopcua") {
		t.Errorf("%v", p)
	}
}
