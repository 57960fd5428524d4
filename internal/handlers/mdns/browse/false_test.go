package browse

import (
	"net/netip"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
)

// Good-byes by the thousand, for others' devices, make nobody ask all the time.
func TestFalseGoodbyes(t *testing.T) {
	b := newBench(t)
	b.hear(one, all("a", "p", one)...)
	b.wait(time.Hour)
	b.hear(one, all("a", "p", one)...)
	asked := 0
	for range 1000 {
		b.hear(two, ptr("a", 0))
		b.wait(time.Millisecond)
		if n := b.count(ipp, dnsmsg.TypePTR); n > 0 {
			asked += n
			b.hear(one, ptr("a", 4500))
		}
	}
	if asked < 1 || asked > 2 {
		t.Errorf("asked %d times in a second", asked)
	}
	b.hear(one, ptr("a", 4500))
	b.want("a@10.0.0.11")
}

// Whatever of a device another says good-bye for, it is asked for at once: it stays
// if it answers, and nothing of it is missing meanwhile.
func TestFalseGoodbyesOfAll(t *testing.T) {
	records := all("a", "p", one)
	for n, r := range records {
		b := newBench(t)
		b.hear(one, records...)
		b.wait(10 * time.Second)
		r.TTL = 0
		b.hear(two, r)
		b.wait(leastRest + time.Millisecond)
		if got := b.count(r.Name, r.Type); got != 1 || len(b.asked) != 1 || b.asked[0].Over != Both {
			t.Errorf("record %d: asked %+v", n, b.asked)
		}
		b.hear(one, records[n])
		b.wait(2 * time.Second)
		b.want("a@10.0.0.11")
		b.hear(one, r) // its own is not doubted
		b.wait(900 * time.Millisecond)
		if len(b.asked) > 0 {
			t.Errorf("record %d: asked %+v", n, b.asked)
		}
	}
}

// Who is there may have said it just before, and then says it again only after a
// second. A good-bye of its own that follows another's counts as such.
func TestFalseGoodbyeAsked(t *testing.T) {
	b := newBench(t)
	b.wait(time.Hour)
	b.hear(one, all("a", "p", one)...)
	b.hear(two, ptr("a", 0))
	b.wait(2 * time.Second)
	if n := b.count(ipp, dnsmsg.TypePTR); n != 3 {
		t.Errorf("asked %d times: %+v", n, b.asked)
	}
	b.want("a@10.0.0.11")
	b.hear(one, ptr("a", 0))
	b.wait(999 * time.Millisecond)
	b.want("a@10.0.0.11")
	b.wait(time.Millisecond)
	b.want("")
}

// Whoever says that a host is at his own address has its place only if the host
// does not answer.
func TestTakenPlace(t *testing.T) {
	for _, answers := range []bool{true, false} {
		b := newBench(t)
		b.hear(one, all("a", "p", one)...)
		b.wait(10 * time.Second)
		b.hear(two, addr("p", two, 120))
		b.want("a@10.0.0.11")
		b.wait(leastRest + time.Millisecond)
		if b.count(local.Child("p"), dnsmsg.TypeA) != 1 {
			t.Errorf("asked %+v", b.asked)
		}
		if !answers {
			b.wait(doubtDelay)
			b.want("a@10.0.0.12")
			continue
		}
		b.hear(one, addr("p", one, 120))
		b.wait(10 * time.Second)
		b.want("a@10.0.0.11")
	}
}

// A host that others have given all the addresses it can have still gets another.
func TestManyAddresses(t *testing.T) {
	b := newBench(t)
	b.hear(one, all("a", "p", one)...)
	for n := range maxAddresses {
		r := addr("p", netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + n)}), 120)
		r.Flush = false
		b.hear(two, r)
	}
	b.wait(2 * time.Second)
	moved := netip.MustParseAddr("10.0.0.20")
	b.hear(one, addr("p", moved, 120))
	b.wait(doubtDelay)
	b.want("a@10.0.0.20")
}
