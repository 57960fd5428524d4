package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/akri-go/akri/samples/camera"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

const (
	// sampleInterval is the least time between two pictures that are decoded.
	sampleInterval = 50 * time.Millisecond
	// maxRecord is how large a record may be.
	maxRecord = camera.MaxFrameBytes + 1<<10
)

// shots are when cameras have sent their frames last, which come again and again.
type shots struct {
	mu sync.Mutex
	at map[shot]time.Time
}

type shot struct {
	camera int
	frame  uint32
}

// sent notes a frame. The simulator calls it.
func (s *shots) sent(camera int, frame uint32) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[shot]time.Time{}
	}
	s.at[shot{camera, frame}] = now
}

// frames is how many different ones were sent.
func (s *shots) frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at)
}

func (s *shots) of(c int, frame uint32) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at[shot{c, frame}]
	return at, ok
}

// page is a browser that looks at the video streaming application, or at the relay,
// and does not draw.
type page struct {
	body  io.ReadCloser
	shots *shots // nil: no picture is decoded
	ended chan struct{}
	queue chan sample

	mu    sync.Mutex
	news  chan struct{} // closed when a picture has come
	first map[string]time.Time
	came  int // pictures
	taken []delay
	err   error
}

// sample is a picture that is to be decoded.
type sample struct {
	jpeg         []byte
	broker, page time.Time // when it was there
}

// delay is how old a frame was when the broker and when the page had it.
type delay struct{ broker, page time.Duration }

// openPage looks at the application over a connection.
func openPage(conn net.Conn, host string, s *shots) (*page, error) {
	in := bufio.NewReaderSize(conn, 64<<10)
	_, err := fmt.Fprintf(conn, "GET /live HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(in, nil)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the page answers %s", resp.Status)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return lookAt(conn, resp.Body, s), nil
}

// lookAt reads records until it is closed.
func lookAt(conn io.ReadCloser, in io.Reader, s *shots) *page {
	p := &page{body: conn, shots: s, ended: make(chan struct{}), queue: make(chan sample, 1),
		news: make(chan struct{}), first: map[string]time.Time{}}
	go func() {
		defer close(p.queue)
		p.read(bufio.NewReaderSize(in, 64<<10))
	}()
	go func() {
		defer close(p.ended)
		for s := range p.queue {
			p.decode(s)
		}
	}()
	return p
}

func (p *page) close() error {
	err := p.body.Close()
	<-p.ended
	return err
}

// read takes records. Of the feeds one after the other a picture is decoded.
func (p *page) read(in *bufio.Reader) {
	var feeds []string
	var buffer []byte
	turn, last := 0, time.Time{}
	for {
		kind, id, content, err := readRecord(in, buffer)
		buffer = content
		now := time.Now()
		p.mu.Lock()
		p.err = err
		if err != nil || kind == 'P' {
			p.came++
			close(p.news)
			p.news = make(chan struct{})
		}
		if _, known := p.first[id]; err == nil && kind == 'P' && !known {
			p.first[id] = now
			feeds = append(feeds, id)
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if p.shots == nil || kind != 'P' || len(content) < 8 || feeds[turn%len(feeds)] != id || now.Sub(last) < sampleInterval {
			continue
		}
		s := sample{slices.Clone(content[8:]), time.UnixMicro(int64(binary.BigEndian.Uint64(content))), now}
		select {
		case p.queue <- s:
			turn, last = turn+1, now
		default: // the one before is being decoded
		}
	}
}

func (p *page) decode(s sample) {
	whole, err := camera.Complete(s.jpeg)
	if err != nil {
		return
	}
	img, err := jpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		return
	}
	c, frame, err := simulator.ReadMarks(img)
	if err != nil {
		return
	}
	sent, ok := p.shots.of(c, frame)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, delay{s.broker.Sub(sent), s.page.Sub(sent)})
}

// readRecord reads a record as the application's live.go has it, into a buffer if
// there is room.
func readRecord(in *bufio.Reader, buffer []byte) (kind byte, id string, content []byte, err error) {
	var start [2]byte
	if _, err := io.ReadFull(in, start[:]); err != nil {
		return 0, "", nil, err
	}
	head := make([]byte, int(start[1])+4)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, "", nil, err
	}
	size := binary.BigEndian.Uint32(head[start[1]:])
	if size > maxRecord {
		return 0, "", nil, fmt.Errorf("a record of %d bytes", size)
	}
	content = slices.Grow(buffer[:0], int(size))[:size]
	_, err = io.ReadFull(in, content)
	return start[0], string(head[:start[1]]), content, err
}

// shows waits until pictures of so many feeds have come, or of one feed.
func (p *page) shows(ctx context.Context, is func(first map[string]time.Time) bool) error {
	for {
		p.mu.Lock()
		done, err, news, feeds := is(p.first), p.err, p.news, len(p.first)
		p.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return fmt.Errorf("the page has ended: %w", err)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("the page shows %d feeds: %w", feeds, ctx.Err())
		}
	}
}

// since is when the first picture of a feed came.
func (p *page) since(id string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.first[id]
	return at, ok
}

// take returns how many pictures have come since the last call, and how old those
// were that have been decoded.
func (p *page) take() (came int, taken []delay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	came, taken = p.came, p.taken
	p.came, p.taken = 0, nil
	return came, taken
}
