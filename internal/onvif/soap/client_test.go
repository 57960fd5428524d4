package soap

import (
	"bufio"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/testlog"
)

type ping struct {
	XMLName xml.Name `xml:"urn:test Ping"`
	Text    string   `xml:"Text"`
}

type pong struct {
	XMLName xml.Name `xml:"PingResponse"`
	Text    string   `xml:"Text"`
}

const answer = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>` +
	`<t:PingResponse xmlns:t="urn:test"><t:Text>hello</t:Text></t:PingResponse></s:Body></s:Envelope>`

func fault(codes ...string) string {
	open, end := "", ""
	for _, c := range codes {
		open += "<s:Subcode><s:Value>" + c + "</s:Value>"
		end += "</s:Subcode>"
	}
	return `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value>` +
		open + end + `</s:Code><s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>`
}

// client returns one for a fake camera: a plain HTTP server of Go's.
func client(t *testing.T, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	leaktest.Check(t)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := NewClient(Target{URL: &url.URL{Scheme: "http", Host: "camera.invalid", Path: "/svc"}, Address: address(t, server.Listener.Addr())}, o)
	t.Cleanup(c.Close)
	return c
}

func address(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	return a.(*net.TCPAddr).AddrPort()
}

// The name in the URL is not looked up: what was judged is connected to.
func TestCall(t *testing.T) {
	c := client(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Host != "camera.invalid" || r.URL.Path != "/svc" || !strings.Contains(string(body), `<Ping xmlns="urn:test"><Text>a&amp;b</Text></Ping>`) ||
			strings.Contains(string(body), "Security") || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("%v, %s, %s", err, body, r.Host)
		}
		io.WriteString(w, answer)
	})
	got, err := Call[pong](t.Context(), c, Anonymous, ping{Text: "a&b"})
	if err != nil || got.Text != "hello" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		check   func(error) bool
	}{
		"fault": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, fault("ter:ActionNotSupported"))
		}, func(err error) bool {
			var f *Fault
			return errors.As(err, &f) && strings.Join(f.Codes, " ") == "Sender ActionNotSupported" && f.Reason == "no"
		}},
		"not authorized": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, fault("ter:NotAuthorized"))
		}, IsAuth},
		"401 alone": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, IsAuth},
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, func(err error) bool {
			var s *StatusError
			return errors.As(err, &s) && s.Code == 404
		}},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusTemporaryRedirect)
		}, func(err error) bool {
			var r *RedirectError
			return errors.As(err, &r) && r.To == "http://127.0.0.1:1/x"
		}},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for range 10_000 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}, func(err error) bool { return errors.Is(err, ErrTooLarge) }},
		"another response": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, strings.ReplaceAll(answer, "PingResponse", "OtherResponse"))
		}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "OtherResponse") }},
		"empty": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `<Envelope><Body></Body></Envelope>`)
		}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "it is empty") }},
		"no XML": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "It works!") },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "no XML element") }},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Call[pong](t.Context(), client(t, Options{}, c.handler), Anonymous, ping{})
			if !c.check(err) {
				t.Errorf("%T %v", err, err)
			}
		})
	}
}

// A camera that says nothing ends with the call's time, and the text of the
// error does not change from call to call.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	c := client(t, Options{Timeout: 50 * time.Millisecond}, func(http.ResponseWriter, *http.Request) { <-release })
	_, err := Call[pong](t.Context(), c, Anonymous, ping{})
	close(release)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v", err)
	}
	closed := NewClient(Target{URL: &url.URL{Scheme: "http", Host: "x"}, Address: netip.MustParseAddrPort("127.0.0.1:1")}, Options{})
	if _, err := Call[pong](t.Context(), closed, Anonymous, ping{}); err == nil || strings.ContainsAny(err.Error(), "0123456789") {
		t.Errorf("%v", err)
	}
}

// A nonce that is stale is replaced, once; a password that is wrong is tried once.
func TestStaleNonce(t *testing.T) {
	for _, c := range []struct {
		stale int32 // so many nonces are
		right bool
		calls int32
	}{{0, true, 2}, {1, true, 3}, {99, true, 3}, {0, false, 2}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var calls atomic.Int32
			camera := client(t, Options{Credentials: &Credentials{Username: "u", Password: "p"}}, func(w http.ResponseWriter, r *http.Request) {
				n := calls.Add(1)
				authorization := r.Header.Get("Authorization")
				if authorization != "" && c.right && n > c.stale+1 {
					io.WriteString(w, answer)
					return
				}
				stale := authorization != "" && c.right
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Digest realm="r", nonce="%d", qop="auth", stale=%t`, n, stale))
				w.WriteHeader(http.StatusUnauthorized)
			})
			_, err := Call[pong](t.Context(), camera, AsUser, ping{})
			if good := c.right && c.stale < 2; good != (err == nil) || !good && !IsAuth(err) || calls.Load() != c.calls {
				t.Errorf("%d calls, %v", calls.Load(), err)
			}
		})
	}
}

