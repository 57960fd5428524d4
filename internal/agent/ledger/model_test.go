package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// The model is a node around a ledger: a kubelet with containers, an API server
// with another node's agent, and a disk. Every step, and every crash of the agent
// before or after each of its writes, must leave:
//
//   - each slot in use by one container of one node at most;
//     (but see excused);
//   - every slot that a container uses claimed, before and after a restart;
//   - no slot that looks as if it could be had and is refused, as far as the
//     agent can know: the scheduler would send Pod after Pod to fail here;
//   - and when all containers have ended and faults have ceased, no claim.
//
// It is driven by bytes, so that the fuzzer finds the sequences.

// crash is the panic of an agent that is killed.
type crash struct{}

// container uses slots.
type container []Use

type model struct {
	t      *testing.T
	input  []byte
	now    time.Time
	ledger *Ledger

	disk State
	// api is spec.deviceUsage, wanted what the recorder was last told.
	api, wanted map[types.NamespacedName]map[string]v0.Usage
	// seen is a state of the API that may be delivered late.
	seen       map[types.NamespacedName]map[string]v0.Usage
	containers []container

	devices  map[string]bool // by name: shared
	capacity map[string]int  // absent while the device is gone
	quiet    bool            // no more faults

	// refused notes that the API could not be asked; then what the node holds
	// may be granted again. If meanwhile another took it, by way of excused, a
	// slot may be in use on two nodes.
	refused bool
	excused map[string]bool
}

func (m *model) pick(n int) int {
	if len(m.input) == 0 || n <= 1 {
		return 0
	}
	b := m.input[0]
	m.input = m.input[1:]
	return int(b) % n
}

// fault returns 0 most of the time, else a kind of fault.
func (m *model) fault(kinds int) int {
	if m.quiet {
		return 0
	}
	if f := m.pick(8 * kinds); f <= kinds {
		return f
	}
	return 0
}

func (m *model) Load() (State, error) { return State{Claims: slices.Clone(m.disk.Claims)}, nil }

func (m *model) Save(s State) error {
	switch m.fault(4) {
	case 1:
		panic(crash{})
	case 2:
		m.disk = State{Claims: slices.Clone(s.Claims)}
		panic(crash{})
	case 3:
		return errors.New("disk full")
	case 4: // the rename was made, then syncing the folder failed
		m.disk = State{Claims: slices.Clone(s.Claims)}
		return errors.New("input/output error")
	}
	m.disk = State{Claims: slices.Clone(s.Claims)}
	return nil
}

func (m *model) Claim(_ context.Context, name types.NamespacedName, claims map[string]v0.Usage) error {
	delete(m.wanted, name) // what it was told before is replaced
	fault := m.fault(4)
	switch fault {
	case 1:
		panic(crash{})
	case 2:
		m.refused = true
		return errors.New("connection refused")
	}
	for id := range claims {
		if other := m.api[name][id]; !other.Free() && other.Node != "a" {
			return fmt.Errorf("%w: %s", ErrTaken, other.Node)
		}
	}
	m.write(name, claims)
	switch fault {
	case 3:
		panic(crash{})
	case 4:
		m.refused = true
		return errors.New("timeout") // but it was written
	}
	return nil
}

func (m *model) Record(name types.NamespacedName, claims map[string]v0.Usage) {
	m.wanted[name] = maps.Clone(claims)
	if m.fault(1) == 1 {
		panic(crash{})
	}
}

// write puts this node's entries in place and leaves the others.
func (m *model) write(name types.NamespacedName, claims map[string]v0.Usage) {
	usage := m.api[name]
	maps.DeleteFunc(usage, func(_ string, u v0.Usage) bool { return u.Node == "a" })
	for id, u := range claims {
		if usage[id].Free() {
			usage[id] = u
		}
	}
}

// flush has the recorder write what it was told, if nothing fails.
func (m *model) flush() {
	for name, claims := range m.wanted {
		m.write(name, claims)
	}
	clear(m.wanted)
}

