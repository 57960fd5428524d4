package edgev1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// examples has one message of each kind with all its fields.
var examples = []Message{
	&Hello{Protocol: Protocol, Version: "v0.1.0", Node: "edge-1", Boot: "b", Store: "s", PingInterval: 20 * time.Second},
	&Goodbye{Reason: "NodeReset", Message: "join again", RetryAfter: -1},
	&Ping{ID: 1},
	&Pong{ID: 1 << 63},
	&Interest{ID: 1, Group: "akri.sh", Version: "v0", Resource: "instances", Namespace: "n", FieldSelector: "spec.nodeName=<x>",
		LabelSelector: "a in (b,c)", As: As{ServiceAccount: "n/a", Pod: "p", PodUID: "u", Component: "kube-proxy"}, Get: true},
	&Forget{ID: 2},
	&Have{ID: 3, Digest: []byte{0, 1, 255}, Items: []Item{{"n", "a", "u", "7"}, {Name: "ü", UID: "{", Version: ""}}},
	&Differ{ID: 4},
	&Put{ID: 5, Version: "8", Object: []byte(`{"kind":"Pod"}`)},
	&Gone{ID: 6, Item: Item{Namespace: "n", Name: "a", UID: "u"}},
	&Synced{ID: 7, Version: "9"},
	&Refused{ID: 8, Code: 403, Reason: "Forbidden", Message: "no"},
	&Call{ID: 9, Method: "POST", Path: "/api/v1/x", Query: "a=b", ContentType: "application/json", Accept: "*/*",
		Timeout: time.Minute, Body: []byte{0, 1, 2}},
	&Cancel{ID: 10},
	&Reply{ID: 11, Status: 201, ContentType: "application/json", Warnings: []string{"w"}, RetryAfter: time.Second, Body: []byte("{}")},
}

func encode(t testing.TB, m Message) []byte {
	t.Helper()
	data, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	seen := map[Kind]bool{}
	for _, m := range examples {
		seen[KindOf(m)] = true
		got, err := Decode(encode(t, m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", KindOf(m), got, err)
		}
		empty := newMessage(KindOf(m))
		got, err = Decode(encode(t, empty))
		if err != nil || !bytes.Equal(encode(t, got), encode(t, empty)) {
			t.Errorf("empty %s: %+v, %v", KindOf(m), got, err)
		}
		if name := reflect.TypeOf(m).Elem().Name(); KindOf(m).String() != name {
			t.Errorf("%s is called %s", name, KindOf(m))
		}
	}
	for k := range 256 {
		if (newMessage(Kind(k)) != nil) != seen[Kind(k)] {
			t.Errorf("no example of %s", Kind(k))
		}
	}
}

// The numbers and the form on the wire never change.
func TestWire(t *testing.T) {
	want := "\x09" + "\x16" + `{"id":5,"version":"8"}` + `{"kind":"Pod"}`
	if got := encode(t, &Put{ID: 5, Version: "8", Object: []byte(`{"kind":"Pod"}`)}); string(got) != want {
		t.Errorf("%q", got)
	}
	if KindHello != 1 || KindReply != 15 {
		t.Error("kinds have other numbers")
	}
	// A later version may have more fields.
	later := raw(KindPing, `{"id":7,"hop":[{"x":1}]}`, "")
	if m, err := Decode(later); err != nil || m.(*Ping).ID != 7 {
		t.Errorf("%v, %v", m, err)
	}
}

// raw is a message that Append would perhaps not write.
func raw(k Kind, header, body string) []byte {
	b := binary.AppendUvarint([]byte{byte(k)}, uint64(len(header)))
	return append(append(b, header...), body...)
}

func TestDecodeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":               {nil, "empty"},
		"no length":             {[]byte{byte(KindPing)}, "length"},
		"a length without end":  {append([]byte{byte(KindPing)}, bytes.Repeat([]byte{0xff}, 20)...), "length"},
		"longer than it is":     {[]byte{byte(KindPing), 3, '{', '}'}, "length"},
		"length beyond int":     {binary.AppendUvarint([]byte{byte(KindPing)}, 1<<63+5), "length"},
		"no JSON":               {raw(KindPing, "x", ""), "decode Ping"},
		"JSON of another form":  {raw(KindPing, `[]`, ""), "decode Ping"},
		"an empty header":       {raw(KindPing, "", ""), "decode Ping"},
		"a body it cannot have": {raw(KindPing, "{}", "x"), "1 bytes after"},
		"a long header":         {raw(KindCall, `{"path":"`+strings.Repeat("x", maxHeaderBytes)+`"}`, ""), "header of"},
		"many items":            {raw(KindHave, `{"items":[`+strings.Repeat("{},", MaxItems+1)+`{}]}`, ""), "items"},
		"a negative time":       {raw(KindCall, `{"timeout":-1}`, ""), "negative"},
		"a number too large":    {raw(KindPing, `{"id":18446744073709551616}`, ""), "decode Ping"},
	} {
		if m, err := Decode(tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	var unknown UnknownKindError
	if _, err := Decode([]byte{200, 0}); !errors.As(err, &unknown) || unknown != 200 {
		t.Errorf("unknown: %v", err)
	}
	if _, err := Append(nil, &Call{Path: strings.Repeat("x", maxHeaderBytes)}); err == nil {
		t.Error("a header that no end takes is sent")
	}
	many := make([]Item, MaxItems)
	if m, err := Decode(encode(t, &Have{Items: many})); err != nil || len(m.(*Have).Items) != MaxItems {
		t.Errorf("as many items as are allowed: %v", err)
	}
}

// FuzzDecode: what is read is written and read again as the same.
func FuzzDecode(f *testing.F) {
	for _, m := range examples {
		f.Add(encode(f, m))
	}
	f.Add([]byte{200, 0})
	f.Add(raw(KindHave, `{"items":[{},{"name":"\ud800"}],"id":1e2}`, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			return
		}
		once := encode(t, m)
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("%q is read, and written as %q: %v", data, once, err)
		}
		if twice := encode(t, again); !bytes.Equal(once, twice) {
			t.Fatalf("%q is written as %q, then as %q", data, once, twice)
		}
	})
}
