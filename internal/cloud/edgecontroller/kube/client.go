package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// maxErrorBytes is how much of an answer that is an error is read.
const maxErrorBytes = 64 << 10

// JSON is the media type of what this package sends and asks for by default.
const JSON = "application/json"

// Client talks to one API server, for all nodes over the same connections. Its
// methods may be called by several goroutines.
type Client struct {
	host  string // scheme, host and path prefix, without a slash at the end
	rt    http.RoundTripper
	agent string
}

// New returns a client. Rate limits, timeouts and impersonation of cfg are not
// used.
func New(cfg *rest.Config) (*Client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Impersonate = rest.ImpersonationConfig{}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("address of the API server %q: %w", cfg.Host, err)
	}
	rt, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", cfg.Host, err)
	}
	return &Client{host: strings.TrimSuffix(base.Scheme+"://"+base.Host+base.Path, "/"), rt: rt,
		agent: cfg.UserAgent}, nil
}

// Request is one request. Path begins with / and is sent as it stands; it must
// be a valid URL path in escaped form. Accept is JSON if it is empty.
type Request struct {
	Method, Path string
	Query        string // without ?
	ContentType  string
	Accept       string
	Body         []byte
}

// Open sends a request and returns the answer, whatever its status. The caller
// closes its body. Redirects are not followed.
func (c *Client) Open(ctx context.Context, as User, r Request) (*http.Response, error) {
	full := c.host + r.Path
	if r.Query != "" {
		full += "?" + r.Query
	}
	u, err := url.Parse(full)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if len(r.Body) > 0 {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", r.Accept)
	if r.Accept == "" {
		req.Header.Set("Accept", JSON)
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	rt := c.rt
	if !as.Itself() {
		rt = transport.NewImpersonatingRoundTripper(as.impersonation(), rt)
	}
	return rt.RoundTrip(req)
}

// ErrTooLarge is wrapped by errors about answers that have more bytes than the
// caller takes.
var ErrTooLarge = errors.New("the API server's answer is too large")

// Do sends a request and reads its answer of at most limit bytes into out, from
// JSON; nil leaves it unread. A status other than 2xx is an error of
// k8s.io/apimachinery/pkg/api/errors.
func (c *Client) Do(ctx context.Context, as User, r Request, limit int64, out any) error {
	resp, err := c.Open(ctx, as, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := Failure(resp); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	data, err := ReadLimited(resp.Body, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// maxVersionBytes is how long the answer about a version may be.
const maxVersionBytes = 16 << 10

// Kubernetes returns the API server's version, such as v1.37.1.
func (c *Client) Kubernetes(ctx context.Context) (string, error) {
	var answer struct {
		GitVersion string `json:"gitVersion"`
	}
	err := c.Do(ctx, User{}, Request{Method: http.MethodGet, Path: "/version"}, maxVersionBytes, &answer)
	return answer.GitVersion, err
}

// ReadLimited reads all of r; more than limit bytes are [ErrTooLarge].
func ReadLimited(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return data, nil
}

// Failure returns nil for an answer of status 2xx, else what its body says as an
// error of k8s.io/apimachinery/pkg/api/errors.
func Failure(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // as much as there is
	if s, ok := StatusOf(body); ok {
		if s.Code == 0 {
			s.Code = int32(resp.StatusCode)
		}
		return apierrors.FromObject(&s)
	}
	method := ""
	if resp.Request != nil {
		method = resp.Request.Method
	}
	text := strings.TrimSpace(string(body))
	return apierrors.NewGenericServerResponse(resp.StatusCode, method, schema.GroupResource{}, "", text, 0, true)
}

// StatusOf reads a Status (meta/v1) from JSON.
func StatusOf(body []byte) (metav1.Status, bool) {
	var s metav1.Status
	err := json.Unmarshal(body, &s)
	return s, err == nil && s.Kind == "Status"
}

// Refused tells whether an error is the API server's answer that a request must
// not or cannot be made, as against one that may be tried again.
func Refused(err error) bool {
	s := apierrors.APIStatus(nil)
	if !errors.As(err, &s) {
		return false
	}
	switch code := s.Status().Code; code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests:
		return false
	default:
		return code >= 400 && code < 500
	}
}

// NotImpersonated tells whether an error says that cloudcore itself may not make
// requests in a user's name: its roles are at fault, not the user.
func NotImpersonated(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot impersonate")
}
