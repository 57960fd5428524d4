package dnsmsg

import "encoding/binary"

// Question is something to ask.
type Question struct {
	Name Name
	Type uint16
	// Unicast asks for an answer to the asker alone (RFC 6762, section 5.4).
	Unicast bool
	// Known are the answers that are known already, PTR records, so that nobody
	// gives them again (section 7.1).
	Known []Record
}

// Queries returns the messages that ask questions, of at most so many bytes each.
// Known answers that have no room are in messages that follow, and all but the
// last of these say that more comes (section 7.2).
func Queries(questions []Question, most int) (messages [][]byte) {
	for len(questions) > 0 {
		w := newWriter(most)
		n := 0
		for n < len(questions) && w.question(questions[n]) { // the first has room in any case
			n++
		}
		for _, q := range questions[:n] {
			for _, k := range q.Known {
				if w.answer(k) {
					continue
				}
				w.truncated()
				messages = append(messages, w.buf)
				w = newWriter(most)
				w.answer(k)
			}
		}
		messages = append(messages, w.buf)
		questions = questions[n:]
	}
	return messages
}

// writer writes one message.
type writer struct {
	buf  []byte
	most int
	at   map[Name]int // where names are that later ones can end with
}

func newWriter(most int) *writer {
	return &writer{buf: make([]byte, headerBytes, 128), most: most, at: map[Name]int{}}
}

// fits undoes what was written since a length, if it is too much.
func (w *writer) fits(since int, count int) bool {
	if len(w.buf) > w.most && since > headerBytes {
		w.buf = w.buf[:since]
		for n, at := range w.at {
			if at >= since {
				delete(w.at, n)
			}
		}
		return false
	}
	binary.BigEndian.PutUint16(w.buf[count:], binary.BigEndian.Uint16(w.buf[count:])+1)
	return true
}

func (w *writer) question(q Question) bool {
	since := len(w.buf)
	w.name(q.Name)
	class := uint16(classIN)
	if q.Unicast {
		class |= unicast
	}
	w.uint16(q.Type)
	w.uint16(class)
	return w.fits(since, 4)
}

func (w *writer) answer(r Record) bool {
	since := len(w.buf)
	w.name(r.Name)
	w.uint16(r.Type)
	w.uint16(classIN)
	w.buf = binary.BigEndian.AppendUint32(w.buf, r.TTL)
	length := len(w.buf)
	w.uint16(0)
	w.name(r.Target)
	binary.BigEndian.PutUint16(w.buf[length:], uint16(len(w.buf)-length-2))
	return w.fits(since, 6)
}

func (w *writer) truncated() {
	binary.BigEndian.PutUint16(w.buf[2:], binary.BigEndian.Uint16(w.buf[2:])|bitTruncated)
}

func (w *writer) uint16(n uint16) { w.buf = binary.BigEndian.AppendUint16(w.buf, n) }

// name writes a name, of which the end may stand in the message already.
func (w *writer) name(n Name) {
	for ; n != ""; n = n.Parent() {
		if at, ok := w.at[n]; ok {
			w.uint16(0xc000 | uint16(at))
			return
		}
		if at := len(w.buf); at < 0x4000 {
			w.at[n] = at
		}
		w.buf = append(w.buf, n[:1+n[0]]...)
	}
	w.buf = append(w.buf, 0)
}
