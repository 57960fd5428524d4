// Package soap calls the web services of a camera: SOAP 1.2 over HTTP or HTTPS,
// with the two ways to authenticate that ONVIF knows, WS-UsernameToken and HTTP
// digest.
//
// A [Client] talks to one [Target], whose IP address somebody has judged: it
// never connects to another, whatever names, redirects and answers say. What a
// camera sends is bounded in size, depth and time.
package soap

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/onvif/plainxml"
	"github.com/akri-go/akri/internal/onvif/users"
)

const (
	// MaxBody is how much of an answer is read, in bytes. Real ones have a few
	// KiB.
	MaxBody   = 256 << 10
	maxHeader = 16 << 10 // bytes
	// DefaultTimeout is how long one call may take.
	DefaultTimeout = 3 * time.Second
)

// Target is a service of a camera.
type Target struct {
	// URL is where it says to be, with http or https.
	URL *url.URL
	// Address is what is connected to.
	Address netip.AddrPort
}

// Credentials are a user's.
type Credentials = users.User

// Options say how to call.
type Options struct {
	// Credentials are for calls that need a user; nil if there are none.
	Credentials *Credentials
	// RootCAs are whom https trusts; those of the system if nil.
	RootCAs *x509.CertPool
	// SkipTLSVerify takes any certificate.
	SkipTLSVerify bool
	// Timeout is how long one call may take; [DefaultTimeout] if 0.
	Timeout time.Duration
}

// Client calls one target. It is for one goroutine. Close it.
type Client struct {
	target  Target
	options Options
	http    *http.Client
	offset  time.Duration // how far the camera's clock is ahead
	digest  *digestState  // once the camera has asked for HTTP digest
}

