package feed

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/akri-go/akri/internal/dashboard/board"
)

// browser is what a page does with messages.
type browser map[string]string

func (b *browser) take(t *testing.T, data []byte) {
	t.Helper()
	var m struct {
		All  bool
		Set  map[string]string
		Gone []string
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if m.All || *b == nil {
		*b = browser{}
	}
	for key, value := range m.Set {
		(*b)[key] = value
	}
	for _, key := range m.Gone {
		delete(*b, key)
	}
}

// entries makes a board of "a=1 b=2".
func entries(s string) (out []board.Entry) {
	for _, f := range strings.Fields(s) {
		key, value, _ := strings.Cut(f, "=")
		out = append(out, board.Entry{Key: key, Value: value})
	}
	return out
}

func put(t *testing.T, f *Feed, s string) bool {
	t.Helper()
	changed, err := f.Put(entries(s))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func join(t *testing.T, f *Feed) *Viewer {
	t.Helper()
	v, ok := f.Join()
	if !ok {
		t.Fatal("it may not join")
	}
	return v
}

// What is sent when what has changed, to a browser that has seen all versions, and
// to one that has seen the first and then only the last.
func TestMessages(t *testing.T) {
	for _, tt := range []struct {
		name   string
		boards []string
		quick  []string // after the first, which is everything
		slow   string
	}{
		{"nothing changes", []string{"a=1", "a=1"}, nil, ""},
		{"one changes", []string{"a=1 b=1", "a=2 b=1"}, []string{`"set":{"a":"2"},"gone":[]`}, `"set":{"a":"2"},"gone":[]`},
		{"one comes", []string{"a=1", "a=1 b=1"}, []string{`"set":{"b":"1"},"gone":[]`}, `"set":{"b":"1"},"gone":[]`},
		{"one goes", []string{"a=1 b=1", "a=1"}, []string{`"set":{},"gone":["b"]`}, `"set":{},"gone":["b"]`},
		{"the newest wins", []string{"a=1", "a=2", "a=3"}, []string{`"set":{"a":"2"},"gone":[]`, `"set":{"a":"3"},"gone":[]`}, `"set":{"a":"3"},"gone":[]`},
		{"back again", []string{"a=1 b=1", "b=1", "a=5 b=1"}, []string{`"set":{},"gone":["a"]`, `"set":{"a":"5"},"gone":[]`}, `"set":{"a":"5"},"gone":[]`},
		{"came and went", []string{"b=1", "a=1 b=1", "b=1"}, []string{`"set":{"a":"1"},"gone":[]`, `"set":{},"gone":["a"]`}, `"set":{},"gone":["a"]`},
		{"all goes", []string{"a=1", ""}, []string{`"set":{},"gone":["a"]`}, `"set":{},"gone":["a"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := New(2)
			quick, slow := join(t, f), join(t, f)
			put(t, f, tt.boards[0])
			first := string(quick.Take())
			if got := string(slow.Take()); got != first || !strings.HasPrefix(got, `{"all":true,`) {
				t.Errorf("first %s, and %s", got, first)
			}
			var sent []string
			for _, b := range tt.boards[1:] {
				put(t, f, b)
				if m := quick.Take(); m != nil {
					sent = append(sent, strings.TrimSuffix(strings.TrimPrefix(string(m), `{"all":false,`), "}"))
				}
			}
			if d := cmp.Diff(tt.quick, sent); d != "" {
				t.Error(d)
			}
			if got := strings.TrimSuffix(strings.TrimPrefix(string(slow.Take()), `{"all":false,`), "}"); got != tt.slow {
				t.Errorf("the slow one gets %s, want %s", got, tt.slow)
			}
		})
	}
}

// Whatever they have missed, all browsers have the newest board in the end, and
// what is gone is forgotten.
func TestAllAgree(t *testing.T) {
	f := New(10)
	viewers, browsers := []*Viewer{}, []browser{}
	last := ""
	for i := range 200 {
		var keys []string
		for k := range 8 {
			if n := i*(k+3) + k; n%5 > 1 {
				keys = append(keys, fmt.Sprintf("%c=%d", 'a'+k, n%7))
			}
		}
		last = strings.Join(keys, " ")
		put(t, f, last)
		if i%20 == 0 {
			viewers, browsers = append(viewers, join(t, f)), append(browsers, nil)
		}
		for n, v := range viewers {
			if i%(n+1) == 0 {
				if data := v.Take(); data != nil {
					browsers[n].take(t, data)
				}
			}
		}
	}
	want := browser{}
	for _, e := range entries(last) {
		want[e.Key] = e.Value.(string)
	}
	for n, v := range viewers {
		if data := v.Take(); data != nil {
			browsers[n].take(t, data)
		}
		if d := cmp.Diff(want, browsers[n]); d != "" {
			t.Errorf("browser %d: %s", n, d)
		}
	}
	put(t, f, "a=1")
	put(t, f, "a=2")
	for _, v := range viewers {
		v.Take()
	}
	put(t, f, "a=3")
	if len(f.items) != 1 || f.order.Len() != 1 {
		t.Errorf("%d items are kept, %d in order", len(f.items), f.order.Len())
	}
}

func TestViewers(t *testing.T) {
	f := New(1)
	v := join(t, f)
	if _, ok := f.Join(); ok {
		t.Error("a second viewer joins")
	}
	<-f.Joined()
	news := func() bool {
		select {
		case <-v.News():
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		board         string
		changed, news bool
		want          string
	}{
		{"a=1", true, true, `{"all":true,"set":{"a":"1"},"gone":[]}`},
		{"a=1", false, false, ""},
		{"a=2", true, true, `{"all":false,"set":{"a":"2"},"gone":[]}`},
	} {
		if changed := put(t, f, step.board); changed != step.changed {
			t.Errorf("%s: changed %v", step.board, changed)
		}
		if n := news(); n != step.news {
			t.Errorf("%s: news %v", step.board, n)
		}
		if got := string(v.Take()); got != step.want {
			t.Errorf("%s: %s", step.board, got)
		}
	}
	f.Clear() // not while somebody looks
	if f.version == 0 {
		t.Error("it forgets what a browser needs")
	}
	v.Leave()
	f.Clear()
	if f.Watched() || len(f.items) > 0 {
		t.Error("something is left")
	}
	v = join(t, f) // it waits for a board
	if data := v.Take(); data != nil || news() {
		t.Errorf("it gets %s", data)
	}
	<-f.Joined()
}

// What was sent, what was skipped since a browser was slow, and who had no place.
func TestCounts(t *testing.T) {
	f := New(2)
	put(t, f, "a=1")
	quick, slow := join(t, f), join(t, f)
	if _, ok := f.Join(); ok {
		t.Error("a third one may join")
	}
	sent := len(quick.Take()) + len(slow.Take())
	for _, board := range []string{"a=2", "a=3", "a=4"} {
		put(t, f, board)
		sent += len(quick.Take())
	}
	sent += len(slow.Take())
	if slow.Take() != nil {
		t.Error("there is something new")
	}
	quick.Leave()
	if want := (Counts{Viewers: 1, Refused: 1, Messages: 6, Bytes: uint64(sent), Skipped: 2}); f.Counts() != want {
		t.Errorf("counted %+v, want %+v", f.Counts(), want)
	}
}
