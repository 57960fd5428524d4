// Package slowtest has a browser that stops reading, for tests of what sends
// without end.
package slowtest

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
)

// Browser is where an HTTP handler writes its answer. While it is stopped, writes
// wait, as they do when the buffers of a connection are full. In a bubble of
// testing/synctest it is to be made there.
type Browser struct {
	header http.Header

	mu    sync.Mutex
	reads chan struct{} // closed while it reads
	got   bytes.Buffer
}

// New returns a browser that reads.
func New() *Browser {
	b := &Browser{header: http.Header{}, reads: make(chan struct{})}
	close(b.reads)
	return b
}

// Stop has it read no more. It is called once before each GoOn.
func (b *Browser) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads = make(chan struct{})
}

// GoOn has it read again.
func (b *Browser) GoOn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.reads)
}

// Got returns what it has read.
func (b *Browser) Got() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got.Bytes())
}

// Header is part of [http.ResponseWriter].
func (b *Browser) Header() http.Header { return b.header }

// WriteHeader is part of [http.ResponseWriter].
func (b *Browser) WriteHeader(int) {}

// Write returns when the browser has read.
func (b *Browser) Write(data []byte) (int, error) {
	b.mu.Lock()
	reads := b.reads
	b.mu.Unlock()
	<-reads
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got.Write(data)
}

// Flush is part of [http.Flusher].
func (b *Browser) Flush() {}
