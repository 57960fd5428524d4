package kubeclient

import (
	"io"
	"runtime"
	"strings"
	"testing"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestReadList(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     string // names
		fails    bool
	}{
		{"metadata last", `{"apiVersion":"akri.sh/v0","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"},"spec":{"capacity":3}}],"kind":"InstanceList","metadata":{"resourceVersion":"7","continue":"x"}}`, "a b", false},
		{"metadata first", `{"metadata":{"continue":"x","resourceVersion":"7"},"items":[{"metadata":{"name":"a"}}]}`, "a", false},
		{"no items", `{"metadata":{"continue":"x","resourceVersion":"7"},"items":[]}`, "", false},
		{"null", `{"metadata":{"continue":"x","resourceVersion":"7"},"items":null}`, "", false},
		{"cut off", `{"items":[{"metadata":{"name":"a"}},{"metadata":{`, "a", true},
		{"cut off between objects", `{"items":[{"metadata":{"name":"a"}}`, "a", true},
		{"cut off after the items", `{"items":[{"metadata":{"name":"a"}}]`, "a", true},
		{"not a list", `{"items":{"metadata":{"name":"a"}}}`, "", true},
		{"not an object", `[]`, "", true},
		{"an item of another type", `{"items":[{"metadata":{"name":"a"}},{"spec":7}]}`, "a", true},
		{"nothing", ``, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			meta, err := readList(strings.NewReader(c.in), func(o *v0.Instance) { names = append(names, o.Name) })
			if got := strings.Join(names, " "); got != c.want || (err != nil) != c.fails {
				t.Errorf("read %q, %v", got, err)
			}
			if !c.fails && (meta.ResourceVersion != "7" || meta.Continue != "x") {
				t.Errorf("metadata %+v", meta)
			}
		})
	}
}

// What a list costs is what is kept of it, not what stands in it.
func TestListIsNotHeld(t *testing.T) {
	const objects, size = 64, 1 << 20
	text := strings.Repeat("x", size)
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, `{"items":[`)
		for i := range objects {
			if i > 0 {
				_, _ = io.WriteString(w, ",")
			}
			_, _ = io.WriteString(w, `{"metadata":{"name":"a"},"spec":{"brokerProperties":{"K":"`+text+`"}}}`)
		}
		_, _ = io.WriteString(w, `]}`)
		w.Close()
	}()
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, kept := live(), uint64(0), []*v0.Instance{}
	_, err := readList(r, func(o *v0.Instance) {
		o.Spec.BrokerProperties = nil
		if kept = append(kept, o); len(kept)%16 == 0 {
			most = max(most, live())
		}
	})
	if err != nil || len(kept) != objects {
		t.Fatalf("%d objects: %v", len(kept), err)
	}
	// One object as text, maybe while the buffer grows, and as an object.
	if used := most - before; used > 8*size {
		t.Errorf("a list of %d objects of %d MiB held %d MiB at once", objects, size>>20, used>>20)
	}
}

func FuzzReadList(f *testing.F) {
	f.Add([]byte(`{"items":[{"metadata":{"name":"a"}}],"metadata":{"resourceVersion":"7"}}`))
	f.Add([]byte(`{"items":null}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		n := 0
		_, _ = readList(strings.NewReader(string(in)), func(*v0.Instance) { n++ })
		if n > len(in) {
			t.Errorf("%d objects of %d bytes", n, len(in))
		}
	})
}
