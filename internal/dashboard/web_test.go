package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/dashboard/feed"
	"github.com/akri-go/akri/internal/dashboard/follow"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/slowtest"
)

// lab is a cluster of Instances that a test changes.
type lab struct {
	changed chan struct{}

	mu    sync.Mutex
	seen  follow.Seen
	ready error
	looks int // how often it was looked at
}

func newLab(devices int) *lab {
	l := &lab{changed: make(chan struct{}, 1)}
	l.set(devices, 0)
	return l
}

// set makes so many devices, whose capacity is given.
func (l *lab) set(devices int, capacity int64) {
	seen := follow.Seen{Cluster: explain.Cluster{Now: time.Unix(1_800_000_000, 0)}}
	for i := range devices {
		name := fmt.Sprintf("cam-%06x", i)
		inst := v0.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: name}}
		inst.Spec = v0.InstanceSpec{ConfigurationName: "cam", Capacity: capacity, Nodes: []string{"n1"}}
		seen.Instances = append(seen.Instances, inst)
	}
	l.change(func() { l.seen = seen })
}

func (l *lab) change(do func()) {
	l.mu.Lock()
	do()
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *lab) Seen() follow.Seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	return l.seen
}

func (l *lab) Changed() <-chan struct{} { return l.changed }

func (l *lab) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

// serve serves a dashboard of a lab, with a token if one is given.
func serve(t *testing.T, l *lab, token string) (address, file string) {
	t.Helper()
	if token != "" {
		file = filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	k := &keeper{source: l, feed: feed.New(maxViewers), log: log}
	h, err := handler(k, &access{tokenFile: file, log: log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	done := make(chan struct{})
	go func() { defer close(done); k.run(t.Context()) }()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		<-done // the context is done before cleanups run
	})
	return server.URL, file
}

// events reads what the feed sends.
type events struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

func listen(t *testing.T, address string) *events {
	t.Helper()
	resp, err := http.Get(address + "/api/live")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return &events{t, resp.Body, bufio.NewReader(resp.Body)}
}

type message struct {
	All  bool
	Set  map[string]map[string]any
	Gone []string
}

// next returns the next message.
func (e *events) next() (m message) {
	e.t.Helper()
	data, err := e.data()
	if err == nil {
		err = json.Unmarshal([]byte(data), &m)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return m
}

// data returns the next message as it was sent.
func (e *events) data() (string, error) {
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return data, nil
		}
	}
}

func TestLive(t *testing.T) {
	leaktest.Check(t)
	l := newLab(3)
	address, _ := serve(t, l, "")
	e := listen(t, address)
	if m := e.next(); !m.All || len(m.Set) != 5 || m.Set["device/lab/cam-000001"]["capacity"] != 0.0 {
		t.Errorf("first %+v", m)
	}
	l.set(3, 7)
	if m := e.next(); m.All || len(m.Set) < 3 || m.Set["device/lab/cam-000001"]["capacity"] != 7.0 {
		t.Errorf("then %+v", m)
	}
	l.set(2, 7)
	if m := e.next(); len(m.Gone) != 1 || m.Gone[0] != "device/lab/cam-000002" {
		t.Errorf("then %+v", m)
	}
	l.change(func() { l.seen.AwaySince, l.seen.AwayWhy = time.Unix(1_800_000_000, 0), "refused" })
	if m := e.next(); fmt.Sprint(m.Set["overview"]["away"]) != "map[since:2027-01-15T08:00:00Z why:refused]" {
		t.Errorf("then %+v", m)
	}
	l.change(func() { l.ready = fmt.Errorf("Pods are not listed yet") })
	if m := e.next(); m.Set["overview"]["reading"] != true || len(m.Gone) == 0 {
		t.Errorf("then %+v", m)
	}
}

// Nothing is computed while nobody looks, and who comes then sees what is so then.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(3)
		k := &keeper{source: l, feed: feed.New(1), log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		go k.run(ctx)
		looks := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.looks }
		time.Sleep(time.Hour)
		if looks() > 0 {
			t.Error("it looks without a browser")
		}
		v, _ := k.feed.Join()
		synctest.Wait()
		if m := string(v.Take()); !strings.Contains(m, `"capacity":0`) || looks() != 1 {
			t.Errorf("%s after %d looks", m, looks())
		}
		time.Sleep(time.Minute) // nothing changes, but time passes
		if n := looks(); n < 6 || n > 9 {
			t.Errorf("%d looks in a minute", n)
		}
		// A storm of changes is looked at about three times a second.
		before := looks()
		for i := range int64(10_000) {
			l.set(3, i+1)
			time.Sleep(time.Millisecond)
		}
		if n := looks() - before; n < 20 || n > 40 {
			t.Errorf("%d looks in 10 s of changes", n)
		}
		v.Leave()
		l.set(3, 99_999)
		time.Sleep(time.Minute)
		before = looks()
		l.set(3, 100_000)
		time.Sleep(time.Hour)
		if looks() != before {
			t.Error("it looks when the browser has gone")
		}
		v, _ = k.feed.Join()
		synctest.Wait()
		time.Sleep(maxInterval)
		if m := string(v.Take()); !strings.Contains(m, `"capacity":100000`) {
			t.Errorf("who comes then sees %s", m)
		}
		stop()
	})
}

