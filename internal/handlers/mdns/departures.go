package mdns

import (
	"slices"
	"time"

	"github.com/akri-go/akri/discovery"
)

const (
	// certainAfter is how long a device is gone after its good-bye until it is said
	// that it has departed. Anybody may have sent the good-bye; a device that is
	// there has answered by then.
	certainAfter = 3 * time.Second
	// departedFor is how long it is said.
	departedFor = time.Minute
	// maxDepartures is how many are remembered; the agent waits for the others.
	maxDepartures = 1000
)

// departures are the devices of a request that have said good-bye. The zero value
// can be used.
type departures struct {
	leaving map[string]bool      // those of the last list that were about to go
	gone    map[string]time.Time // since when they are in no list
}

// take is told of a list, and of the devices in it that are about to go. It returns
// which have departed, and after how long that may be others; 0 is never.
func (d *departures) take(list []discovery.Device, leaving map[string]bool, now time.Time) (departed []string, again time.Duration) {
	listed := make(map[string]bool, len(list))
	for _, v := range list {
		listed[v.ID] = true
		delete(d.gone, v.ID)
	}
	for id := range d.leaving {
		if _, known := d.gone[id]; listed[id] || known || len(d.gone) >= maxDepartures {
			continue
		}
		if d.gone == nil {
			d.gone = map[string]time.Time{}
		}
		d.gone[id] = now
	}
	d.leaving = leaving
	for id, since := range d.gone {
		switch age := now.Sub(since); {
		case age >= certainAfter+departedFor:
			delete(d.gone, id)
		case age >= certainAfter:
			departed = append(departed, id)
		case again == 0 || certainAfter-age < again:
			again = certainAfter - age
		}
	}
	slices.Sort(departed)
	return departed, again
}