func (m *model) restart() {
	clear(m.wanted)
	m.ledger = open(m, m)
	for _, name := range slices.Sorted(maps.Keys(m.capacity)) {
		m.ledger.DeviceChanged(newDevice("ns", name, m.devices[name], m.capacity[name]))
	}
}

// run calls f on the agent; false if the agent was killed meanwhile, and has
// been restarted.
func (m *model) run(f func()) (alive bool) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case crash:
			// It may be killed while it starts, too.
			for !m.run(m.restart) {
			}
		default:
			panic(r)
		}
	}()
	f()
	return true
}

func (m *model) uses() []Use { return slices.Concat(m.containers...) }

func (m *model) name() string {
	return slices.Sorted(maps.Keys(m.devices))[m.pick(len(m.devices))]
}

func (m *model) step() {
	switch m.pick(11) {
	case 0, 1: // the kubelet admits a container
		m.allocate()
	case 2: // one ends
		if n := len(m.containers); n > 0 {
			i := m.pick(n)
			m.containers = slices.Delete(m.containers, i, i+1)
		}
	case 3:
		view := View{Uses: m.uses(), Complete: true}
		if m.fault(1) == 1 {
			view = View{}
		}
		m.run(func() { m.ledger.Reconcile(m.now, view) })
	case 4:
		m.now = m.now.Add(time.Duration(m.pick(25)) * time.Second)
	case 5: // the watch brings a state, new or late
		name := types.NamespacedName{Namespace: "ns", Name: m.name()}
		if m.fault(1) == 0 {
			m.seen[name] = maps.Clone(m.api[name])
		}
		m.run(func() { m.ledger.Observed(name, m.seen[name]) })
	case 6:
		m.flush()
	case 7: // the other node
		name := types.NamespacedName{Namespace: "ns", Name: m.name()}
		id := v0.SlotID(name.Name, m.pick(3))
		switch u := m.api[name][id]; {
		case u.Free() && m.devices[name.Name]:
			m.api[name][id] = v0.Usage{Node: "b", Door: v0.DoorInstance}
		case u.Node == "b":
			delete(m.api[name], id)
		}
	case 8: // the device comes, changes or goes
		name := m.name()
		d := newDevice("ns", name, m.devices[name], m.pick(4))
		if d.Capacity == 0 {
			delete(m.capacity, name)
			m.run(func() { m.ledger.DeviceGone(d) })
			return
		}
		m.capacity[name] = d.Capacity
		m.run(func() { m.ledger.DeviceChanged(d) })
	case 10: // connections come and go; only what is offered hangs on it
		up := m.pick(2) == 0
		m.run(func() { m.ledger.ArbiterReachable(up) })
	case 9: // the node is taken for lost, and what it does not use is freed
		name := types.NamespacedName{Namespace: "ns", Name: m.name()}
		id := v0.SlotID(name.Name, m.pick(3))
		if u := m.api[name][id]; u.Node == "a" && !slices.ContainsFunc(m.uses(), func(u Use) bool { return u.ID == id }) {
			delete(m.api[name], id)
		}
	}
}

func (m *model) allocate() {
	door := []v0.Door{v0.DoorInstance, v0.DoorConfiguration}[m.pick(2)]
	var c container
	var slots []string
	for range 1 + m.pick(2) {
		name := m.name()
		id := v0.SlotID(name, m.pick(3))
		use := Use{Resource: resource(name, door), ID: id}
		if slices.Contains(m.uses(), use) {
			return // the kubelet never gives a device twice
		}
		c, slots = append(c, use), append(slots, id)
	}
	var err error
	m.refused = false
	if m.run(func() { err = m.ledger.Claim(m.t.Context(), door, slots) }) && err == nil {
		for _, id := range slots {
			m.excused[id] = m.refused
		}
		m.containers = append(m.containers, c)
	}
}

