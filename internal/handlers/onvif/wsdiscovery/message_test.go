package wsdiscovery

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/onvif/plainxml"
)

// packet reads what a peer has sent: the camera simulator of samples/simulators,
// or Debian's wsdd, which announces computers.
func packet(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Cameras write the same in many ways; this one has SOAP's prefixes as gSOAP
// makes them, no namespace for the types, and several addresses.
const hello = `<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
<SOAP-ENV:Header><wsa:MessageID>uuid:AB12</wsa:MessageID><d:AppSequence MessageNumber="1" InstanceId="1"/></SOAP-ENV:Header>
<SOAP-ENV:Body><d:Hello><wsa:EndpointReference><wsa:Address> urn:uuid:A91B8F21-3C3E-4D0E-8E5C-001122334455 </wsa:Address></wsa:EndpointReference>
<d:Types>tdn:NetworkVideoTransmitter</d:Types><d:Scopes>
 onvif://www.onvif.org/type/ptz
 onvif://www.onvif.org/name/Front%20door</d:Scopes>
<d:XAddrs>http://192.168.1.64/onvif/device_service http://[fe80::1]/onvif/device_service</d:XAddrs><d:MetadataVersion>10</d:MetadataVersion>
</d:Hello></SOAP-ENV:Body></SOAP-ENV:Envelope>`

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		text []byte
		want Message
	}{
		{"the simulator's ProbeMatches", packet(t, "simulator-probematches.xml"), Message{
			Kind: ProbeMatches, ID: "88267397-e484-4db7-a177-25021fbd5d9a", RelatesTo: "11111111-1111-1111-1111-111111111111",
			Endpoints: []Endpoint{{
				UUID: "e7728452-cc74-5357-ab3e-2f1c7d577398", Types: []string{"NetworkVideoTransmitter", "Device"},
				Scopes: []string{"onvif://www.onvif.org/type/video_encoder", "onvif://www.onvif.org/type/Network_Video_Transmitter",
					"onvif://www.onvif.org/Profile/Streaming", "onvif://www.onvif.org/hardware/HX-200",
					"onvif://www.onvif.org/name/Camera%2001", "onvif://www.onvif.org/location/gate"},
				XAddrs: []string{"http://10.99.0.11/onvif/device_service"}, Version: 1,
			}},
		}},
		{"the simulator's Bye", packet(t, "simulator-bye.xml"), Message{
			Kind: Bye, ID: "9e7fc3ed-afd8-4239-a79b-aebc9a72fc96",
			Endpoints: []Endpoint{{UUID: "e7728452-cc74-5357-ab3e-2f1c7d577398"}},
		}},
		{"wsdd's Bye", packet(t, "wsdd-bye.xml"), Message{
			Kind: Bye, ID: "0352e3aa-ec37-11f1-a52e-921e5b1b6efe",
			Endpoints: []Endpoint{{UUID: "e5e61fb5-d685-5b50-9ba7-acb6e6962ef3"}},
		}},
		{"Hello", []byte(hello), Message{
			Kind: Hello, ID: "ab12", Endpoints: []Endpoint{{
				UUID: "a91b8f21-3c3e-4d0e-8e5c-001122334455", Types: []string{"NetworkVideoTransmitter"},
				Scopes: []string{"onvif://www.onvif.org/type/ptz", "onvif://www.onvif.org/name/Front%20door"},
				XAddrs: []string{"http://192.168.1.64/onvif/device_service", "http://[fe80::1]/onvif/device_service"}, Version: 10,
			}},
		}},
	} {
		got, err := Parse(c.text)
		for i := range got.Endpoints { // nothing and an empty list are the same
			e := &got.Endpoints[i]
			for _, list := range []*[]string{&e.Types, &e.Scopes, &e.XAddrs} {
				if len(*list) == 0 {
					*list = nil
				}
			}
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", c.name, err, got, c.want)
		}
	}
}

func match(reference, rest string) string {
	return `<Envelope><Body><ProbeMatches>` + strings.Repeat(
		`<ProbeMatch><EndpointReference><Address>`+reference+`</Address></EndpointReference>`+rest+`</ProbeMatch>`, 1) +
		`</ProbeMatches></Body></Envelope>`
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "no XML element",
		"\x00\xff":                          "XML",
		"<Envelope>":                        "XML syntax error",
		"<Other/>":                          "expected element type <Envelope>",
		match("", ""):                       "no endpoint reference",
		match("a b", ""):                    "no endpoint reference",
		match(strings.Repeat("a", 257), ""): "no endpoint reference",
		`<!DOCTYPE a [<!ENTITY b "c">]>` + match("&b;", ""): plainxml.ErrDTD.Error(),
		match("a", strings.Repeat("x", MaxMessage)):         "at most",
	} {
		if m, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %+v, %v; want %s", text, m, err, want)
		}
	}
	for _, text := range [][]byte{probe("x"), []byte("<Envelope/>"), []byte("<Envelope><Body><Resolve/></Body></Envelope>")} {
		if _, err := Parse(text); !errors.Is(err, ErrOther) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// What is too much is left out, and the rest is read.
func TestParseCuts(t *testing.T) {
	m, err := Parse([]byte(match("a", "<Types>"+strings.Repeat("x:T ", 100)+"</Types><XAddrs>http://a "+strings.Repeat("x", 600)+
		"</XAddrs><Scopes>a\u202eb c</Scopes><MetadataVersion>many</MetadataVersion>")))
	if err != nil {
		t.Fatal(err)
	}
	e := m.Endpoints[0]
	if len(e.Types) != maxList || len(e.XAddrs) != 1 || len(e.Scopes) != 1 || e.Version != 0 {
		t.Errorf("%d types, %q, %q, version %d", len(e.Types), e.XAddrs, e.Scopes, e.Version)
	}
}

func TestIsCamera(t *testing.T) {
	onvif := []string{"onvif://www.onvif.org/type/video_encoder"}
	for _, c := range []struct {
		types, scopes []string
		want          bool
	}{
		{[]string{"NetworkVideoTransmitter"}, nil, true},
		{[]string{"Device", "NetworkVideoTransmitter"}, onvif, true},
		{[]string{"Device"}, onvif, true},
		{[]string{"Device", "Computer"}, nil, false}, // wsdd, Windows
		{[]string{"Device", "PrintDeviceType"}, []string{"http://www.onvif.org"}, false},
		{nil, onvif, false},
		{nil, nil, false},
	} {
		if got := (Endpoint{Types: c.types, Scopes: c.scopes}).IsCamera(); got != c.want {
			t.Errorf("%q, %q: %v", c.types, c.scopes, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"simulator-probematches.xml", "simulator-bye.xml", "wsdd-bye.xml"} {
		f.Add(packet(f, name))
	}
	f.Add([]byte(hello))
	f.Add(probe("x"))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, err := Parse(datagram)
		if err != nil {
			return
		}
		if m.Kind == "" || len(m.Endpoints) > maxEndpoints {
			t.Errorf("%+v", m)
		}
		for _, e := range m.Endpoints {
			if e.UUID == "" || len(e.UUID) > maxUUID || len(e.XAddrs) > maxList || len(e.Scopes) > maxList || len(e.Types) > maxList {
				t.Errorf("%+v", e)
			}
		}
	})
}
