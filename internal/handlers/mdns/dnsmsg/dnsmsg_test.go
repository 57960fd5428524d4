package dnsmsg

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packet reads what avahi-daemon has sent.
func packet(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func show(records []Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s %d", r.Name, r.Type)
		if r.Flush {
			b.WriteString(" flush")
		}
		fmt.Fprintf(&b, " %ds", r.TTL)
		switch r.Type {
		case TypePTR:
			fmt.Fprintf(&b, " %s", r.Target)
		case TypeSRV:
			fmt.Fprintf(&b, " %s:%d", r.Target, r.Port)
		case TypeTXT:
			fmt.Fprintf(&b, " %q", r.Text)
		default:
			fmt.Fprintf(&b, " %s", r.Addr)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// A dot in the name of a service is a byte like others.
func TestParse(t *testing.T) {
	records, err := Parse(packet(t, "avahi-announcement"))
	got := show(records)
	for _, want := range []string{
		`printer 2\.0, lobby._ipp._tcp.local 16 flush 4500s "\tUUID=7F3A\frp=ipp/print\x06Color=\x06Duplex"`,
		`_ipp._tcp.local 12 4500s Printer 2\.0, lobby._ipp._tcp.local`,
		`Printer 2\.0, lobby._ipp._tcp.local 33 flush 120s lobby.local:631`,
		`lobby.local 1 flush 120s 10.99.0.18`,
		`lobby.local 28 flush 120s fe80::`,
	} {
		if !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			t.Errorf("%v\n%s\nlacks %s", err, got, want)
		}
	}
	records, err = Parse(packet(t, "avahi-goodbye"))
	if got := show(records); !strings.Contains(got, `_ipp._tcp.local 12 0s Printer 2\.0, lobby._ipp._tcp.local`) {
		t.Errorf("%v\n%s", err, got)
	}
}

// message makes an answer of one record.
func message(name string, kind uint16, data string) []byte {
	b := make([]byte, headerBytes, 600)
	b[2], b[7] = 0x84, 1
	b = append(b, name...)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(b, 0, 1, 0, 0, 0, 120)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func TestParseFaults(t *testing.T) {
	good := message("\x01a\x00", TypePTR, "\x01b\xc0\x0c")
	if r, err := Parse(good); err != nil || show(r) != "a 12 120s b.a\n" {
		t.Fatalf("%v, %s", err, show(r))
	}
	with := func(at int, b byte) []byte {
		m := bytes.Clone(good)
		m[at] = b
		return m
	}
	for name, m := range map[string][]byte{
		"empty": {}, "short": good[:11], "question": with(2, 0), "opcode": with(2, 0x94), "rcode": with(3, 3),
		"more records": with(7, 2), "more questions": with(5, 9), "label type": with(12, 0x41),
		"forward pointer": message("\xc0\x20\x00", TypeA, "1234"), "itself": message("\xc0\x0c", TypeA, "1234"),
		"round": message("\x01a\xc0\x0c", TypeA, "1234"), "data too long": with(len(good)-5, 200),
		"A": message("\x00", TypeA, "123"), "AAAA": message("\x00", TypeAAAA, "1234"), "SRV": message("\x00", TypeSRV, "12345"),
		"PTR with more": message("\x00", TypePTR, "\x00\x00"), "PTR without": message("\x00", TypePTR, ""),
		"PTR past its data": message("\x00", TypePTR, "\x05ab"), "long": make([]byte, MaxMessage+1),
		"name too long": message(strings.Repeat("\x3f"+strings.Repeat("x", 63), 4)+"\x00", TypeA, "1234"),
	} {
		if r, err := Parse(m); err == nil {
			t.Errorf("%s: %s", name, show(r))
		}
	}
	other := message("\x01a\x00", 47, "\xff\xff") // a type that is not read
	if r, err := Parse(other); err != nil || len(r) != 0 {
		t.Errorf("%v, %v", r, err)
	}
	chaos := with(18, 3) // another class
	if r, err := Parse(chaos); err != nil || len(r) != 0 {
		t.Errorf("%v, %v", r, err)
	}
}

// Names through many pointers are not followed for long.
func TestPointers(t *testing.T) {
	chain := func(n int) []byte {
		m := message("\x01a\x00", 99, strings.Repeat("\xc0\x0c", n))
		data := len(m) - 2*n
		for i := 1; i < n; i++ {
			binary.BigEndian.PutUint16(m[data+2*i:], 0xc000|uint16(data+2*i-2))
		}
		m[7] = 2
		return append(m, binary.BigEndian.AppendUint16(nil, 0xc000|uint16(data+2*n-2))...)
	}
	m := append(chain(maxPointers-1), 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4)
	if r, err := Parse(m); err != nil || len(r) != 1 {
		t.Errorf("%v, %v", show(r), err)
	}
	m = append(chain(maxPointers), 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4)
	if _, err := Parse(m); err == nil {
		t.Error("a name goes through more pointers")
	}
}

func TestName(t *testing.T) {
	n := MustName("Bob's Printer v2.0 \\o/", "_IPP", "_tcp", "local")
	if got := n.String(); got != `Bob's Printer v2\.0 \\o/._IPP._tcp.local` {
		t.Errorf("%s", got)
	}
	if n.First() != "Bob's Printer v2.0 \\o/" || n.Parent() != MustName("_IPP", "_tcp", "local") || n.Parent().Child(n.First()) != n {
		t.Errorf("%q, %q", n.First(), n.Parent())
	}
	if n.Key() != MustName("bob's printer v2.0 \\O/", "_ipp", "_TCP", "LOCAL").Key() || MustName("Ä").Key() == MustName("ä").Key() {
		t.Error("case")
	}
	long := strings.Repeat("x", 63)
	if MustName(long, long, long, long) != "" || MustName("") != "" || MustName(long+"x") != "" || MustName(long, long, long).Child(long) != "" {
		t.Error("a name that is too long")
	}
	if n, err := ParseName("_ipp._tcp.local"); err != nil || n != MustName("_ipp", "_tcp", "local") {
		t.Errorf("%q, %v", n, err)
	}
	if _, err := ParseName("a..b"); err == nil {
		t.Error("an empty label")
	}
	for label, want := range map[string]bool{"ok": true, "ä 2.0": true, "bell\a": false, "\xff": false} {
		if MustName("a", label).Readable() != want || Name("").Readable() {
			t.Errorf("%q", label)
		}
	}
}

func TestQueries(t *testing.T) {
	ipp := MustName("_ipp", "_tcp", "local")
	got := Queries([]Question{{Name: ipp, Type: TypePTR, Unicast: true, Known: []Record{
		{Name: ipp, Type: TypePTR, TTL: 4000, Target: ipp.Child("a")},
	}}, {Name: ipp.Child("a"), Type: TypeSRV}}, 1440)
	want := "000000000002000100000000" + "045f697070045f746370056c6f63616c00" + "000c8001" + "0161c00c" + "00210001" +
		"c00c" + "000c0001" + "00000fa0" + "0002" + "c021"
	if len(got) != 1 || hex.EncodeToString(got[0]) != want {
		t.Errorf("%x", got)
	}
	if Queries(nil, 100) != nil {
		t.Error("a message of nothing")
	}
	// Known answers without room are in messages that follow, without questions.
	q := Question{Name: ipp, Type: TypePTR}
	for i := range 100 {
		q.Known = append(q.Known, Record{Name: ipp, Type: TypePTR, TTL: 4000, Target: ipp.Child(fmt.Sprintf("known answer %d", i))})
	}
	got = Queries([]Question{q}, 500)
	questions, answers := 0, 0
	for i, m := range got {
		more := binary.BigEndian.Uint16(m[2:])&bitTruncated != 0
		if len(m) > 500 || more != (i < len(got)-1) {
			t.Errorf("message %d of %d has %d bytes, more comes: %v", i, len(got), len(m), more)
		}
		questions += int(m[5])
		answers += int(m[7])
		m[2] |= 0x80 // as an answer it can be read
		if r, err := Parse(m); err != nil || len(r) != int(m[7]) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if questions != 1 || answers != 100 || len(got) < 3 {
		t.Errorf("%d messages with %d questions and %d answers", len(got), questions, answers)
	}
	var many []Question
	for i := range 100 {
		many = append(many, Question{Name: ipp.Child(fmt.Sprint(i)), Type: TypeSRV})
	}
	questions = 0
	for _, m := range Queries(many, 300) {
		questions += int(m[5])
		if len(m) > 300 || m[2] != 0 {
			t.Errorf("%d bytes, bits %x", len(m), m[2])
		}
	}
	if questions != 100 {
		t.Errorf("%d questions", questions)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(packet(f, "avahi-announcement"))
	f.Add(message("\x01a\x00", TypeTXT, "\x03a=b"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		records, err := Parse(msg)
		if err != nil {
			return
		}
		if len(records) > len(msg)/11 {
			t.Fatalf("%d records in %d bytes", len(records), len(msg))
		}
		for _, r := range records {
			for n := r.Name; ; n = n.Parent() { // is well formed
				_, _, _ = n.First(), n.Key(), n.String()
				if n == "" {
					break
				}
			}
			if len(r.Name) >= maxName || len(r.Target) >= maxName || len(r.Text) > len(msg) {
				t.Fatalf("%+v", r)
			}
			q := Queries([]Question{{Name: r.Name, Type: r.Type, Known: []Record{{Name: r.Name, Target: r.Target}}}}, 1440)
			if len(q) != 1 {
				t.Fatalf("%d messages", len(q))
			}
		}
	})
}