// NewClient connects when it calls.
func NewClient(t Target, o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	address := t.Address.String()
	transport := &http.Transport{ // without a proxy: the address was judged, not the proxy's
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
		TLSClientConfig:    &tls.Config{RootCAs: o.RootCAs, InsecureSkipVerify: o.SkipTLSVerify},
		DisableCompression: true, // a body that is small on the wire must not become large
		MaxConnsPerHost:    1,
		// Package net/http logs what comes unasked on a connection that waits for the
		// next request: a stranger could fill the log. With https it is none whose
		// certificate is not trusted.
		DisableKeepAlives:      t.URL.Scheme == "http",
		MaxResponseHeaderBytes: maxHeader,
	}
	return &Client{target: t, options: o, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes what is connected.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// SetClock tells how far the camera's clock is ahead of ours. Tokens with
// another time than the camera's are refused by it.
func (c *Client) SetClock(ahead time.Duration) { c.offset = ahead }

// Access is whether a call needs a user.
type Access bool

// The kinds of access. Which calls are of which kind ONVIF says (Core
// Specification, section 5.9.4.3).
const (
	Anonymous Access = false
	AsUser    Access = true
)

// Call calls an operation and returns its response, a struct whose XMLName has
// the local name of the response. Request marshals to the operation's element.
//
// Errors are [*AuthError], [*Fault], [*StatusError], [*RedirectError],
// [ErrTooLarge], or of the network, of TLS or of XML.
func Call[T any](ctx context.Context, c *Client, access Access, request any) (T, error) {
	var answer struct {
		XMLName xml.Name `xml:"Envelope"`
		Body    struct {
			Fault   *faultXML `xml:"Fault"`
			Content *T        `xml:",any"`
		} `xml:"Body"`
	}
	body, err := c.exchange(ctx, access, request)
	if err != nil {
		var none T
		return none, err
	}
	if err := plainxml.Unmarshal(body, &answer); err != nil {
		var none T
		return none, fmt.Errorf("read the answer: %w", err)
	}
	if answer.Body.Content == nil {
		var none T
		return none, errors.New("read the answer: it is empty")
	}
	return *answer.Body.Content, nil
}

// exchange sends a request, with the user if there is need, and returns the body
// of an answer that is no fault.
func (c *Client) exchange(ctx context.Context, access Access, request any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	content, err := xml.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	user := c.options.Credentials
	if access == Anonymous || user == nil {
		r, err := c.post(ctx, envelope("", content), "")
		if err != nil {
			return nil, err
		}
		return r.content(user, false)
	}
	// Once a camera has asked for digest it gets digest alone: some refuse what
	// has both.
	if c.digest != nil {
		return c.postWithDigest(ctx, user, content, false)
	}
	token, err := usernameToken(*user, time.Now().Add(c.offset))
	if err != nil {
		return nil, err
	}
	r, err := c.post(ctx, envelope(token, content), "")
	if err != nil {
		return nil, err
	}
	if f := readFault(r.body); f != nil && slices.Contains(f.Codes, "MustUnderstand") { // it knows no tokens
		if r, err = c.post(ctx, envelope("", content), ""); err != nil {
			return nil, err
		}
	}
	if r.status == http.StatusUnauthorized {
		if challenge, ok := strongest(r.header.Values("WWW-Authenticate")); ok {
			c.digest = &digestState{challenge: challenge}
			return c.postWithDigest(ctx, user, content, true)
		}
	}
	return r.content(user, true)
}

func (c *Client) postWithDigest(ctx context.Context, user *Credentials, content []byte, fresh bool) ([]byte, error) {
	r, err := c.withDigest(user, http.MethodPost, fresh, func(authorization string) (reply, error) {
		return c.post(ctx, envelope("", content), authorization)
	})
	if err != nil {
		return nil, err
	}
	return r.content(user, true)
}

// withDigest sends a request with HTTP digest, and again if the camera wants
// another nonce. Fresh says that the nonce is new, so that no other is asked for.
func (c *Client) withDigest(user *Credentials, method string, fresh bool, send func(authorization string) (reply, error)) (
	reply, error,
) {
	for {
		authorization, err := c.digest.authorize(*user, method, c.target.URL.RequestURI())
		if err != nil {
			return reply{}, err
		}
		r, err := send(authorization)
		if err != nil {
			return reply{}, err
		}
		challenge, again := strongest(r.header.Values("WWW-Authenticate"))
		if r.status != http.StatusUnauthorized || !again || fresh && !challenge.stale {
			return r, nil
		}
		if fresh && challenge.stale && c.digest.renewed {
			return reply{}, &AuthError{User: user.Username, Reason: "every nonce is stale"}
		}
		c.digest = &digestState{challenge: challenge, renewed: true}
		fresh = true
	}
}

// reply is an answer of HTTP.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (c *Client) post(ctx context.Context, body []byte, authorization string) (reply, error) {
	return c.send(ctx, http.MethodPost, body, authorization, MaxBody)
}

// send sends a request, and reads at most so many bytes of what is answered.
func (c *Client) send(ctx context.Context, method string, body []byte, authorization string, limit int) (reply, error) {
	u := *c.target.URL
	if host, zone, ok := strings.Cut(u.Host, "%"); ok { // which no camera knows
		u.Host = host + zone[max(0, strings.IndexByte(zone, ']')):]
	}
	u.User = nil
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("call: %w", err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	}
	req.Header.Set("User-Agent", "akri")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var asked *url.Error // which says the URL once more
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return reply{}, steady(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return reply{}, &RedirectError{To: resp.Header.Get("Location")}
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return reply{}, fmt.Errorf("read the answer: %w", steady(err))
	}
	if len(answer) > limit {
		return reply{}, fmt.Errorf("the answer has more than %d KiB: %w", limit>>10, ErrTooLarge)
	}
	return reply{resp.StatusCode, resp.Header, answer}, nil
}

// content returns the body, or what the answer says instead. Tried says that the
// user was named.
func (r reply) content(user *Credentials, tried bool) ([]byte, error) {
	fault := readFault(r.body)
	refused := r.status == http.StatusUnauthorized || r.status == http.StatusForbidden ||
		fault != nil && fault.notAuthorized()
	switch {
	case refused:
		e := &AuthError{}
		if tried {
			e.User, e.NoPassword = user.Username, user.Password == ""
		}
		if fault != nil {
			e.Reason = fault.Reason
		}
		return nil, e
	case fault != nil:
		return nil, fault
	case r.status != http.StatusOK:
		return nil, &StatusError{Code: r.status}
	}
	return r.body, nil
}

func envelope(header string, content []byte) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` +
		`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">`)
	if header != "" {
		b.WriteString("<s:Header>" + header + "</s:Header>")
	}
	b.WriteString("<s:Body>")
	b.Write(content)
	b.WriteString("</s:Body></s:Envelope>")
	return b.Bytes()
}
