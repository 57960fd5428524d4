package guest

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The archive as the kernel's documentation has it, read back field by field. That
// the kernel can read it is shown by every guest that starts.
func TestArchive(t *testing.T) {
	files := complete([]file{
		program("init", []byte("12345")),
		{name: "dev/console", mode: unix.S_IFCHR | 0o600, major: 5, minor: 1},
		program("a/b/c", nil),
	})
	var b strings.Builder
	if err := writeArchive(&b, files); err != nil {
		t.Fatal(err)
	}
	rest := b.String()
	take := func(n int) (s string) {
		if len(rest) < n {
			t.Fatalf("it ends too early")
		}
		s, rest = rest[:n], rest[n:]
		return s
	}
	skip := func() { take((4 - (b.Len()-len(rest))%4) % 4) }
	var got []string
	for len(rest) > 0 {
		if magic := take(6); magic != "070701" {
			t.Fatalf("after %v: %q", got, magic)
		}
		var fields [13]uint32
		for i := range fields {
			raw, err := hex.DecodeString(take(8))
			if err != nil {
				t.Fatal(err)
			}
			fields[i] = binary.BigEndian.Uint32(raw)
		}
		name := take(int(fields[11]))
		skip()
		data := take(int(fields[6]))
		skip()
		text := strings.TrimSuffix(name, "\x00")
		switch fields[1] & unix.S_IFMT {
		case unix.S_IFDIR:
			text += "/"
		case unix.S_IFCHR:
			if fields[9] != 5 || fields[10] != 1 {
				t.Errorf("%s is %d:%d", name, fields[9], fields[10])
			}
		}
		got = append(got, text+data)
	}
	want := "a/ a/b/ a/b/c dev/ dev/console init12345 TRAILER!!!"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	for _, name := range []string{"", "/init"} {
		if err := writeArchive(&b, []file{{name: name}}); err == nil {
			t.Errorf("%q is written", name)
		}
	}
}
