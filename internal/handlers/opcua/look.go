package opcua

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/shorten"
)

// candidate is a server that a discovery URL tells of.
type candidate struct {
	url details.URL
	// app is nil for one of which only the network is known; the server itself
	// will tell.
	app   *ua.Application
	judge address.Judge // of the addresses that it may have
}

// heard tells whether only the network is known of it.
func (c candidate) heard() bool { return c.app == nil }

// looked is what one look at a discovery URL found.
type looked struct {
	candidates []candidate
	leftOut    []string // what was not taken, and why
	filtered   int      // servers that do not pass the filters
	network    hearing
}

// maxReasons is how many things that were left out are kept; fewer are shown.
const maxReasons = 8

func (l *looked) leave(format string, args ...any) {
	if len(l.leftOut) < maxReasons {
		l.leftOut = append(l.leftOut, shorten.Text(fmt.Sprintf(format, args...), 160))
	}
}

// hearing is what a look learned of what the network tells a discovery URL.
type hearing int

const (
	notAsked   hearing = iota
	heardAll           // all that there is
	cannotHear         // it does not have the service
	heardBadly         // it failed
)

const (
	lookTimeout = 8 * time.Second
	// maxConversations is how many servers are talked to at once; some 10 KiB each.
	// Those that one discovery URL causes, as many as a source has at a time, do not
	// take the places of others.
	maxConversations = 64
	maxOfOneURL      = 1 + maxAsked
)

// asker asks servers. Several goroutines may use it.
type asker struct {
	network address.Network
	// places are for the conversations that there may be at once: of those that
	// wait, the discovery URL with the fewest comes first.
	places *bounded.Gate
	// timeout is for one look; twice, with looking up names after it.
	timeout time.Duration
}

func newAsker(n address.Network) asker {
	return asker{network: n, places: bounded.NewGate(maxConversations, maxOfOneURL), timeout: lookTimeout}
}

// open connects to a URL, and opens a channel. cause is the discovery URL for
// which it does so.
func (a *asker) open(ctx context.Context, u details.URL, j address.Judge, cause details.URL) (
	*ua.Channel, netip.Addr, func(), error,
) {
	conn, ip, err := connect(ctx, a.network, u, j)
	if err != nil {
		return nil, ip, nil, err
	}
	leave, err := a.places.Enter(ctx, cause.Key())
	if err != nil {
		conn.Close()
		return nil, ip, nil, errCrowded
	}
	channel, err := ua.Open(ctx, conn, u.Text())
	if err != nil {
		leave()
		return nil, ip, nil, because(ctx, err)
	}
	return channel, ip, func() { channel.Close(); leave() }, nil
}

// endpoints asks a server, of which a discovery URL has told, what it offers.
func (a *asker) endpoints(ctx context.Context, c candidate, by details.URL) (ua.Endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	channel, _, end, err := a.open(ctx, c.url, c.judge, by)
	if err != nil {
		return ua.Endpoints{}, err
	}
	defer end()
	offers, err := channel.GetEndpoints()
	return offers, because(ctx, err)
}

// errSilent is of a server that takes connections and does not answer.
var errSilent = errors.New(
	"it takes the connection and does not answer in time: is it an OPC UA server, or overloaded?")

// errCrowded is of a server that was not asked, for want of a place.
var errCrowded = fmt.Errorf("not asked this time: the handler talks to %d others", maxConversations)

