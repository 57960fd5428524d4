package simulator

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

// start starts cameras on the loopback, with a port of WS-Discovery that no
// other test has.
func start(t *testing.T, o Options) *Simulator {
	t.Helper()
	if o.DiscoveryPort == 0 {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.DiscoveryPort = conn.LocalAddr().(*net.UDPAddr).Port
		conn.Close()
	}
	if o.Addresses == nil {
		o.Addresses = loopback
	}
	o.MaxDelay, o.Once = -1, true
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tell sends a datagram to a camera and returns what comes back until nothing
// does for a moment.
func tell(t *testing.T, s *Simulator, c *Camera, text string, atLeast int) []string {
	t.Helper()
	conn, err := net.Dial("udp", netip.AddrPortFrom(c.Address().Addr(), uint16(s.options.DiscoveryPort)).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	var answers []string
	buffer := make([]byte, maxRequestBytes)
	for {
		patience := 50 * time.Millisecond
		if len(answers) < atLeast {
			patience = eventually.Patience
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buffer)
		if err != nil {
			return answers
		}
		answers = append(answers, string(buffer[:n]))
	}
}

// post calls an operation; header is the content of the SOAP header.
func post(t *testing.T, client *http.Client, url, header, operation string, change ...func(*http.Request)) (int, string, http.Header, error) {
	t.Helper()
	body := `<s:Envelope xmlns:s="` + nsEnvelope + `"><s:Header>` + header + `</s:Header><s:Body>` + operation + `</s:Body></s:Envelope>`
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(data), resp.Header, err
}

// newClient returns a client that follows no redirect and keeps no connection.
func newClient(t *testing.T, s *Simulator) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots()}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const (
	getInformation = `<GetDeviceInformation xmlns="` + nsDevice + `"/>`
	getTime        = `<GetSystemDateAndTime xmlns="` + nsDevice + `"/>`
)

// token is the header of a client with these credentials and this clock.
func token(username, password string, at time.Time, nonce string) string {
	created := at.UTC().Format("2006-01-02T15:04:05.000Z")
	sum := sha1.Sum([]byte(nonce + created + password))
	return `<Security xmlns="` + nsSecurity + `"><UsernameToken><Username>` + username + `</Username><Password Type="` + passwordDigest + `">` +
		base64.StdEncoding.EncodeToString(sum[:]) + `</Password><Nonce>` + base64.StdEncoding.EncodeToString([]byte(nonce)) +
		`</Nonce><Created xmlns="` + nsUtility + `">` + created + `</Created></UsernameToken></Security>`
}

// A probe to an address is answered by the cameras there, by each once.
func TestUnicastProbe(t *testing.T) {
	leaktest.Check(t)
	s := start(t, Options{Count: 3, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}})
	probe := wrap(actionProbe, `<x:Probe><x:Types xmlns:n="`+nsNetwork+`">n:NetworkVideoTransmitter</x:Types></x:Probe>`)
	answers := tell(t, s, s.Cameras()[0], probe, 2)
	if len(answers) != 2 {
		t.Fatalf("%d answers", len(answers))
	}
	for i, c := range []*Camera{s.Cameras()[0], s.Cameras()[2]} {
		if !strings.Contains(answers[i], c.UUID) || !strings.Contains(answers[i], c.XAddr()) || !strings.Contains(answers[i], ">urn:uuid:1</a:RelatesTo>") {
			t.Errorf("camera %d: %s", c.Number, answers[i])
		}
	}
	if answers := tell(t, s, s.Cameras()[1], wrap(actionProbe, `<x:Probe><x:Scopes>urn:other</x:Scopes></x:Probe>`), 0); len(answers) > 0 {
		t.Errorf("not meant, and answered: %s", answers)
	}
	resolve := wrap(actionResolve, `<x:Resolve><w:EndpointReference><w:Address>`+strings.ToUpper(s.Cameras()[1].Reference())+`</w:Address></w:EndpointReference></x:Resolve>`)
	if answers := tell(t, s, s.Cameras()[1], resolve, 1); len(answers) != 1 || !strings.Contains(answers[0], "ResolveMatch>") {
		t.Errorf("resolve: %s", answers)
	}
}

