package camera

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/onvif/plainxml"
	"github.com/akri-go/akri/internal/onvif/soap"
)

// fake is a camera that says what it is told to: no real one, but a server of
// Go's on the loopback. The real peer is the simulator, in the integration tests.
type fake struct {
	mu      sync.Mutex
	answers map[string]string // by operation; what there is none for is a fault
	asked   []string
}

const noAction = `<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>ter:ActionNotSupported</s:Value></s:Subcode></s:Code>` +
	`<s:Reason><s:Text>no</s:Text></s:Reason></s:Fault>`

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := noAction
	for operation, text := range f.answers {
		if strings.Contains(string(body), "<"+operation+" ") {
			f.asked = append(f.asked, operation)
			answer = text
		}
	}
	fmt.Fprintf(w, `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>%s</s:Body></s:Envelope>`, answer)
}

func start(t *testing.T, answers map[string]string) (f *fake, xaddr string) {
	t.Helper()
	leaktest.Check(t)
	f = &fake{answers: answers}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL + "/onvif/device_service"
}

func question(xaddrs ...string) Question {
	return Question{Sightings: []Sighting{{XAddrs: xaddrs, From: addr("127.0.0.1"), Scopes: []string{"onvif://www.onvif.org/name/Old"}}}, Names: names{}}
}

const (
	clock = `<GetSystemDateAndTimeResponse><SystemDateAndTime><UTCDateTime><Time><Hour>1</Hour><Minute>2</Minute><Second>3</Second></Time>` +
		`<Date><Year>2020</Year><Month>1</Month><Day>1</Day></Date></UTCDateTime></SystemDateAndTime></GetSystemDateAndTimeResponse>`
	information = `<GetDeviceInformationResponse><Manufacturer> A  B&#9;C </Manufacturer><Model>M</Model><FirmwareVersion>1</FirmwareVersion>` +
		`<SerialNumber>S</SerialNumber><HardwareId>H</HardwareId></GetDeviceInformationResponse>`
	interfaces = `<GetNetworkInterfacesResponse>` +
		`<NetworkInterfaces><Enabled>false</Enabled><Info><HwAddress>00:00:00:00:00:01</HwAddress></Info></NetworkInterfaces>` +
		`<NetworkInterfaces><Enabled>true</Enabled><Info><HwAddress>00-00-00-00-00-02</HwAddress></Info>` +
		`<IPv4><Config><Manual><Address>10.0.0.9</Address><PrefixLength>8</PrefixLength></Manual></Config></IPv4></NetworkInterfaces>` +
		`<NetworkInterfaces><Info><HwAddress>000000000003</HwAddress></Info>` +
		`<IPv4><Config><FromDHCP><Address>127.0.0.1</Address></FromDHCP></Config></IPv4>` +
		`<IPv6><Config><LinkLocal><Address>fe80::3/64</Address></LinkLocal></Config></IPv6></NetworkInterfaces></GetNetworkInterfacesResponse>`
	someScopes = `<GetScopesResponse><Scopes><ScopeDef>Fixed</ScopeDef><ScopeItem>onvif://www.onvif.org/location/city/Bonn%20West</ScopeItem></Scopes></GetScopesResponse>`
)

func TestAsk(t *testing.T) {
	_, x := start(t, map[string]string{
		"GetSystemDateAndTime": clock, "GetDeviceInformation": information, "GetNetworkInterfaces": interfaces, "GetScopes": someScopes,
	})
	f, err := Ask(t.Context(), question(x))
	want := Facts{
		URL: x, Address: addr("127.0.0.1"), Seen: addr("127.0.0.1"),
		Addresses: []netip.Addr{addr("10.0.0.9"), addr("127.0.0.1"), addr("fe80::3")},
		MACs:      []string{"00:00:00:00:00:02", "00:00:00:00:00:03"}, MAC: "00:00:00:00:00:03",
		Manufacturer: "A B C", Model: "M", Firmware: "1", Serial: "S", Hardware: "H",
		Scopes: []string{"onvif://www.onvif.org/name/Old", "onvif://www.onvif.org/location/city/Bonn%20West"},
	}
	if err != nil || !reflect.DeepEqual(f, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, f, want)
	}
	if f.Name() != "Old" || f.Location() != "city/Bonn West" || !f.Same(want) {
		t.Errorf("%q, %q", f.Name(), f.Location())
	}
}

// What a camera does not have is no fault; that it speaks SOAP is enough.
func TestAskLittle(t *testing.T) {
	_, x := start(t, nil)
	f, err := Ask(t.Context(), question(x))
	if err != nil || f.Missing != nil || f.URL != x || f.Manufacturer != "" {
		t.Errorf("%+v, %v", f, err)
	}
	_, x = start(t, map[string]string{"GetSystemDateAndTime": clock, "GetDeviceInformation": "<Other/>"})
	if f, err = Ask(t.Context(), question(x)); err != nil || f.Missing == nil || !strings.Contains(f.Missing.Error(), "GetDeviceInformation") {
		t.Errorf("%+v, %v", f, err)
	}
}

