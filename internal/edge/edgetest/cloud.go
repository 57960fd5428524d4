// Package edgetest has the cloud's end of the link for tests of the edge's end:
// a small one that follows a real API server with a list and a watch for each
// interest, and makes calls as one user. It is not cloudcore: it grants
// everything that the API server gives that user, and shares nothing between
// nodes. Its link is in memory.
package edgetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Handler is the edge's end.
type Handler interface {
	Connected(ctx context.Context, peer edgev1.Hello, send func(context.Context, edgev1.Message) error)
	Receive(edgev1.Message)
	Disconnected(err error)
}

// Cloud is the cloud's end.
type Cloud struct {
	base   string
	client *http.Client

	mu       sync.Mutex
	received []edgev1.Message
	calls    []edgev1.Call
}

// New returns the cloud's end, in front of an API server.
func New(config *rest.Config) (*Cloud, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	return &Cloud{base: config.Host, client: client}, nil
}

// Calls returns the calls that were made so far.
func (c *Cloud) Calls() []edgev1.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Received returns the messages that came from the edge.
func (c *Cloud) Received() []edgev1.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.received)
}

// Link begins a session with h. cut ends it.
func (c *Cloud) Link(h Handler) (cut func()) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{cloud: c, ctx: ctx, out: make(chan edgev1.Message, 64), interests: map[uint64]*interest{}}
	var wg sync.WaitGroup
	s.wg = &wg
	h.Connected(ctx, edgev1.Hello{Protocol: edgev1.Protocol}, func(ctx context.Context, m edgev1.Message) error {
		c.mu.Lock()
		c.received = append(c.received, m)
		c.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		s.receive(m)
		return nil
	})
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		for {
			select {
			case <-ctx.Done():
				return
			case m := <-s.out:
				h.Receive(m)
			}
		}
	}()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		cancel()
		s.mu.Unlock()
		<-delivered
		h.Disconnected(context.Canceled)
		wg.Wait()
	})
}

type session struct {
	cloud     *Cloud
	ctx       context.Context
	out       chan edgev1.Message
	wg        *sync.WaitGroup
	mu        sync.Mutex
	interests map[uint64]*interest
}

type interest struct {
	edgev1.Interest
	cancel context.CancelFunc
	have   chan edgev1.Have
}

func (s *session) send(m edgev1.Message) {
	select {
	case <-s.ctx.Done():
	case s.out <- m:
	}
}

func (s *session) receive(m edgev1.Message) {
	switch m := m.(type) {
	case *edgev1.Interest:
		ctx, cancel := context.WithCancel(s.ctx)
		i := &interest{*m, cancel, make(chan edgev1.Have, 2)}
		s.interests[m.ID] = i
		s.wg.Go(func() { s.follow(ctx, i) })
	case *edgev1.Have:
		if i := s.interests[m.ID]; i != nil {
			i.have <- *m
		}
	case *edgev1.Forget:
		if i := s.interests[m.ID]; i != nil {
			i.cancel()
		}
	case *edgev1.Call:
		s.cloud.mu.Lock()
		s.cloud.calls = append(s.cloud.calls, *m)
		s.cloud.mu.Unlock()
		call := *m
		s.wg.Go(func() { s.send(s.cloud.call(s.ctx, call)) })
	}
}

func (c *Cloud) call(ctx context.Context, m edgev1.Call) *edgev1.Reply {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	u := c.base + m.Path
	if m.Query != "" {
		u += "?" + m.Query
	}
	req, err := http.NewRequestWithContext(ctx, m.Method, u, bytes.NewReader(m.Body))
	if err != nil {
		return &edgev1.Reply{ID: m.ID, Status: http.StatusBadRequest}
	}
	req.Header.Set("Accept", m.Accept)
	if m.ContentType != "" {
		req.Header.Set("Content-Type", m.ContentType)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return &edgev1.Reply{ID: m.ID, Status: http.StatusServiceUnavailable}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return &edgev1.Reply{ID: m.ID, Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body}
}

// list is what is read of lists.
type list struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   metav1.ListMeta   `json:"metadata"`
	Items      []json.RawMessage `json:"items"`
}

