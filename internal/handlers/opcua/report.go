package opcua

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// maxServers is how many devices a Configuration has at most, and
	// maxPropertyBytes how much all their properties take.
	maxServers       = 1000
	maxPropertyBytes = 2 << 20
	maxNoteBytes     = 512 // bytes; agents show no more
)

// Plan returns what there is to report, given what each discovery URL has to say, and
// the devices of the report before. Of servers with one URL that one counts which
// was reported before, else the first. Each device's id is its URL, as upstream's.
func Plan(d details.Details, states []state, before []discovery.Device) discovery.Report {
	var (
		r       discovery.Report
		notes   []string
		taken   = map[string]int{}    // places in r.Devices, by the key of the URL
		present = map[string]string{} // application URIs of those that were reported, by their ids
	)
	for _, b := range before {
		present[b.ID] = b.Properties[details.PropertyURI]
	}
	filtered := 0
	for _, st := range states {
		filtered += st.filtered
		if st.problem != "" {
			notes = append(notes, st.problem)
		}
	}
	for i, st := range states {
		if !st.settled && st.problem == "" {
			notes = append(notes, fmt.Sprintf("%s: not all is known yet", shorten.Text(d.URLs[i].Text(), 100)))
		}
		for _, reason := range st.leftOut[:min(len(st.leftOut), 3)] {
			notes = append(notes, fmt.Sprintf("%s: %s", shorten.Text(d.URLs[i].Text(), 100), reason))
		}
		for _, v := range st.servers {
			if v.problem != "" {
				notes = append(notes, "what it offers is not known: "+v.problem)
			}
			app, ok := v.application(d)
			if !ok {
				if v.offers != nil && isServer(v.offers.Server) {
					filtered++
				}
				continue
			}
			device, key := v.device(app), v.url.Key()
			n, there := taken[key]
			if !there {
				taken[key] = len(r.Devices)
				r.Devices = append(r.Devices, device)
				continue
			}
			counts, other := r.Devices[n].Properties[details.PropertyURI], app.URI
			if counts == other {
				continue
			}
			if uri, known := present[device.ID]; known && uri == other {
				r.Devices[n] = device
				counts, other = other, counts
			}
			notes = append(notes, fmt.Sprintf("%s: two servers say that they are there, %q counts and %q does not",
				v.url.Text(), counts, other))
		}
	}
	if len(r.Devices) == 0 && filtered > 0 {
		notes = append(notes, fmt.Sprintf("no server passes the filters of discoveryDetails (of %d)", filtered))
	}
	var over, large int
	r.Devices, over = fit.Number(r.Devices, before, maxServers)
	r.Devices, large = fit.Devices(r.Devices, maxPropertyBytes)
	if over += large; over > 0 {
		notes = slices.Insert(notes, 0, fmt.Sprintf(
			"%d servers are left out: there are more than %d, or their texts are too long; name fewer URLs, or filter",
			over, maxServers))
	}
	slices.SortFunc(r.Devices, func(a, b discovery.Device) int { return cmp.Compare(a.ID, b.ID) })
	r.Note = shorten.Text(strings.Join(slices.Compact(notes), "; "), maxNoteBytes)
	return r
}

// application returns what the server is, and whether it is wanted. Of one that
// was heard of, it says so itself.
func (v *server) application(d details.Details) (ua.Application, bool) {
	if v.app != nil {
		return *v.app, true
	}
	if v.offers == nil {
		return ua.Application{}, false
	}
	return v.offers.Server, wants(d, v.offers.Server)
}

func (v *server) device(app ua.Application) discovery.Device {
	properties := map[string]string{details.PropertyURL: v.url.Text()}
	offers := ua.Endpoints{}
	if v.offers != nil {
		offers = *v.offers
	}
	for name, value := range map[string]string{
		details.PropertyURI: app.URI, details.PropertyName: app.Name, details.PropertyProduct: app.ProductURI,
		details.PropertyPolicies: strings.Join(offers.Policies, ","), details.PropertyModes: strings.Join(offers.Modes, ","),
	} {
		if value != "" {
			properties[name] = value
		}
	}
	return discovery.Device{ID: v.url.Text(), Properties: properties}
}
