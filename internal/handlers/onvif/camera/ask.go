package camera

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/onvif/soap"
)

// Question is whom to ask, and how.
type Question struct {
	// Sightings are of one camera, the latest first.
	Sightings []Sighting
	// Present is the URL at which it answered before; "" if it is new. It is kept
	// as long as it answers: so nobody takes a camera over by answering in its
	// name. PresentAt is its address if the camera is still heard from where it
	// was then: it is tried even if no sighting names it, since a sighting may be
	// another's in the camera's name.
	Present   string
	PresentAt netip.Addr
	// Configured are the networks in which the user says that cameras are.
	Configured []netip.Prefix
	Options    soap.Options
	// Names looks up host names.
	Names Resolver
}

// presentTimeout is how long the URL that answered before may take to do it again,
// if there is another.
const presentTimeout = time.Second

// Ask asks a camera for all that there is to know. An error says that it does not
// answer; its text names the URLs that were tried.
func Ask(ctx context.Context, q Question) (Facts, error) {
	list, err := choose(ctx, q)
	if err != nil {
		return Facts{}, err
	}
	var faults []error
	for i, c := range list {
		o := q.Options
		if c.target.URL.String() == q.Present && i < len(list)-1 {
			o.Timeout = presentTimeout
		}
		f, err := askAt(ctx, c, o, q.Options)
		if err == nil {
			return f, nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", c.target.URL, err))
		if ctx.Err() != nil {
			break
		}
	}
	return Facts{}, errors.Join(faults...)
}

// choice is a service to try, and the sighting that names it.
type choice struct {
	target   soap.Target
	sighting Sighting
}

// choose returns the services of all sightings, each once, the present one first.
func choose(ctx context.Context, q Question) (list []choice, err error) {
	var faults []error
	for _, s := range q.Sightings {
		found, err := targets(ctx, s, q.Configured, q.Names)
		if err != nil {
			faults = append(faults, err)
		}
		for _, t := range found {
			known := slices.ContainsFunc(list, func(c choice) bool {
				return c.target.URL.String() == t.URL.String() && c.target.Address == t.Address
			})
			if !known {
				list = append(list, choice{t, s})
			}
		}
	}
	if c, ok := before(q); ok && !slices.ContainsFunc(list, func(o choice) bool { return present(o.target, q.Present) > 0 }) {
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("none of its addresses is called: %w", errors.Join(faults...))
	}
	slices.SortStableFunc(list, func(a, b choice) int {
		return present(b.target, q.Present) - present(a.target, q.Present)
	})
	return list[:min(len(list), maxTargets)], nil
}

// before returns the service that answered before, if it may still be called.
func before(q Question) (c choice, ok bool) {
	if !q.PresentAt.IsValid() {
		return c, false
	}
	u, port, err := parseXAddr(q.Present)
	if err != nil {
		return c, false
	}
	for _, s := range q.Sightings {
		if Judge(q.PresentAt, s, q.Configured) == nil {
			return choice{soap.Target{URL: u, Address: netip.AddrPortFrom(q.PresentAt, port)}, s}, true
		}
	}
	return c, false
}

func present(t soap.Target, u string) int {
	if t.URL.String() == u {
		return 1
	}
	return 0
}

// askAt asks at one address. Whether it answers at all is tried with o.
func askAt(ctx context.Context, c choice, first, o soap.Options) (Facts, error) {
	f := Facts{URL: c.target.URL.String(), Address: c.target.Address.Addr(), Seen: c.sighting.From}
	try := soap.NewClient(c.target, first)
	defer try.Close()
	ahead, err := soap.Clock(ctx, try)
	if err != nil && !answers(err) {
		return Facts{}, err
	}
	client := try
	if first.Timeout != o.Timeout {
		client = soap.NewClient(c.target, o)
		defer client.Close()
	}
	client.SetClock(ahead)
	f.Missing = f.askMore(ctx, client, c.sighting)
	return f, nil
}

// answers tells whether an error is the answer of a service that speaks SOAP.
func answers(err error) bool {
	var fault *soap.Fault
	return soap.IsAuth(err) || errors.As(err, &fault)
}

// askMore asks for all that needs a user with most cameras. A user that is refused
// is not tried again: cameras lock accounts.
func (f *Facts) askMore(ctx context.Context, client *soap.Client, s Sighting) error {
	f.setInterfaces(nil)
	f.setScopes(s.Scopes)
	info, err := soap.Call[deviceInformation](ctx, client, soap.AsUser, getDeviceInformation{})
	var faults []error
	switch {
	case soap.IsAuth(err):
		return err
	case err != nil && !answers(err):
		faults = append(faults, fmt.Errorf("GetDeviceInformation: %w", err))
	}
	f.setInformation(info)
	interfaces, err := soap.Call[networkInterfaces](ctx, client, soap.AsUser, getNetworkInterfaces{})
	switch {
	case soap.IsAuth(err):
		return err
	case err != nil && !answers(err):
		faults = append(faults, fmt.Errorf("GetNetworkInterfaces: %w", err))
	}
	f.setInterfaces(interfaces.Interfaces)
	told, err := soap.Call[scopes](ctx, client, soap.AsUser, getScopes{})
	switch {
	case soap.IsAuth(err):
		return err
	case err != nil && !answers(err):
		faults = append(faults, fmt.Errorf("GetScopes: %w", err))
	}
	f.setScopes(s.Scopes, told.Items)
	return errors.Join(faults...)
}
