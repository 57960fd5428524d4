// Package departures knows which devices of a request have departed: they have said
// themselves that they go, and have not come back for a while. It reads no clock.
package departures

import (
	"slices"
	"time"

	"github.com/akri-go/akri/discovery"
)

const (
	// toldFor is how long it is said of a device.
	toldFor = time.Minute
	// maxGone is how many are remembered; the agent waits for the others.
	maxGone = 1000
)

// Devices are the devices of a request that have said good-bye.
type Devices struct {
	certain time.Duration
	leaving map[string]bool      // those that were about to go
	gone    map[string]time.Time // since when they are in no list
}

// New returns that of a new request. certain is how long a device is gone after its
// good-bye until it is said that it has departed: anybody may have sent the
// good-bye, or the device only restarts, and one that is there has come back by
// then.
func New(certain time.Duration) *Devices {
	return &Devices{certain: certain, gone: map[string]time.Time{}}
}

// Take is told of a list, and of the devices that have said good-bye, whether they
// are still in it or not. It returns which have departed, and after how long that
// may be others; 0 is never.
func (d *Devices) Take(list []discovery.Device, leaving map[string]bool,
	now time.Time) (departed []string, again time.Duration) {
	listed := make(map[string]bool, len(list))
	for _, v := range list {
		listed[v.ID] = true
		delete(d.gone, v.ID)
	}
	for _, some := range []map[string]bool{d.leaving, leaving} {
		for id := range some {
			if _, known := d.gone[id]; !listed[id] && !known && len(d.gone) < maxGone {
				d.gone[id] = now
			}
		}
	}
	d.leaving = leaving
	for id, since := range d.gone {
		switch age := now.Sub(since); {
		case age >= d.certain+toldFor:
			delete(d.gone, id)
		case age >= d.certain:
			departed = append(departed, id)
		case again == 0 || d.certain-age < again:
			again = d.certain - age
		}
	}
	slices.Sort(departed)
	return departed, again
}

// Stays is told that a device has taken its good-bye back, though it is in no list
// yet.
func (d *Devices) Stays(id string) {
	delete(d.gone, id)
	delete(d.leaving, id)
}