func (i *interest) path(query url.Values) string {
	p := "/api/" + i.Version
	if i.Group != "" {
		p = "/apis/" + i.Group + "/" + i.Version
	}
	if i.Namespace != "" {
		p += "/namespaces/" + i.Namespace
	}
	query.Set("labelSelector", i.LabelSelector)
	query.Set("fieldSelector", i.FieldSelector)
	return p + "/" + i.Resource + "?" + query.Encode()
}

// follow answers the first Have of an interest, and follows it.
func (s *session) follow(ctx context.Context, i *interest) {
	raw, code := s.get(ctx, i.path(url.Values{}))
	var l list
	if code != http.StatusOK || json.Unmarshal(raw, &l) != nil {
		var st metav1.Status
		_ = json.Unmarshal(raw, &st)
		s.send(&edgev1.Refused{ID: i.ID, Code: int32(code), Reason: string(st.Reason), Message: st.Message})
		return
	}
	seen := map[string]edgev1.Item{}
	var items []edgev1.Item
	objects := map[edgev1.Item][]byte{}
	for _, raw := range l.Items {
		item, object := whole(raw, l)
		items = append(items, item)
		objects[item] = object
		seen[item.Namespace+"/"+item.Name] = item
	}
	var have edgev1.Have
	select {
	case have = <-i.have:
	case <-ctx.Done():
		return
	}
	if !bytes.Equal(have.Digest, edgev1.Digest(items)) {
		if len(have.Digest) > 0 {
			s.send(&edgev1.Differ{ID: i.ID})
			select {
			case have = <-i.have:
			case <-ctx.Done():
				return
			}
		}
		for _, item := range items {
			if !slices.Contains(have.Items, item) {
				s.send(&edgev1.Put{ID: i.ID, Version: item.Version, Object: objects[item]})
			}
		}
		for _, item := range have.Items {
			if now, ok := seen[item.Namespace+"/"+item.Name]; !ok {
				item.Version = ""
				s.send(&edgev1.Gone{ID: i.ID, Item: item})
			} else if now.UID != item.UID {
				continue // the Put replaces it
			}
		}
	}
	s.send(&edgev1.Synced{ID: i.ID, Version: l.Metadata.ResourceVersion})
	if !i.Get {
		s.watch(ctx, i, l)
	}
}

// watch follows until ctx ends. Tests here are over before the API server ends
// a watch.
func (s *session) watch(ctx context.Context, i *interest, l list) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cloud.base+i.path(url.Values{"watch": {"1"},
		"resourceVersion": {l.Metadata.ResourceVersion}}), nil)
	if err != nil {
		return
	}
	resp, err := s.cloud.client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	events := json.NewDecoder(resp.Body)
	for {
		var e struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if events.Decode(&e) != nil {
			return
		}
		item, object := whole(e.Object, l)
		switch e.Type {
		case "ADDED", "MODIFIED":
			s.send(&edgev1.Put{ID: i.ID, Version: item.Version, Object: object})
		case "DELETED":
			item.Version = ""
			s.send(&edgev1.Gone{ID: i.ID, Item: item})
		}
	}
}

func (s *session) get(ctx context.Context, path string) ([]byte, int) {
	r := s.cloud.call(ctx, edgev1.Call{Method: http.MethodGet, Path: strings.SplitN(path, "?", 2)[0],
		Query: strings.SplitN(path, "?", 2)[1], Accept: "application/json"})
	return r.Body, r.Status
}

// whole gives an item of a list its kind, which lists of built-in resources do
// not have.
func whole(raw []byte, l list) (edgev1.Item, []byte) {
	var m struct {
		Kind     string            `json:"kind"`
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	_ = json.Unmarshal(raw, &m) // the API server's own
	if m.Kind == "" {
		raw = fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,%s`, strings.TrimSuffix(l.Kind, "List"), l.APIVersion, raw[1:])
	}
	return edgev1.Item{Namespace: m.Metadata.Namespace, Name: m.Metadata.Name, UID: string(m.Metadata.UID),
		Version: m.Metadata.ResourceVersion}, raw
}
