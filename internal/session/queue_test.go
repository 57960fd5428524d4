package session

import (
	"fmt"
	"strings"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Messages are written as <interest><size>: a9 is one of interest a with 9
// frames, a0 a short one of it. What is sent is written as it leaves.
func TestQueueOrder(t *testing.T) {
	const frame = edgev1.MaxFrameBytes - 1
	for _, tt := range []struct{ name, put, want string }{
		{"as they come", "a0 b0 a0", "a b a"},
		{"short ones first", "a3 b0 c0", "b c a... a... a"},
		{"not past its own", "a3 a0 b0", "b a... a... a a"},
		{"long ones wait for each other", "a2 b2 c0", "c a... a b... b"},
		{"one that came before goes before", "a0 a2 b0", "a b a... a"},
		{"a long one gets its turn", "z2 a0 b0 c0 d0 e0 f0 g0 h0 i0 j0 k0", "a b c d e f g h z... i j k z"},
		{"but not before what came before it", "a0 b0 c0 d0 e0 f0 g0 h0 i0 j0 a2", "a b c d e f g h i j a... a"},
	} {
		var q queue
		for _, word := range strings.Fields(tt.put) {
			key := edgev1.KeyOf(&edgev1.Put{ID: uint64(word[0])})
			size := 10
			if n := int(word[1] - '0'); n > 0 {
				size = n * frame
			}
			data := []byte(strings.Repeat(word[:1], size))
			q.push(q.laneOf(key, len(data)), item{key: key, rest: data})
		}
		var got []string
		for {
			f, l, sent, ok := q.next(nil)
			if !ok {
				break
			}
			word := string(f[1])
			if sent == nil {
				word += "..."
			}
			got = append(got, word)
			if int(f[0]&1) != int(l) {
				t.Errorf("%s: lane %s, frame %#x", tt.name, l, f[0])
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
		if q.bytes != [edgev1.Lanes]int{} || q.lanes[0] != nil || q.lanes[1] != nil {
			t.Errorf("%s: it keeps %v, %v", tt.name, q.bytes, q.lanes)
		}
	}
}

// Whatever comes in whatever order, messages of a key stay in their order, and
// no lane takes more than it may.
func TestQueueKeepsOrder(t *testing.T) {
	var q queue
	sizes := []int{10, 20_000, 100, 40_000, 16_000, 5}
	count := map[edgev1.Key]int{}
	seen := map[edgev1.Key]int{}
	var joiner edgev1.Joiner
	take := func() bool {
		f, _, _, ok := q.next(nil)
		if !ok {
			return false
		}
		message, err := joiner.Join(f)
		if err != nil {
			t.Fatal(err)
		}
		if message != nil {
			var id, n int
			if _, err := fmt.Sscanf(string(message), "%d %d.", &id, &n); err != nil {
				t.Fatal(err)
			}
			key := edgev1.KeyOf(&edgev1.Put{ID: uint64(id)})
			if seen[key]++; seen[key] != n {
				t.Fatalf("interest %d: message %d is the %d.", id, n, seen[key])
			}
		}
		return true
	}
	for i := range 5000 {
		id := i * 7 % 11
		key := edgev1.KeyOf(&edgev1.Put{ID: uint64(id)})
		size := sizes[i*i%len(sizes)]
		for q.full(q.laneOf(key, size)) {
			take()
		}
		count[key]++
		data := fmt.Appendf(nil, "%d %d.", id, count[key])
		q.push(q.laneOf(key, size), item{key: key, rest: append(data, make([]byte, size)...)})
		for l := range edgev1.Lanes {
			if q.bytes[l] > maxLaneBytes+50_000 || len(q.lanes[l]) > maxLaneMessages {
				t.Fatalf("%s holds %d messages, %d bytes", l, len(q.lanes[l]), q.bytes[l])
			}
		}
		if i%3 == 0 {
			take()
		}
	}
	for take() {
	}
	for key, n := range count {
		if seen[key] != n {
			t.Errorf("%v: %d of %d", key, seen[key], n)
		}
	}
}