// Who may ask what, by which means (ONVIF Core 5.9.1).
func TestAuthentication(t *testing.T) {
	leaktest.Check(t)
	now := time.Now()
	for _, tt := range []struct {
		auth         Auth
		name, header string
		want         int
	}{
		{AuthNone, "nothing", "", 200},
		{AuthUsernameToken, "nothing", "", 400},
		{AuthUsernameToken, "token", token("admin", "akri", now, "n1"), 200},
		{AuthUsernameToken, "wrong password", token("admin", "wrong", now, "n2"), 400},
		{AuthUsernameToken, "wrong user", token("root", "akri", now, "n3"), 400},
		{AuthUsernameToken, "clock behind", token("admin", "akri", now.Add(-time.Hour), "n4"), 400},
		{AuthUsernameToken, "clock ahead", token("admin", "akri", now.Add(time.Hour), "n5"), 400},
		{AuthDigest, "nothing", "", 401},
		{AuthDigest, "token", token("admin", "akri", now, "n6"), 401},
		{AuthBoth, "nothing", "", 401},
		{AuthBoth, "token", token("admin", "akri", now, "n7"), 200},
		{AuthBoth, "wrong password", token("admin", "wrong", now, "n8"), 400},
	} {
		t.Run(string(tt.auth)+"/"+tt.name, func(t *testing.T) {
			s := start(t, Options{Auth: tt.auth, NoRTSP: true})
			c, client := s.Cameras()[0], newClient(t, s)
			status, text, _, err := post(t, client, c.XAddr(), "", getTime)
			if err != nil || status != 200 || !strings.Contains(text, "GetSystemDateAndTimeResponse") {
				t.Errorf("the time: %d, %v\n%s", status, err, text)
			}
			status, text, header, err := post(t, client, c.XAddr(), tt.header, getInformation)
			if err != nil || status != tt.want {
				t.Errorf("%d, %v, want %d\n%s", status, err, tt.want, text)
			}
			switch tt.want {
			case 200:
				if !strings.Contains(text, c.SerialNumber) {
					t.Error(text)
				}
				if tt.auth != AuthNone { // a nonce is good once
					if status, text, _, _ := post(t, client, c.XAddr(), tt.header, getInformation); status != 400 || !strings.Contains(text, "used before") {
						t.Errorf("the second time: %d %s", status, text)
					}
				}
			case 400:
				if !strings.Contains(text, "ter:NotAuthorized") || header.Get("WWW-Authenticate") != "" {
					t.Errorf("%v %s", header, text)
				}
			case 401:
				if !strings.HasPrefix(header.Get("WWW-Authenticate"), "Digest ") {
					t.Error(header)
				}
			}
		})
	}
}

func TestTLS(t *testing.T) {
	leaktest.Check(t)
	s := start(t, Options{TLS: true, NoRTSP: true})
	c, client := s.Cameras()[0], newClient(t, s)
	if !strings.HasPrefix(c.XAddr(), "https://") {
		t.Error(c.XAddr())
	}
	if _, _, _, err := post(t, client, c.XAddr(), "", getTime); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	roots := x509.NewCertPool()
	if block, _ := pem.Decode(s.Issuer()); !roots.AppendCertsFromPEM(s.Issuer()) || !roots.Equal(s.Roots()) {
		t.Errorf("the issuer is %v", block)
	}
	c.SetFaults(Faults{Expired: true})
	if _, _, _, err := post(t, client, c.XAddr(), "", getTime); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
}

// Simulators of one seed share its cameras.
func TestFirst(t *testing.T) {
	s := start(t, Options{First: 3, Count: 2, NoRTSP: true})
	for i, c := range s.Cameras() {
		if want := Identify("akri", 3+i); c.UUID != want.UUID || c.Number != 3+i {
			t.Errorf("camera %d is %+v, want %+v", i, c.Identity, want)
		}
		if same, err := s.Camera(3 + i); err != nil || same != c {
			t.Errorf("Camera(%d): %v, %v", 3+i, same, err)
		}
	}
	for _, n := range []int{2, 5} {
		if _, err := s.Camera(n); err == nil {
			t.Errorf("there is a camera %d", n)
		}
	}
}

// A snapshot is a picture of this camera.
func TestSnapshot(t *testing.T) {
	s := start(t, Options{Count: 2, First: 2, NoRTSP: true})
	client := newClient(t, s)
	for _, c := range s.Cameras() {
		for _, p := range profiles {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url(c.Address(), "/snapshot/"+p.token), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			img, err := jpeg.Decode(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if number, _, err := ReadMarks(img); err != nil || number != c.Number {
				t.Errorf("camera %d, %s: it is of %d, %v", c.Number, p.token, number, err)
			}
		}
	}
}