func (m *model) check() {
	m.t.Helper()
	used := make(map[string]Use)
	for _, u := range m.uses() {
		if other, twice := used[u.ID]; twice {
			m.t.Fatalf("slot %s is in use twice: %v and %v", u.ID, u, other)
		}
		used[u.ID] = u
		name, _, err := v0.ParseSlotID(u.ID)
		if err != nil {
			m.t.Fatal(err)
		}
		if holder := m.api[types.NamespacedName{Namespace: "ns", Name: name}][u.ID]; m.devices[name] && holder.Node != "a" && !m.excused[u.ID] {
			m.t.Fatalf("slot %s of a shared device is in use here, and the API says %q", u.ID, holder)
		}
	}
	for where, claims := range map[string][]Claim{"memory": m.ledger.Claims(), "disk": m.disk.Claims} {
		claimed := make(map[Use]bool)
		for _, c := range claims {
			claimed[c.Use()] = true
		}
		for _, u := range m.uses() {
			if !claimed[u] {
				m.t.Fatalf("slot %s is in use and not claimed in %s: %v", u.ID, where, claims)
			}
		}
	}
}

// checkOffer compares what slots look like with what a claim would say.
func (m *model) checkOffer() {
	m.t.Helper()
	for name := range m.capacity {
		for _, s := range m.ledger.Slots(types.NamespacedName{Namespace: "ns", Name: name}) {
			in := m.ledger.instances[name]
			for _, door := range []v0.Door{v0.DoorInstance, v0.DoorConfiguration} {
				ours := s.Here && !s.Withheld && s.Usage.Door == door
				if !ours && (!s.Usage.Free() || s.Withheld) {
					continue
				}
				if _, err := planClaim("a", in, s.Index, door); err != nil {
					m.t.Fatalf("slot %s looks free through door %s, and is refused: %v; it is %+v", s.ID, door, err, s)
				}
			}
		}
	}
}

func runModel(t *testing.T, input []byte) {
	m := &model{
		t: t, input: input, now: time.Unix(0, 0),
		api:      make(map[types.NamespacedName]map[string]v0.Usage),
		wanted:   make(map[types.NamespacedName]map[string]v0.Usage),
		seen:     make(map[types.NamespacedName]map[string]v0.Usage),
		excused:  make(map[string]bool),
		devices:  map[string]bool{"cam-0000a1": true, "cam-0000a2": true, "dog-0000b1": false},
		capacity: map[string]int{"cam-0000a1": 2, "dog-0000b1": 3},
	}
	for name := range m.devices {
		m.api[types.NamespacedName{Namespace: "ns", Name: name}] = make(map[string]v0.Usage)
	}
	m.quiet = true
	m.restart()
	m.quiet = false
	for len(m.input) > 0 {
		m.step()
		m.check()
		m.checkOffer()
	}

	m.quiet = true
	m.containers = nil
	for range 4 {
		m.flush()
		for name := range m.api {
			m.ledger.Observed(name, m.api[name])
		}
		m.now = m.now.Add(IdleGrace)
		m.ledger.Reconcile(m.now, View{Complete: true})
	}
	m.flush()
	if claims := m.ledger.Claims(); len(claims) > 0 {
		t.Fatalf("claims are left: %v", claims)
	}
	if len(m.disk.Claims) > 0 {
		t.Fatalf("claims are left on disk: %v", m.disk.Claims)
	}
	for name, usage := range m.api {
		for id, u := range usage {
			if u.Node == "a" {
				t.Fatalf("%s: slot %s is still ours in the API", name, id)
			}
		}
	}
}

func TestModel(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 100
	}
	for seed := range runs {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		input := make([]byte, 400)
		for i := range input {
			input[i] = byte(r.Uint32())
		}
		if !t.Run("", func(t *testing.T) { runModel(t, input) }) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte("claim, free, crash, and claim again"))
	f.Fuzz(func(t *testing.T, input []byte) { runModel(t, input) })
}