// because returns why a conversation has ended.
func because(ctx context.Context, err error) error {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errSilent
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// answer is what a discovery URL says.
type answer struct {
	at      netip.Addr // from where
	found   ua.Found
	network hearing
	heard   []ua.NetworkServer
	unheard int // entries that were not kept
}

// ask asks a discovery URL for the servers that it knows, and if network says so
// for those that it has heard of by multicast.
func (a *asker) ask(ctx context.Context, u details.URL, network bool) (answer, error) {
	within, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	channel, at, end, err := a.open(within, u, named(u), u)
	if err != nil {
		return answer{}, err
	}
	defer end()
	found, err := channel.FindServers()
	if err != nil {
		return answer{}, because(within, err)
	}
	result := answer{at: at, found: found}
	if !network {
		return result, nil
	}
	heard, total, err := channel.FindServersOnNetwork()
	switch {
	case err == nil:
		result.network, result.heard, result.unheard = heardAll, heard, total-len(heard)
	case ua.Unsupported(err):
		result.network = cannotHear
	default: // some that do not have the service hang up, or do not answer
		result.network = heardBadly
	}
	return result, ctx.Err()
}

// choose returns the servers of an answer that a Configuration wants.
func choose(a answer, d details.Details) (wanted []ua.Application, leftOut []string, filtered int) {
	if n := a.found.Total - len(a.found.Applications) + a.unheard; n > 0 {
		leftOut = append(leftOut, fmt.Sprintf("%d entries of its answer are left out: too many, or their texts too long", n))
	}
	for _, app := range a.found.Applications {
		switch {
		case wants(d, app):
			wanted = append(wanted, app)
		case isServer(app):
			filtered++
		}
	}
	// Which of two that say the same must not depend on the order of an answer.
	slices.SortStableFunc(wanted, func(a, b ua.Application) int { return cmp.Compare(a.URI, b.URI) })
	return wanted, leftOut, filtered
}

// wants tells whether a Configuration wants an application.
func wants(d details.Details, app ua.Application) bool {
	return isServer(app) && d.Names.Passes(app.Name) && d.URIs.Passes(app.URI) && d.ProductURIs.Passes(app.ProductURI)
}

func isServer(app ua.Application) bool {
	return app.Type == ua.Server || app.Type == ua.ClientAndServer
}

// look asks a discovery URL, and finds out where the servers are that it tells of.
func (a *asker) look(ctx context.Context, u details.URL, d details.Details, h *hosts, network bool) (looked, error) {
	answer, err := a.ask(ctx, u, network)
	if err != nil {
		return looked{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	where := func(v details.URL) (details.URL, address.Judge, error) {
		known, err := h.find(ctx, a.network, v, time.Now())
		return place(v, known, err, u, answer.at)
	}
	wanted, leftOut, filtered := choose(answer, d)
	result := looked{leftOut: leftOut, filtered: filtered, network: answer.network}
	seen := map[string]string{} // application URIs, by the key of the URL
	for _, app := range wanted {
		c, err := locate(app.DiscoveryURLs, where)
		if err != nil {
			result.leave("server %q: %v", app.Name, err)
			continue
		}
		first, taken := seen[c.url.Key()]
		if !taken {
			seen[c.url.Key()] = app.URI
			app.DiscoveryURLs = nil // where it is is known now
			c.app = &app
			result.candidates = append(result.candidates, c)
		} else if first != app.URI {
			result.leave("server %q: %q is there already, at %s", app.URI, first, c.url.Text())
		}
	}
	for _, s := range answer.heard {
		if s.IsDiscovery || len(result.candidates) >= maxCandidates {
			continue
		}
		c, err := locate([]string{s.DiscoveryURL}, where)
		if err != nil {
			result.leave("server %q: %v", s.Name, err)
			continue
		}
		if _, taken := seen[c.url.Key()]; !taken {
			seen[c.url.Key()] = ""
			result.candidates = append(result.candidates, c)
		}
	}
	h.forget()
	slices.Sort(result.leftOut) // not in the order of the answer, which may change
	return result, nil
}

// maxCandidates is how many servers of one discovery URL are kept.
const maxCandidates = ua.MaxEntries

// locate returns the first of a server's URLs whose host stands as it is written,
// else the first that can be called at all.
func locate(urls []string, where func(details.URL) (details.URL, address.Judge, error)) (candidate, error) {
	var second *candidate
	var first error
	for _, text := range urls {
		u, err := details.ParseURL(text)
		if err == nil {
			var c candidate
			if c.url, c.judge, err = where(u); err == nil && c.url.Host == u.Host {
				return c, nil
			}
			if err == nil && second == nil {
				second = &c
			}
		}
		if first == nil {
			first = err
		}
	}
	switch {
	case second != nil:
		return *second, nil
	case first != nil:
		return candidate{}, first
	}
	return candidate{}, fmt.Errorf("has no discovery URL")
}
