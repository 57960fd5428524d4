package simulator

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// wrap makes an envelope as another program would write it.
func wrap(action, body string) string {
	return `<Envelope xmlns="` + nsEnvelope + `" xmlns:w="` + nsAddressing + `" xmlns:x="` + nsDiscovery + `">` +
		`<Header><w:MessageID>urn:uuid:1</w:MessageID><w:Action>` + action + `</w:Action></Header><Body>` + body + `</Body></Envelope>`
}

func TestReadQuestion(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want string // of the error; "" is none
		test func(question) bool
	}{
		"all cameras": {wrap(actionProbe, `<x:Probe/>`), "", func(q question) bool { return len(q.probe.types) == 0 && q.id == "urn:uuid:1" }},
		"a prefix that is declared at the element": {wrap(actionProbe, `<x:Probe><x:Types xmlns:n="`+nsNetwork+`"> n:NetworkVideoTransmitter
			</x:Types></x:Probe>`), "", func(q question) bool { return slices.Equal(q.probe.types, deviceTypes[:1]) }},
		"scopes": {wrap(actionProbe, `<x:Probe><x:Scopes MatchBy="`+ruleStrcmp0+`">a:b c:d</x:Scopes></x:Probe>`), "",
			func(q question) bool {
				return slices.Equal(q.probe.scopes, []string{"a:b", "c:d"}) && q.probe.matchBy == ruleStrcmp0
			}},
		"resolve": {wrap(actionResolve, `<x:Resolve><w:EndpointReference><w:Address>urn:uuid:2</w:Address></w:EndpointReference></x:Resolve>`), "",
			func(q question) bool { return q.resolve == "urn:uuid:2" }},
		"a prefix that is not declared": {wrap(actionProbe, `<x:Probe><x:Types>n:NetworkVideoTransmitter</x:Types></x:Probe>`), "not declared", nil},
		"Hello":                         {wrap(nsDiscovery+"/Hello", `<x:Hello/>`), errNotAsked.Error(), nil},
		"no body":                       {wrap(actionProbe, ``), "without a body", nil},
		"no reference":                  {wrap(actionResolve, `<x:Resolve/>`), "without an endpoint reference", nil},
		"no id":                         {`<s:Envelope xmlns:s="` + nsEnvelope + `"/>`, "no MessageID", nil},
		"another SOAP":                  {`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>`, "no SOAP 1.2", nil},
		"a bomb":                        {string(bomb()), "document type", nil},
		"deep":                          {strings.Repeat("<a>", 100), "too many", nil},
		"wide":                          {"<a>" + strings.Repeat("<b/>", 3000), "too many", nil},
		"long":                          {strings.Repeat(" ", maxRequest+1), "more than", nil},
		"two roots":                     {"<a/><b/>", "two roots", nil},
		"nothing":                       {"", "EOF", nil},
	} {
		q, err := readQuestion([]byte(tt.text))
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		case tt.want == "" && !tt.test(q):
			t.Errorf("%s: %+v", name, q)
		}
	}
}

// What cameras say can be read, whatever is in it.
func TestAnswers(t *testing.T) {
	id := Identify("x", 5)
	what := target{"urn:uuid:" + id.UUID, deviceTypes, scopesOf(id, []string{"urn:<&>"}), []string{"http://h/a?b&c"}, 3}
	for name, data := range map[string][]byte{
		"Hello": hello(what, sequence{1, 2}), "Bye": bye(what, sequence{1, 2}),
		"ProbeMatches": probeMatches(what, "urn:q", sequence{1, 2}), "ResolveMatches": resolveMatches(what, "urn:q", sequence{1, 2}),
	} {
		root, err := parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a := root.find(envelope("Header"), addressing("Action")).content(); a != nsDiscovery+"/"+name {
			t.Errorf("%s: action %q", name, a)
		}
		body := root.find(envelope("Body"), discovery(name))
		if inner := body.find(discovery(strings.TrimSuffix(name, "es"))); inner != nil {
			body = inner
		}
		if a := body.find(addressing("EndpointReference"), addressing("Address")).content(); a != what.reference {
			t.Errorf("%s: endpoint reference %q", name, a)
		}
		if name == "Bye" {
			continue
		}
		types, err := body.find(discovery("Types")).qnames()
		if err != nil || !slices.Equal(types, deviceTypes) {
			t.Errorf("%s: types %v, %v", name, types, err)
		}
		if s := strings.Fields(body.find(discovery("Scopes")).content()); !slices.Equal(s, what.scopes) {
			t.Errorf("%s: scopes %q", name, s)
		}
		if x := body.find(discovery("XAddrs")).content(); x != "http://h/a?b&c" {
			t.Errorf("%s: XAddrs %q", name, x)
		}
	}
}

func FuzzReadQuestion(f *testing.F) {
	f.Add([]byte(wrap(actionProbe, `<x:Probe><x:Types xmlns:n="`+nsNetwork+`">n:NetworkVideoTransmitter</x:Types><x:Scopes>onvif://www.onvif.org/type</x:Scopes></x:Probe>`)))
	f.Add([]byte(wrap(actionResolve, `<x:Resolve/>`)))
	f.Add(bomb())
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := readQuestion(data)
		if err == nil && (q.probe == nil) == (q.resolve == "") {
			t.Errorf("%+v", q)
		}
		if err != nil && errors.Is(err, errNotAsked) && q.id == "" {
			t.Error("it has no id")
		}
		if q.probe != nil {
			q.probe.matches(deviceTypes, scopesOf(Identify("x", 1), nil))
		}
	})
}
