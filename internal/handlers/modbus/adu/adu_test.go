package adu

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What real servers sent: pymodbus 3.0.0 (all that is regular in one answer, a
// private object, a register, coils, an exception) and modbus-serial 8.0.25 (an
// answer of two, the second with a private object; an exception).
var packets = []string{
	"000700000047012b0e0283000007000950756d707320496e630103502d370203312e32031568747470733a2f2f70756d70732e6578616d706c6504" +
		"0450756d700503503778060670756d702d33",
	"00070000000a012b0e04830000018000",
	"0007000000050103020011", "0007000000050101020000", "000700000003018302",
	"000700000082032b0e0282ff0303007056616c76657320476d624820" + strings.Repeat("78", 100) + "0103562d33020133",
	"00070000009d032b0e028200000503" + "78" + strings.Repeat("79", 120) + "040556616c7665050156060776616c766520338006532d34373131",
	"000700000010ff2b0e04820000018006532d34373131", "00070000000301ab01",
}

// pdu returns that of a packet.
func pdu(t testing.TB, i int) []byte {
	t.Helper()
	b := unhex(t, packets[i])
	h, err := ParseHeader(b[:HeaderBytes])
	if err != nil || h.Transaction != 7 || h.PDUBytes != len(b)-HeaderBytes {
		t.Fatalf("%s: %+v, %v", packets[i], h, err)
	}
	return b[HeaderBytes:]
}

func TestHeader(t *testing.T) {
	b := Append([]byte{}, 0x1234, 9, Read(3, 0x0102, 5))
	if got := hex.EncodeToString(b); got != "123400000006090301020005" {
		t.Errorf("%s", got)
	}
	h, err := ParseHeader(b[:HeaderBytes])
	if err != nil || h != (Header{0x1234, 9, 5}) {
		t.Errorf("%+v, %v", h, err)
	}
	for _, bad := range []string{"", "00000000000609", "48545450 2f312e", "00010001000609", "00010000000109", "00010000000009", "0001000000ff09", "0001000"} {
		b, _ := hex.DecodeString(strings.ReplaceAll(bad, " ", ""))
		h, err := ParseHeader(b)
		if bad == "00000000000609" {
			if err != nil || h.PDUBytes != 5 {
				t.Errorf("%s: %v", bad, err)
			}
		} else if !errors.Is(err, ErrNotModbus) {
			t.Errorf("%s: %+v, %v", bad, h, err)
		}
	}
	if h, err := ParseHeader(unhex(t, "0001000000fe09")); err != nil || h.PDUBytes != MaxPDUBytes {
		t.Errorf("the longest: %+v, %v", h, err)
	}
}

func TestExceptions(t *testing.T) {
	for _, tt := range []struct {
		e                     Exception
		gateway, noPath, busy bool
		text                  string
	}{
		{1, false, false, false, "exception 1 (illegal function)"}, {2, false, false, false, "exception 2 (illegal data address)"},
		{5, false, false, true, "exception 5 (acknowledge)"}, {6, false, false, true, "exception 6 (server device busy)"},
		{10, true, true, false, "exception 10 (gateway path unavailable)"},
		{11, true, false, false, "exception 11 (gateway target device failed to respond)"}, {77, false, false, false, "exception 77"},
	} {
		if tt.e.OfGateway() != tt.gateway || tt.e.NoPath() != tt.noPath || tt.e.Busy() != tt.busy || tt.e.Error() != tt.text {
			t.Errorf("%d: %v, %v, %v, %s", tt.e, tt.e.OfGateway(), tt.e.NoPath(), tt.e.Busy(), tt.e)
		}
	}
}

func TestCheckRead(t *testing.T) {
	registers, coils := Read(3, 0, 1), Read(1, 0, 9)
	var e Exception
	for _, tt := range []struct {
		request []byte
		answer  string
		want    string // part of the error
	}{
		{registers, hex.EncodeToString(pdu(t, 2)), ""}, {coils, hex.EncodeToString(pdu(t, 3)), ""},
		{registers, hex.EncodeToString(pdu(t, 4)), "exception 2"},
		{registers, "0302001100", "4 bytes are answered"}, {registers, "030300", "2 bytes"}, {registers, "03", "0 bytes"},
		{registers, "04020011", "function 3 is answered with function 4"}, {registers, "83", "without a code"}, {registers, "8300", "without a code"},
		{registers, "8402", "with function 132"}, {registers, "", "empty"}, {coils, "010100", "2 bytes"},
	} {
		err := CheckRead(tt.request, unhex(t, tt.answer))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || errors.As(err, &e) != strings.HasPrefix(tt.want, "exception") {
			t.Errorf("%s: %v, want %s", tt.answer, err, tt.want)
		}
	}
}

// says makes an answer to Read Device Identification.
func says(code, conformity byte, more bool, next byte, objects ...string) []byte {
	b := []byte{0x2B, 0x0E, code, conformity, 0, next, byte(len(objects))}
	if more {
		b[4] = 0xFF
	}
	for _, o := range objects {
		b = append(append(b, o[0], byte(len(o)-1)), o[1:]...)
	}
	return b
}

var refused = func(e byte) []byte { return []byte{0xAB, e} }

func TestIdentify(t *testing.T) {
	for _, tt := range []struct {
		name     string
		private  byte
		answers  [][]byte
		requests string // codes and objects
		objects  string
		own      string
		err      string
	}{
		{"pymodbus", 0, [][]byte{pdu(t, 0)}, "2/0", "Pumps Inc|P-7|1.2|https://pumps.example|Pump|P7x|pump-3", "", ""},
		{"pymodbus has no private object", 0x80, [][]byte{pdu(t, 0), pdu(t, 1)}, "2/0 4/128", "Pumps Inc|P-7|1.2|https://pumps.example|Pump|P7x|pump-3", "", ""},
		{"modbus-serial", 0x80, [][]byte{pdu(t, 5), pdu(t, 6), pdu(t, 7)}, "2/0 2/3 4/128",
			"Valves GmbH " + strings.Repeat("x", 100) + "|V-3|3|" + strings.Repeat("y", 120) + "|Valve|V|valve 3", "S-4711", ""},
		{"modbus-serial, not", 0, [][]byte{pdu(t, 8)}, "2/0", "", "", "exception 1"},
		{"basic alone", 0, [][]byte{says(2, 0x01, false, 0, "\x00V", "\x01C", "\x021")}, "2/0", "V|C|1||||", "", ""},
		{"an object for each answer", 0, [][]byte{says(2, 0x82, true, 1, "\x00V"), says(2, 0x82, true, 2, "\x01C"), says(2, 0x82, false, 0, "\x021")},
			"2/0 2/1 2/2", "V|C|1||||", "", ""},
		{"knows only basic", 0, [][]byte{refused(3), says(1, 0x81, false, 0, "\x00V", "\x01C", "\x021")}, "2/0 1/0", "V|C|1||||", "", ""},
		{"regular without basic", 0, [][]byte{says(2, 0x82, false, 0, "\x04P"), says(1, 0x82, false, 0, "\x00V")}, "2/0 1/0", "V||||P||", "", ""},
		{"regular, and no basic", 0, [][]byte{says(2, 0x82, false, 0, "\x04P"), refused(3)}, "2/0 1/0", "||||P||", "", ""},
		{"neither", 0, [][]byte{refused(3), refused(2)}, "2/0 1/0", "", "", "exception 2"},
		{"busy", 0, [][]byte{refused(6)}, "2/0", "", "", "exception 6"},
		{"nobody behind the gateway", 0, [][]byte{refused(11)}, "2/0", "", "", "exception 11"},
		{"nothing to say", 0, [][]byte{says(2, 1, false, 0), says(1, 1, false, 0)}, "2/0 1/0", "||||||", "", ""},
		{"a private object of bytes", 0x90, [][]byte{says(2, 0x83, false, 0, "\x00V"), says(4, 0x83, false, 0, "\x90\x00\x07\xff")}, "2/0 4/144", "V||||||", "0007ff", ""},
		{"no private object", 0x90, [][]byte{says(2, 0x83, false, 0, "\x00V"), refused(2)}, "2/0 4/144", "V||||||", "", ""},
		{"another private object", 0x90, [][]byte{says(2, 0x83, false, 0, "\x00V"), says(4, 0x83, false, 0, "\x91x")}, "2/0 4/144", "V||||||", "", ""},
		{"a private object that is busy", 0x90, [][]byte{says(2, 0x83, false, 0, "\x00V"), refused(6)}, "2/0 4/144", "", "", "exception 6"},
		{"filled", 0, [][]byte{says(2, 1, false, 0, "\x00V 1  \x00\x00", "\x01\xffC\n\x1b[2Jx")}, "2/0", "V 1|?C  [2Jx|||||", "", ""},
		{"private ones among them", 0, [][]byte{says(2, 0x83, true, 0x80, "\x00V", "\x80secret")}, "2/0", "V||||||", "", ""},
		{"more of the same, for ever", 0, [][]byte{says(2, 1, true, 0, "\x00V")}, "2/0", "V||||||", "", ""},
		{"backwards", 0, [][]byte{says(2, 1, true, 5, "\x00V"), says(2, 1, true, 4, "\x01C")}, "2/0 2/5", "V|C|||||", "", ""},
		{"the second answer is bad", 0, [][]byte{says(2, 1, true, 3, "\x00V"), {0x2B, 0x0E}}, "2/0 2/3", "", "", "the identification begins with"},
		{"too few objects", 0, [][]byte{append(says(2, 1, false, 0, "\x00V"), 0)[:8]}, "2/0", "", "", "ends after 0 of 1 objects"},
		{"a length beyond the end", 0, [][]byte{{0x2B, 0x0E, 2, 1, 0, 0, 1, 0, 200, 'x'}}, "2/0", "", "", "ends after 0 of 1"},
		{"255 objects of nothing", 0, [][]byte{append([]byte{0x2B, 0x0E, 2, 1, 0, 0, 255}, make([]byte, 246)...)}, "2/0", "", "", "ends after 123 of 255"},
		{"another MEI type", 0, [][]byte{{0x2B, 0x0D, 2, 1, 0, 0, 0}}, "2/0", "", "", "the identification begins with"},
		{"another function", 0, [][]byte{{3, 2, 0, 0}}, "2/0", "", "", "function 43 is answered with function 3"},
	} {
		r := Identify(tt.private)
		var asked []string
		var err error
		for i := 0; r.Request() != nil && err == nil; i++ {
			q := r.Request()
			asked = append(asked, strings.Join([]string{string('0' + rune(q[2])), strconv.Itoa(int(q[3]))}, "/"))
			if i == len(tt.answers) {
				t.Errorf("%s: it asks for more: %v", tt.name, asked)
				break
			}
			err = r.Take(tt.answers[i])
		}
		got := ""
		if err == nil {
			o := r.Found().Objects
			got = strings.Join(o[:], "|")
		}
		if strings.Join(asked, " ") != tt.requests || got != tt.objects || r.Found().Private != tt.own && err == nil ||
			(err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: asked %v, got %q and %q, %v", tt.name, asked, got, r.Found().Private, err)
		}
		if err != nil && r.Request() != nil {
			t.Errorf("%s: it asks on after %v", tt.name, err)
		}
	}
	if c := func() byte { r := Identify(0); _ = r.Take(pdu(t, 0)); return r.Found().Conformity }(); c != 0x83 {
		t.Errorf("conformity level %x", c)
	}
}

// FuzzAnswers feeds a unit's answers to all that reads them: they are taken from
// the bytes in turn, each after a header.
func FuzzAnswers(f *testing.F) {
	for i := range packets {
		f.Add(unhex(f, packets[i]), byte(0x80))
	}
	f.Add(slices.Concat(unhex(f, packets[5]), unhex(f, packets[6]), unhex(f, packets[7])), byte(0x80))
	f.Fuzz(func(t *testing.T, b []byte, private byte) {
		r := Identify(private)
		requests := 0
		for len(b) >= HeaderBytes && r.Request() != nil {
			h, err := ParseHeader(b[:HeaderBytes])
			if err != nil {
				break
			}
			if h.PDUBytes < 1 || h.PDUBytes > MaxPDUBytes {
				t.Fatalf("%+v", h)
			}
			b = b[HeaderBytes:]
			answer := b[:min(len(b), h.PDUBytes)]
			b = b[len(answer):]
			for _, request := range [][]byte{Read(1, 0, 9), Read(3, 0, 1)} {
				_ = CheckRead(request, answer)
			}
			_ = r.Take(answer)
			requests++
		}
		if requests > 2*maxPages+1 {
			t.Errorf("%d requests", requests)
		}
		found := r.Found()
		for _, text := range append(found.Objects[:], found.Private) {
			if !utf8.ValidString(text) || len(text) > 2*245 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", text)
			}
		}
	})
}
