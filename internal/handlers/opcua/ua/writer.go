package ua

import (
	"encoding/binary"
	"fmt"
	"time"
)

// writer writes the built-in types (OPC 10000-6, 5.2.2).
type writer []byte

// header begins a message; finish writes its size.
func header(kind string) writer { return append(make(writer, 0, 256), kind+"\x00\x00\x00\x00"...) }

func (w writer) finish() ([]byte, error) {
	if len(w) > maxSend {
		return nil, fmt.Errorf("the request has %d bytes, at most %d are allowed", len(w), maxSend)
	}
	binary.LittleEndian.PutUint32(w[4:], uint32(len(w)))
	return w, nil
}

func (w *writer) u32(v uint32) { *w = binary.LittleEndian.AppendUint32(*w, v) }
func (w *writer) null()        { w.u32(1<<32 - 1) }

func (w *writer) text(s string) {
	w.u32(uint32(len(s)))
	*w = append(*w, s...)
}

// request writes the type of a request and its header (OPC 10000-4, 7.33).
func (w *writer) request(kind, handle uint32) {
	*w = append(*w, 1, 0) // a NodeId of two bytes in namespace 0
	*w = binary.LittleEndian.AppendUint16(*w, uint16(kind))
	*w = append(*w, 0, 0) // no session
	*w = binary.LittleEndian.AppendUint64(*w, uint64(ticks(time.Now())))
	w.u32(handle)
	w.u32(0) // no diagnostics
	w.null() // no audit
	w.u32(5000)
	*w = append(*w, 0, 0, 0) // no additional header
}

// ticks returns a time as a DateTime: units of 100 ns since 1601.
func ticks(t time.Time) int64 {
	const to1970 = 11_644_473_600 // seconds
	return (t.Unix()+to1970)*10_000_000 + int64(t.Nanosecond())/100
}