// The URL that answered before is kept, though another is named first; when it
// does not answer any more, the other is taken.
func TestPresent(t *testing.T) {
	_, one := start(t, nil)
	_, two := start(t, nil)
	q := question(one, two)
	q.Present = two
	if f, err := Ask(t.Context(), q); err != nil || f.URL != two {
		t.Errorf("%s, %v", f.URL, err)
	}
	q = question("http://127.0.0.1:1/x", one)
	q.Present = "http://127.0.0.1:1/x"
	if f, err := Ask(t.Context(), q); err != nil || f.URL != one {
		t.Errorf("%s, %v", f.URL, err)
	}
	if _, err := Ask(t.Context(), question("http://127.0.0.1:1/x")); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:1/x: dial") {
		t.Errorf("%v", err)
	}
}

// Who sends in a camera's name, from its address, has nobody call elsewhere while
// the camera answers.
func TestPresentIsNotNamed(t *testing.T) {
	_, camera := start(t, nil)
	_, other := start(t, nil)
	q := question(other)
	q.Present, q.PresentAt = camera, addr("127.0.0.1")
	if f, err := Ask(t.Context(), q); err != nil || f.URL != camera {
		t.Errorf("%s, %v", f.URL, err)
	}
	q.Present = "http://127.0.0.1:1/x"
	if f, err := Ask(t.Context(), q); err != nil || f.URL != other {
		t.Errorf("%s, %v", f.URL, err)
	}
	q.PresentAt = addr("169.254.169.254")
	if list, err := choose(t.Context(), q); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// A camera that has many names does not make a flood for name servers.
func TestLookups(t *testing.T) {
	counted := &countingNames{}
	q := question("http://a/", "http://b/", "http://c/", "http://d/")
	q.Names = counted
	if _, err := choose(t.Context(), q); err != nil || counted.n != maxLookups {
		t.Errorf("%d names are looked up, %v", counted.n, err)
	}
}

type countingNames struct{ n int }

func (c *countingNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	c.n++
	return nil, errors.New("no such host")
}

func TestTime(t *testing.T) {
	for _, c := range []struct {
		hour, month int
		want        bool
	}{{1, 2, true}, {-1, 2, false}, {1, 13, false}, {99999999, 1, false}} {
		var r soap.SystemDateAndTime
		text := strings.NewReplacer("<Hour>1<", fmt.Sprintf("<Hour>%d<", c.hour), "<Month>1<", fmt.Sprintf("<Month>%d<", c.month)).Replace(clock)
		if err := plainxml.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if got, ok := r.Time(); ok != c.want || ok && got != time.Date(2020, time.Month(c.month), 1, c.hour, 2, 3, 0, time.UTC) {
			t.Errorf("%+v: %s, %v", c, got, ok)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&soap.AuthError{}, "it wants a user name and a password: give them in discoveryProperties"},
		{fmt.Errorf("x: %w", &soap.AuthError{User: "u", Reason: "no"}), `it refuses the user "u" or the password ("no"): correct them`},
		{&soap.AuthError{User: "u", NoPassword: true}, `it refuses the user "u" without a password: give the password in`},
		{&soap.RedirectError{To: "http://x/"}, "set the address or port"},
		{&soap.CertificateError{}, "renew the camera's certificate"},
		{x509.UnknownAuthorityError{}, "ca_certificates"},
		{plainxml.ErrDTD, "firmware"},
		{soap.ErrTooLarge, "firmware"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "too slow"},
		{errors.New("a\nb"), "a; b"},
		{x509.HostnameError{Host: "h", Certificate: &x509.Certificate{DNSNames: []string{"\x1b[2J\r\x00" + strings.Repeat("x", 1e5)}}},
			"ca_certificates"},
	} {
		got := Explain(c.err)
		if !strings.Contains(got, c.want) || strings.ContainsFunc(got, unicode.IsControl) || len(got) > 2*maxText {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{clock, information, interfaces, someScopes, noAction} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var (
			date soap.SystemDateAndTime
			info deviceInformation
			nets networkInterfaces
			told scopes
		)
		facts := Facts{Address: addr("10.0.0.1")}
		if plainxml.Unmarshal([]byte(text), &date) == nil {
			date.Time()
		}
		if plainxml.Unmarshal([]byte(text), &info) == nil {
			facts.setInformation(info)
		}
		if plainxml.Unmarshal([]byte(text), &nets) == nil {
			facts.setInterfaces(nets.Interfaces)
		}
		if plainxml.Unmarshal([]byte(text), &told) == nil {
			facts.setScopes(told.Items)
		}
		for _, s := range []string{facts.Manufacturer, facts.Model, facts.MAC, facts.Name(), facts.Location()} {
			if len(s) > maxValue || strings.ContainsAny(s, "\n\x00") {
				t.Errorf("%q", s)
			}
		}
		if len(facts.Scopes) > maxScopes || len(facts.MACs) > maxInterfaces {
			t.Errorf("%d scopes, %d MACs", len(facts.Scopes), len(facts.MACs))
		}
	})
}
