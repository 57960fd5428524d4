package opcua

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
)

// hosts remembers what the hosts are that one discovery URL tells of, so that a
// name server that comes and goes changes no URL, and with it no device's id. A
// name that once was found is as it was from then on, for as long as it is told
// of; one that was not is looked up again after [recheckInterval]. It is for one
// goroutine at a time.
type hosts struct {
	known map[string]host
	asked map[string]bool // since forget
	found int             // looked up since forget
}

type host struct {
	addresses []netip.Addr
	err       error // it was not found
	at        time.Time
}

// maxLookups is how many hosts are looked up in one look. What a server tells must
// not make a flood for the name servers; the rest is looked up next time.
const maxLookups = 200

// maxKept is how many addresses of a host are kept. A name server that belongs to
// whoever tells of the host may say thousands.
const maxKept = 16

// recheckInterval is after how long a host that was not found is looked up again.
const recheckInterval = 5 * time.Minute

// find returns the addresses of a URL's host.
func (h *hosts) find(ctx context.Context, n address.Network, u details.URL, now time.Time) ([]netip.Addr, error) {
	if h.known == nil {
		h.known, h.asked = map[string]host{}, map[string]bool{}
	}
	h.asked[u.Host] = true
	old, known := h.known[u.Host]
	if known && (old.err == nil || now.Sub(old.at) < recheckInterval) {
		return old.addresses, old.err
	}
	if h.found++; h.found > maxLookups {
		return old.addresses, cmp.Or(old.err, errTooMany)
	}
	addresses, err := n.Addresses(ctx, u.Host)
	if err != nil && !address.NotFound(err) {
		if known {
			return old.addresses, old.err
		}
		return nil, err
	}
	addresses = slices.Clone(addresses[:min(len(addresses), maxKept)])
	h.known[u.Host] = host{addresses, err, now}
	return addresses, err
}

// errTooMany is of a host that was not looked up.
var errTooMany = errors.New("not looked up this time")

// forget forgets the hosts that were not asked for since it was called last.
func (h *hosts) forget() {
	for name := range h.known {
		if !h.asked[name] {
			delete(h.known, name)
		}
	}
	clear(h.asked)
	h.found = 0
}
