package udev

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/udev/uevent"
)

// fixture is a sysfs and a folder of udevd made of ordinary files, with a
// source of uevents that the test feeds.
type fixture struct {
	testing.TB
	sys, udev string
	proc      string
	h         *Handler

	mu     sync.Mutex
	events *fakeEvents // of the monitor that runs now
	opened int
}

// fakeEvents is a source of uevents without a kernel.
type fakeEvents struct {
	ch     chan any // uevent.Event, error or lostBefore
	closed chan struct{}
}

// lostBefore is an event before which others were lost.
type lostBefore uevent.Event

func (f *fakeEvents) Next() (uevent.Event, error) {
	select {
	case v := <-f.ch:
		switch v := v.(type) {
		case error:
			return uevent.Event{}, v
		case lostBefore:
			f.ch <- uevent.Event(v)
			return uevent.Event{}, uevent.ErrOverflow
		}
		return v.(uevent.Event), nil
	case <-f.closed:
		return uevent.Event{}, os.ErrClosed
	}
}

func (f *fakeEvents) Drain() error {
	for {
		select {
		case <-f.ch:
		default:
			return nil
		}
	}
}

func (f *fakeEvents) Close() error { close(f.closed); return nil }

func newFixture(tb testing.TB) *fixture {
	m := &fixture{TB: tb, sys: tb.TempDir(), udev: filepath.Join(tb.TempDir(), "udev"), proc: tb.TempDir()}
	for _, d := range []string{"class", "bus", "devices"} {
		m.must(os.Mkdir(filepath.Join(m.sys, d), 0o755))
	}
	m.write(filepath.Join(m.proc, "node"), "")
	m.h = New(Options{Sys: os.DirFS(m.sys).(fs.ReadLinkFS), Udev: m.udev, Proc: m.proc, NodeMounts: filepath.Join(m.proc, "node"), Log: slog.New(slog.DiscardHandler), Listen: func() (Events, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.opened++
		m.events = &fakeEvents{make(chan any, 10000), make(chan struct{})}
		return m.events, nil
	}})
	return m
}

func (m *fixture) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *fixture) write(name, data string) {
	m.Helper()
	m.must(os.MkdirAll(filepath.Dir(name), 0o755))
	m.must(os.WriteFile(name, []byte(data), 0o644))
}

func (m *fixture) link(name, to string) {
	m.Helper()
	m.must(os.MkdirAll(filepath.Dir(name), 0o755))
	rel, err := filepath.Rel(filepath.Dir(name), to)
	m.must(err)
	m.must(os.Symlink(rel, name))
}

// add makes a device of a class, silently. Vars are lines of its uevent file.
func (m *fixture) add(devpath, class string, vars ...string) {
	m.Helper()
	m.write(m.sys+devpath+"/uevent", strings.Join(vars, "\n")+"\n")
	m.link(m.sys+devpath+"/subsystem", m.sys+"/class/"+class)
	m.link(m.sys+"/class/"+class+"/"+filepath.Base(devpath), m.sys+devpath)
	var major, minor string
	for _, v := range vars {
		fmt.Sscanf(v, "MAJOR=%s", &major)
		fmt.Sscanf(v, "MINOR=%s", &minor)
	}
	if major != "" {
		m.link(m.sys+"/dev/char/"+major+":"+minor, m.sys+devpath)
	}
}

// remove removes a device, silently.
func (m *fixture) remove(devpath, class string) {
	m.Helper()
	m.must(os.Remove(m.sys + "/class/" + class + "/" + filepath.Base(devpath)))
	m.must(os.RemoveAll(m.sys + devpath))
}

func (m *fixture) event(v any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events.ch <- v
}

func (m *fixture) uevent(action, devpath string) {
	m.event(uevent.Event{Action: action, Devpath: devpath})
}

// answer is one request to the fixture's handler.
type answer struct {
	*fixture
	ch     chan []discovery.Device
	noted  atomic.Value // the note of the latest report
	cancel context.CancelFunc
	done   chan error
}

func (a *answer) note() string { s, _ := a.noted.Load().(string); return s }

func (m *fixture) ask(rules ...string) *answer {
	return m.askDetails("udevRules: ['" + strings.Join(rules, "', '") + "']")
}

func (m *fixture) askDetails(details string) *answer {
	ctx, cancel := context.WithCancel(context.Background())
	a := &answer{fixture: m, ch: make(chan []discovery.Device), cancel: cancel, done: make(chan error, 1)}
	go func() {
		err := m.h.Explain(ctx, discovery.Request{Details: details}, func(r discovery.Report) error {
			a.noted.Store(r.Note)
			select {
			case a.ch <- r.Devices:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		a.done <- err
		close(a.done)
	}()
	m.Cleanup(func() { cancel(); <-a.done })
	return a
}

// want waits for a report of exactly these devpaths, over at most a few others
// before it.
func (a *answer) want(ids ...string) []discovery.Device {
	a.Helper()
	want := strings.Join(ids, " ")
	var seen []string
	timeout := time.After(eventually.Patience)
	for {
		select {
		case ds := <-a.ch:
			var got []string
			for _, d := range ds {
				got = append(got, d.ID)
			}
			if strings.Join(got, " ") == want {
				return ds
			}
			seen = append(seen, strings.Join(got, " "))
		case err := <-a.done:
			a.Fatalf("want %s: Discover returned %v", want, err)
		case <-timeout:
			a.Fatalf("want %q, reported %q", want, seen)
		}
	}
}
