package mdns

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/handlers/mdns/air"
	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

// fakeAir is networks with devices that answer each question at once with all that
// they have. It is a fake: the tests with the tag integration have real ones.
type fakeAir struct {
	mu         sync.Mutex
	open       map[*fakeOpen]bool
	interfaces []multicast.Interface
	devices    map[int][]fakeDevice // by the interface's index
	problem    error                // of sending
	sent       [][]byte
}

type fakeDevice struct {
	from    netip.Addr
	records []dnsmsg.Record
}

// fakeOpen is the air as one station has it.
type fakeOpen struct {
	*fakeAir
	options air.Options
	calls   sync.WaitGroup
}

func (f *fakeAir) new(o air.Options) Air {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := &fakeOpen{fakeAir: f, options: o}
	f.open[open] = true
	return open
}

func (f *fakeOpen) Interfaces() ([]multicast.Interface, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.interfaces), nil
}

func (f *fakeOpen) Listen([]multicast.Interface) error { return nil }

func (f *fakeOpen) Speaks(_ int, via browse.Family) bool { return via == browse.V4 }

func (f *fakeOpen) Private(int, browse.Family) bool { return false }

func (f *fakeOpen) Send(index int, via browse.Family, message []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, message)
	if f.problem != nil {
		return f.problem
	}
	if binary.BigEndian.Uint16(message[4:]) == 0 {
		return nil // known answers that had no room
	}
	for _, d := range f.devices[index] {
		f.tell(index, d)
	}
	return nil
}

func (f *fakeOpen) tell(index int, d fakeDevice) {
	f.calls.Go(func() {
		f.options.Heard(air.Heard{Records: d.records, From: d.from, Interface: index, Via: browse.V4, At: time.Now()})
	})
}

func (f *fakeOpen) Close() {
	f.mu.Lock()
	delete(f.open, f)
	f.mu.Unlock()
	f.calls.Wait()
}

// say has a device announce itself.
func (f *fakeAir) say(index int, d fakeDevice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for o := range f.open {
		o.tell(index, d)
	}
}

// set sets the interfaces, and tells of it.
func (f *fakeAir) set(interfaces ...multicast.Interface) {
	f.mu.Lock()
	f.interfaces = interfaces
	var changed []func()
	for o := range f.open {
		changed = append(changed, o.options.Changed)
	}
	f.mu.Unlock()
	for _, tell := range changed {
		tell()
	}
}