// A camera that knows no tokens is asked without.
func TestNoTokens(t *testing.T) {
	camera := client(t, Options{Credentials: &Credentials{Username: "u", Password: "p"}}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), "UsernameToken") {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, strings.Replace(fault(), "s:Sender", "s:MustUnderstand", 1))
			return
		}
		io.WriteString(w, answer)
	})
	if got, err := Call[pong](t.Context(), camera, AsUser, ping{}); err != nil || got.Text != "hello" {
		t.Errorf("%+v, %v", got, err)
	}
}

// The example of the WSS UsernameToken Profile has no digest; this one is of the
// ONVIF Application Programmer's Guide, section 6.1.1.3.
func TestTokenDigest(t *testing.T) {
	raw, err := base64.StdEncoding.DecodeString("LKqI6G/AikKCQrN0zqZFlg==")
	if err != nil {
		t.Fatal(err)
	}
	if got := tokenDigest(raw, "2010-09-16T07:50:45Z", "userpassword"); got != "tuOSpGlFlIXsozq4HFNeeGeFLEI=" {
		t.Errorf("%s", got)
	}
	text, err := usernameToken(Credentials{Username: "<a>", Password: "secret"}, time.Unix(0, 0))
	if err != nil || !strings.Contains(text, "<w:Username>&lt;a&gt;</w:Username>") || strings.Contains(text, "secret") ||
		!strings.Contains(text, "<u:Created>1970-01-01T00:00:00.000Z</u:Created>") {
		t.Errorf("%v, %s", err, text)
	}
}

func FuzzFault(f *testing.F) {
	f.Add(fault("ter:NotAuthorized", "ter:More"))
	f.Add(answer)
	f.Add(`<Envelope><Body><Fault><faultcode>s:Server</faultcode><faultstring>x</faultstring></Fault></Body></Envelope>`)
	f.Fuzz(func(t *testing.T, body string) {
		if e := readFault([]byte(body)); e != nil && (len(e.Reason) > 128 || len(e.Codes) > 64) {
			t.Errorf("%+v", e)
		}
	})
}

// A camera that sends more than it is asked for writes nothing into the log.
func TestUnasked(t *testing.T) {
	var text testlog.Buffer
	log.SetOutput(&text)
	defer log.SetOutput(os.Stderr)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		fmt.Fprint(conn, "and something else")
		_, _ = io.Copy(io.Discard, conn) // until the client closes it
	}()
	u := &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
	c := NewClient(Target{URL: u, Address: address(t, l.Addr())}, Options{})
	_, err = Call[pong](t.Context(), c, Anonymous, ping{})
	<-ended
	c.Close()
	if err != nil || text.String() != "" {
		t.Errorf("%v, and the log is %q", err, text.String())
	}
}