// A browser that does not read disturbs nobody, and many that do get the same.
func TestSlowBrowser(t *testing.T) {
	l := newLab(1000)
	address, _ := serve(t, l, "")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.(*net.TCPConn).SetReadBuffer(4096); err != nil { // soon nothing more can be sent
		t.Fatal(err)
	}
	fmt.Fprintf(slow, "GET /api/live HTTP/1.1\r\nHost: %s\r\n\r\n", u.Host)
	const browsers, changes = 20, 5
	last := fmt.Sprintf(`"capacity":%d,`, changes)
	var first *events
	ended := make(chan int, browsers) // how many messages each got
	for i := range browsers {
		e := listen(t, address)
		if _, err := e.data(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = e
			continue
		}
		go func() {
			for n := 1; ; n++ {
				data, err := e.data()
				if err != nil {
					ended <- 0
					return
				}
				if strings.Contains(data, last) {
					ended <- n
					return
				}
			}
		}()
	}
	for i := range int64(changes) {
		l.set(1000, i+1)
		if _, err := first.data(); err != nil {
			t.Fatal(err)
		}
	}
	for range browsers - 1 {
		if n := <-ended; n == 0 || n > changes {
			t.Errorf("a browser has the last change after %d messages", n)
		}
	}
}

// A browser that stops reading while the board changes many times gets what has
// changed since, as it is then, in one message.
func TestBrowserThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(3)
		k := &keeper{source: l, feed: feed.New(1), log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		go k.run(ctx)
		b := slowtest.New()
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.live(b, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/live", nil))
		}()
		synctest.Wait()
		change := func(capacity int64) {
			l.set(3, capacity)
			time.Sleep(time.Second)
		}
		change(1)
		b.Stop()
		for n := int64(2); n <= 100; n++ {
			change(n)
		}
		b.GoOn()
		time.Sleep(time.Second)
		cancel()
		<-done
		var got []string
		for _, m := range regexp.MustCompile(`"device/lab/cam-000001":[^}]*"capacity":(\d+)`).FindAllSubmatch(b.Got(), -1) {
			got = append(got, string(m[1]))
		}
		if text := strings.Join(got, " "); text != "0 1 2 100" {
			t.Errorf("it gets the capacities %s", text)
		}
	})
}

func TestTooManyBrowsers(t *testing.T) {
	address, _ := serve(t, newLab(1), "")
	for range maxViewers {
		listen(t, address)
	}
	resp, err := http.Get(address + "/api/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "50 browsers") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

func TestQuestions(t *testing.T) {
	l := newLab(2)
	address, _ := serve(t, l, "")
	for _, tt := range []struct {
		path string
		code int
		want string
	}{
		{"/api/explain?kind=Device&name=cam-000001", 200, `"answer":"Device lab/cam-000001`},
		{"/api/explain?kind=Device&namespace=lab&name=cam-000001", 200, `"created"`},
		{"/api/explain?kind=Device&name=/dev/video9", 200, "DeviceNotFound"},
		{"/api/explain", 200, `"cause":"NotInstalled"`},
		{"/api/explain?kind=Pod&name=none", 404, "there is no Pod none"},
		{"/api/explain?kind=Secret&name=none", 422, "Secret cannot be explained"},
		{"/api/explain?kind=Pod", 400, "ask with"},
		{"/api/explain?name=x", 400, "ask with"},
		{"/api/explain?kind=Pod&name=" + strings.Repeat("x", 2000), 400, "ask with"},
		{"/api/board", 200, `"device/lab/cam-000001":{`},
		{"/api/session", 204, ""},
		{"/", 200, "<!DOCTYPE html>"},
		{"/main.js", 200, "import"},
		{"/none.js", 404, ""},
		{"/page/main.js", 404, ""},
	} {
		resp, err := http.Get(address + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.code || !strings.Contains(string(body), tt.want) {
			t.Errorf("%.80s: %s, %.300s", tt.path, resp.Status, body)
		}
		if resp.Header.Get("Content-Security-Policy") != policy || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.80s: headers %v", tt.path, resp.Header)
		}
	}
	l.change(func() { l.ready = fmt.Errorf("Pods are not listed yet") })
	resp, err := http.Get(address + "/api/explain?kind=Node&name=n1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 422 || !strings.Contains(string(body), "not listed yet") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

// The page has nothing inline, calls no other address, makes no markup of texts, and
// its modules are there.
func TestPageFiles(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=["']|<script(?: type="module")?>|https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\.style\b`)
	imports := regexp.MustCompile(`(?:from |src="|href=")"?\.?/?([a-z]+\.(?:js|css|svg))"`)
	modules := 0
	err := fs.WalkDir(page, "page", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(page, path)
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "")
		for _, found := range forbidden.FindAllString(text, -1) {
			t.Errorf("%s has %q", path, found)
		}
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			modules++
			if _, err := fs.Stat(page, "page/"+m[1]); err != nil {
				t.Errorf("%s needs %s: %v", path, m[1], err)
			}
		}
		if contentTypes[filepath.Ext(path)] == "" {
			t.Errorf("%s has no content type", path)
		}
		return err
	})
	if err != nil || modules < 10 {
		t.Errorf("%d modules, %v", modules, err)
	}
}
