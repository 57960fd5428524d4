package browse

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
)

// crowd is devices that answer what they are asked, as Avahi does.
type crowd struct {
	records map[string][]dnsmsg.Record // by the key of the name and the type
	from    map[string]netip.Addr
}

func newCrowd(n int) *crowd {
	c := &crowd{map[string][]dnsmsg.Record{}, map[string]netip.Addr{}}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 0, byte(1 + i>>8), byte(i)})
		for _, r := range all(fmt.Sprintf("Device %d", i), fmt.Sprintf("host-%d", i), a) {
			k := fmt.Sprint(r.Name.Key(), r.Type)
			c.records[k] = append(c.records[k], r)
			c.from[k+r.Target.Key()] = a
		}
	}
	return c
}

// idle lets hours pass in which all is as it was, and returns how many messages
// were sent in each minute.
func (b *bench) idle(c *crowd, d time.Duration) (perMinute float64) {
	messages := 0
	for end := b.now.Add(d); !b.link.Next().After(end); {
		b.now = b.link.Next()
		questions, changed := b.link.Due(b.now)
		if changed {
			b.t.Fatalf("a device is lost after %s", b.now.Sub(t0))
		}
		var list []dnsmsg.Question
		for _, q := range questions {
			list = append(list, q.Question)
			known := map[string]bool{}
			for _, k := range q.Known {
				known[k.Target.Key()] = true
			}
			b.now = b.now.Add(time.Millisecond)
			k := fmt.Sprint(q.Name.Key(), q.Type)
			for _, r := range c.records[k] {
				if !known[r.Target.Key()] {
					b.hear(c.from[k+r.Target.Key()], r)
				}
			}
		}
		messages += len(dnsmsg.Queries(list, 1440))
	}
	return float64(messages) / d.Minutes()
}

// While nothing changes little is asked, however many devices there are.
func TestIdle(t *testing.T) {
	for _, tt := range []struct {
		devices int
		most    float64 // messages in a minute, on one interface over one version of IP
		during  time.Duration
	}{{0, 0.1, 24 * time.Hour}, {1, 1, 6 * time.Hour}, {10, 1, 6 * time.Hour}, {500, 12, 20 * time.Minute}} {
		b := newBench(t)
		c := newCrowd(tt.devices)
		for _, list := range c.records {
			for _, r := range list {
				if r.Type == dnsmsg.TypePTR {
					b.hear(one, r)
				}
			}
		}
		b.idle(c, time.Minute) // all is asked
		if got, _ := b.link.Services([]dnsmsg.Name{ipp}); len(got) != tt.devices {
			t.Fatalf("%d devices of %d", len(got), tt.devices)
		}
		perMinute := b.idle(c, tt.during)
		t.Logf("%d devices: %.2f messages a minute", tt.devices, perMinute)
		if perMinute > tt.most {
			t.Errorf("%d devices: %.2f messages a minute, at most %.1f should do", tt.devices, perMinute, tt.most)
		}
	}
}

// Services that say as much as they can take a bounded memory.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b := newBench(t)
	const devices = MaxInstances / 8
	for i := range devices {
		label := strings.Repeat("x", 50) + fmt.Sprint(i)
		records := all(label, label, netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}))
		records[1].Text = make([]byte, 8000) // as many empty strings
		for n := range 20 {
			records = append(records, addr(label, netip.AddrFrom4([4]byte{10, byte(3 + n), byte(i >> 8), byte(i)}), 120))
		}
		b.hear(records[0].Addr, records...)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d services take %d KiB each", devices, used/devices>>10)
	if len(b.link.instances) != devices || used > devices*6<<10 {
		t.Errorf("%d services take %d KiB", len(b.link.instances), used>>10)
	}
	runtime.KeepAlive(b)
}

// Services that end all the time make nobody ask all the time, nor send all that is
// known with each question.
func TestShortLives(t *testing.T) {
	b := newBench(t)
	asked, messages, most := 0, 0, 0
	for i := range 40_000 { // 40 s
		at := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		r := ptr(fmt.Sprint("x", i%MaxPerLink), 10)
		b.hear(at, r)
		b.wait(time.Millisecond)
		var list []dnsmsg.Question
		for _, q := range b.asked {
			list = append(list, q.Question)
			if q.Type == dnsmsg.TypePTR {
				asked++
			}
		}
		n := len(dnsmsg.Queries(list, 1440))
		messages, most = messages+n, max(most, n)
	}
	t.Logf("%d questions for the type, %d messages, %d at once", asked, messages, most)
	if asked > 45 || most > 60 {
		t.Errorf("%d questions for the type in 40 s, %d messages at once", asked, most)
	}
}

func FuzzHear(f *testing.F) {
	f.Add([]byte("\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x04_ipp\x04_tcp\x05local\x00\x00\x0c\x00\x01\x00\x00\x00\x78\x00\x04\x01a\xc0\x0c"), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		l := NewLink("eth0", &Census{})
		now := t0
		l.Want([]Wanted{{ipp, ipp}}, now)
		for _, m := range [][]byte{first, second} {
			records, err := dnsmsg.Parse(m)
			if err != nil {
				continue
			}
			l.Hear(records, one, V4, now)
			for range 4 {
				now = now.Add(30 * time.Second)
				l.Due(now)
				l.Services([]dnsmsg.Name{ipp})
			}
		}
		l.Want(nil, now)
		if len(l.instances)+len(l.hosts)+l.census.total+len(l.census.sources) != 0 {
			t.Error("something is left")
		}
	})
}

// A flood is bounded: for each sender, in all, in what is kept and in what is asked.
func TestFlood(t *testing.T) {
	b := newBench(t)
	full := 0
	for i := range 3 * MaxPerSource {
		full += b.hear(one, ptr(fmt.Sprint("x", i), 1)).Full
	}
	if full != 2*MaxPerSource {
		t.Errorf("%d were left out", full)
	}
	b.hear(two, all("b", "q", two)...)
	b.want(fmt.Sprintf("b@10.0.0.12 +%d", MaxPerSource))
	for i := range MaxPerLink + 100 {
		from := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		b.hear(from, ptr(fmt.Sprint("y", i), 4500), txt(fmt.Sprint("y", i), strings.Repeat("z", 255), 1))
	}
	if len(b.link.instances) != MaxPerLink {
		t.Errorf("%d instances", len(b.link.instances))
	}
	other := NewLink("eth1", b.link.census)
	other.Want([]Wanted{{ipp, ipp}}, b.now)
	if h := other.Hear(all("c", "r", two), two, V4, b.now); h.Full > 0 || len(other.instances) != 1 {
		t.Error("who fills one network leaves nothing to another")
	}
	b.wait(0)
	for range 20 {
		next := b.link.Next()
		q, _ := b.link.Due(next)
		if len(q) > maxQuestions+1 {
			t.Errorf("%d questions at once", len(q))
		}
		if again := b.link.Next(); len(q) >= maxQuestions && again.Sub(next) != pause {
			t.Errorf("more are asked after %s", again.Sub(next))
		}
	}
	b.link.Due(t0.Add(15 * time.Second)) // a time to live of a second is taken as ten
	for _, i := range b.link.instances {
		if strings.HasPrefix(i.name.First(), "x") {
			t.Fatal("what is not there does not end")
		}
	}
	long := make([]byte, 0, 9000)
	for range 30 {
		long = append(append(long, 255), make([]byte, 255)...)
	}
	if n := len(clip(long)); n != 2048 {
		t.Errorf("%d bytes are kept", n)
	}
	if clip([]byte{5, 'a'}) != "" || clip(nil) != "" {
		t.Error("half a string is kept")
	}
}
