package trim

import (
	"bytes"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const smaps = `00400000-00a83000 r-xp 00000000 fe:00 10002444                           /srv/my program
Size:               6668 kB
Rss:                6028 kB
Pss:                6028 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00a83000-011a5000 r--p 00683000 fe:00 10002444                           /srv/my program
Rss:                7176 kB
Anonymous:             0 kB
011a5000-01200000 r--p 00da5000 fe:00 10002444                           /srv/my program
Rss:                  92 kB
Anonymous:             4 kB
01200000-01216000 rw-p 00da5000 fe:00 10002444                           /srv/my program
Rss:                  92 kB
Anonymous:             0 kB
01216000-01217000 r--p 00da5000 fe:00 10002444                           /srv/my program
Rss:                   0 kB
Anonymous:             0 kB
204dc2c00000-204dc4000000 rw-p 00000000 00:00 0
Rss:                8040 kB
Anonymous:          8040 kB
7f629c000000-7f629c001000 r--p 00000000 fe:00 1                          /lib/libc.so
Rss:                   4 kB
Anonymous:             0 kB
`

func TestDroppable(t *testing.T) {
	for _, c := range []struct {
		name, smaps string
		want        []region
		wrong       bool
	}{
		{"nothing", "", nil, false},
		// Not what was relocated, can be written, is another's or not there.
		{"a program", smaps, []region{{0x400000, 0xa83000, 6028 << 10}, {0xa83000, 0x11a5000, 7176 << 10}}, false},
		{"one that does not say what is its own", "00400000-00a83000 r-xp 00000000 fe:00 1 /srv/my program\nRss: 4 kB\n", nil, false},
		{"not an address", "004-zz r-xp 00000000 fe:00 1 /srv/my program\n", nil, true},
		{"backwards", "5-4 r-xp 00000000 fe:00 1 /srv/my program\n", nil, true},
		{"not a number", "4-5 r-xp 00000000 fe:00 1 /srv/my program\nRss: many kB\n", nil, true},
	} {
		got, err := droppable(strings.NewReader(c.smaps), "/srv/my program")
		if (err != nil) != c.wrong || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// The file of this test is read again afterwards, and fewer of its pages are
// resident.
func TestNow(t *testing.T) {
	before := resident(t)
	given, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	after := resident(t)
	t.Logf("resident of the file: %d KiB, then %d; %d given back", before>>10, after>>10, given>>10)
	if given == 0 || after >= before {
		t.Errorf("%d bytes of the file are resident, %d before; %d were given back", after, before, given)
	}
}

func resident(t *testing.T) (bytes int) {
	t.Helper()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	all, err := droppable(strings.NewReader(string(raw)), exe)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		bytes += r.resident
	}
	return bytes
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		stop := Start(t.Context(), slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})))
		time.Sleep(afterStart + 2*interval + time.Second)
		stop()
		if n := strings.Count(said.String(), "given back"); n != 3 {
			t.Errorf("%d times:\n%s", n, said.String())
		}
	})
}
