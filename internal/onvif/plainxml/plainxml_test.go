package plainxml

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
)

type document struct {
	XMLName xml.Name `xml:"urn:a top"`
	Value   string   `xml:"urn:b value"`
}

func TestUnmarshal(t *testing.T) {
	for _, text := range []string{
		`<top xmlns="urn:a" xmlns:b="urn:b"><b:value>x &amp; y</b:value></top>`,
		"\ufeff" + `<?xml version="1.0" encoding="UTF-8"?><!-- c --><a:top xmlns:a="urn:a"><value xmlns="urn:b">x &#38; y</value></a:top>`,
	} {
		var d document
		if err := Unmarshal([]byte(text), &d); err != nil || d.Value != "x & y" {
			t.Errorf("%s: %+v, %v", text, d, err)
		}
	}
	for text, want := range map[string]string{
		"":                               "no XML element",
		"GET / HTTP/1.1":                 "no XML element",
		`<top xmlns="urn:a"><a></top>`:   "closed by",
		`<top xmlns="urn:a">&lol;</top>`: "entity",
		`<top xmlns="urn:a">` + strings.Repeat("<a>", maxDepth): "nested",
		`<top xmlns="urn:a">` + strings.Repeat("<b/>", 20_000):  "pieces",
		"<a" + strings.Repeat(" b='1'", maxAttrs+1) + "/>":      "attributes",
		`<?xml version="1.0" encoding="EBCDIC"?><a/>`:           "encoding",
		`<!DOCTYPE a [<!ENTITY b "bb">]><top xmlns="urn:a">&b;`: ErrDTD.Error(),
	} {
		var d document
		if err := Unmarshal([]byte(text), &d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
	var d document
	if err := Unmarshal([]byte(bomb), &d); !errors.Is(err, ErrDTD) {
		t.Errorf("a bomb: %v", err)
	}
}

// bomb would be a gigabyte if its entities were replaced.
const bomb = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol2 "&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;">]><lolz>&lol2;</lolz>`

func FuzzUnmarshal(f *testing.F) {
	f.Add(bomb)
	f.Add(`<a:top xmlns:a="urn:a"><value xmlns="urn:b">x</value></a:top>`)
	f.Fuzz(func(t *testing.T, text string) {
		var d document
		if err := Unmarshal([]byte(text), &d); err == nil && strings.Contains(text, "<!D") && len(d.Value) > len(text) {
			t.Errorf("%q became %q", text, d.Value)
		}
	})
}
