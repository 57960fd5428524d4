package edgev1

import (
	"bytes"
	"strings"
	"testing"
)

// split returns the frames of a message.
func split(l Lane, message []byte) (frames [][]byte) {
	for first := true; first || len(message) > 0; first = false {
		var f []byte
		f, message = AppendFrame(nil, l, message)
		frames = append(frames, f)
	}
	return frames
}

func TestFrames(t *testing.T) {
	const room = MaxFrameBytes - 1
	for _, tt := range []struct{ bytes, frames int }{
		{1, 1}, {room, 1}, {room + 1, 2}, {2 * room, 2}, {2*room + 1, 3}, {1 << 20, 65},
	} {
		message := bytes.Repeat([]byte("abc"), tt.bytes/3+1)[:tt.bytes]
		frames := split(Bulk, message)
		if len(frames) != tt.frames {
			t.Errorf("%d bytes are %d frames", tt.bytes, len(frames))
		}
		var j Joiner
		for i, f := range frames {
			if len(f) > MaxFrameBytes {
				t.Errorf("a frame of %d bytes", len(f))
			}
			// A short one of the other lane passes between.
			if got, err := j.Join([]byte{0, 'x'}); err != nil || string(got) != "x" {
				t.Errorf("between: %q, %v", got, err)
			}
			got, err := j.Join(f)
			if err != nil || (got != nil) != (i == len(frames)-1) || got != nil && !bytes.Equal(got, message) {
				t.Fatalf("%d bytes, frame %d: %d bytes, %v", tt.bytes, i, len(got), err)
			}
		}
	}
}

func TestJoinRefuses(t *testing.T) {
	long := append([]byte{moreBit}, make([]byte, MaxFrameBytes-1)...)
	for name, tt := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"nothing":                {[][]byte{{}}, "0 bytes"},
		"a frame without piece":  {[][]byte{{0}}, "1 bytes"},
		"a long frame":           {[][]byte{make([]byte, MaxFrameBytes+1)}, "are allowed"},
		"bits of another time":   {[][]byte{{4, 0}}, "begins with"},
		"crumbs":                 {[][]byte{{moreBit, 'x'}}, "short frame"},
		"more than a message is": {[][]byte{long, long, long}, "more than 40000 bytes"},
	} {
		j := Joiner{MaxMessageBytes: 40000}
		var err error
		for _, f := range tt.frames {
			if err != nil {
				t.Errorf("%s: too early: %v", name, err)
			}
			_, err = j.Join(f)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzJoin reads two frames at a time from what a stranger sends: their lengths
// are in the first four bytes.
func FuzzJoin(f *testing.F) {
	f.Add([]byte{0, 3, 0, 4, 0, 'a', 'b', 1, 'c', 'd', 'e'})
	f.Add(append([]byte{4, 0, 0, 2, moreBit}, make([]byte, 1100)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := Joiner{MaxMessageBytes: 2000}
		for range 2 {
			if len(data) < 2 {
				return
			}
			n := min(int(data[0])<<8|int(data[1]), len(data)-2)
			message, err := j.Join(data[2 : 2+n])
			if err != nil {
				return
			}
			if len(message) > 2000 || len(j.begun[0]) > 2000 || len(j.begun[1]) > 2000 {
				t.Fatalf("%d bytes, begun %d, %d", len(message), len(j.begun[0]), len(j.begun[1]))
			}
			if message != nil {
				for i, frame := range split(Urgent, message) {
					got, err := (&Joiner{}).Join(frame)
					if err != nil || i == 0 && len(message) < MaxFrameBytes && !bytes.Equal(got, message) {
						t.Fatalf("joined %d bytes again: %v", len(message), err)
					}
				}
			}
			data = data[2+n:]
		}
	})
}

// Messages of one interest or call have one key.
func TestKeys(t *testing.T) {
	for _, m := range examples {
		switch k := KeyOf(m); KindOf(m) {
		case KindHello, KindGoodbye, KindPing, KindPong:
			if k != (Key{}) {
				t.Errorf("%s has the key %v", KindOf(m), k)
			}
		case KindCall, KindCancel, KindReply:
			if k.kind != 'c' || k.id == 0 {
				t.Errorf("%s has the key %v", KindOf(m), k)
			}
		default:
			if k.kind != 'i' || k.id == 0 {
				t.Errorf("%s has the key %v", KindOf(m), k)
			}
		}
	}
}
