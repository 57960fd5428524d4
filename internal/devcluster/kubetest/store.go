package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The server's objects are the keys of its etcd that begin with registry.
const (
	registry    = "/registry/"
	registryEnd = "/registry0" // the first key after them
)

// rangeRequest and rangeResponse are etcd's, in the JSON of its gRPC gateway.
type rangeRequest struct {
	Key               []byte `json:"key"`
	RangeEnd          []byte `json:"range_end,omitempty"`
	KeysOnly          bool   `json:"keys_only,omitempty"`
	MinCreateRevision int64  `json:"min_create_revision,string,omitempty"`
}

type rangeResponse struct {
	Header struct {
		Revision int64 `json:"revision,string"`
	} `json:"header"`
	KVs []struct {
		Key []byte `json:"key"`
	} `json:"kvs"`
}

// isOwn reports whether a key is of what the API server makes by itself, also when
// it is ready already.
func isOwn(key string) bool {
	return strings.Contains(key, "/kube-system/") || strings.HasSuffix(key, "/default/kubernetes") ||
		strings.HasPrefix(key, registry+"ipaddresses/") && strings.HasSuffix(key, "/10.0.0.1")
}

// begin notes that what is in the store now is the server's own.
func (s *Server) begin(ctx context.Context) error {
	var one rangeResponse
	if err := s.etcdCall(ctx, "range", rangeRequest{Key: []byte(registry)}, &one); err != nil {
		return fmt.Errorf("ask the store for its revision: %w", err)
	}
	s.began = one.Header.Revision
	return nil
}

// clear deletes the objects that were made since begin. It does so in the store,
// because there are no controllers that end Namespaces, and nobody takes finalizers
// off. Clients see it as any other deletion.
func (s *Server) clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.api == nil {
		return errors.New("the server is stopped")
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var newer rangeResponse
	err := s.etcdCall(ctx, "range", rangeRequest{
		Key: []byte(registry), RangeEnd: []byte(registryEnd), KeysOnly: true, MinCreateRevision: s.began + 1,
	}, &newer)
	if err != nil {
		return err
	}
	for _, kv := range newer.KVs {
		if isOwn(string(kv.Key)) {
			continue
		}
		if err := s.etcdCall(ctx, "deleterange", rangeRequest{Key: kv.Key}, &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

// etcdCall makes a call of etcd's KV service.
func (s *Server) etcdCall(ctx context.Context, method string, in rangeRequest, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.etcdURL()+"/v3/kv/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd's %s: %s", method, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
