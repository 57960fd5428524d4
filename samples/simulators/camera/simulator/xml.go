package simulator

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Namespaces.
const (
	nsEnvelope   = "http://www.w3.org/2003/05/soap-envelope"
	nsAddressing = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	nsDiscovery  = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
	nsNetwork    = "http://www.onvif.org/ver10/network/wsdl"
	nsDevice     = "http://www.onvif.org/ver10/device/wsdl"
	nsMedia      = "http://www.onvif.org/ver10/media/wsdl"
	nsSchema     = "http://www.onvif.org/ver10/schema"
	nsError      = "http://www.onvif.org/ver10/error"
	nsSecurity   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsUtility    = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
)

// prefixes are those of all that the cameras send.
var prefixes = []struct{ prefix, namespace string }{
	{"s", nsEnvelope}, {"a", nsAddressing}, {"d", nsDiscovery}, {"dn", nsNetwork},
	{"tds", nsDevice}, {"trt", nsMedia}, {"tt", nsSchema}, {"ter", nsError},
}

// What a request may be.
const (
	maxRequest  = 64 << 10
	maxDepth    = 32
	maxElements = 2000
)

// element is an element of a request.
type element struct {
	name     xml.Name
	attrs    []xml.Attr
	text     string
	children []*element
	scope    map[string]string // prefixes that are declared here or above
}

// parse reads a document. It refuses what has a document type, and so entities.
func parse(data []byte) (*element, error) {
	if len(data) > maxRequest {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), maxRequest)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var stack []*element
	var root *element
	for count := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && root != nil {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errors.New("a document type is not allowed in SOAP")
		case xml.StartElement:
			count++
			if count > maxElements || len(stack) >= maxDepth {
				return nil, errors.New("too many elements")
			}
			e := &element{name: t.Name, attrs: t.Copy().Attr}
			if len(stack) > 0 {
				parent := stack[len(stack)-1]
				parent.children = append(parent.children, e)
				e.scope = parent.scope
			} else if root == nil {
				root = e
			} else {
				return nil, errors.New("two roots")
			}
			e.declare()
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text += string(t)
			}
		}
	}
}

// declare adds the element's namespace declarations to its scope.
func (e *element) declare() {
	own := false
	for _, a := range e.attrs {
		prefix := a.Name.Local
		if a.Name.Space == "" && prefix == "xmlns" {
			prefix = ""
		} else if a.Name.Space != "xmlns" {
			continue
		}
		if !own {
			outer := e.scope
			e.scope, own = map[string]string{}, true
			for k, v := range outer {
				e.scope[k] = v
			}
		}
		e.scope[prefix] = a.Value
	}
}

// find returns the element that a path of names leads to, or nil.
func (e *element) find(path ...xml.Name) *element {
	for _, name := range path {
		var next *element
		if e != nil {
			for _, c := range e.children {
				if c.name == name {
					next = c
					break
				}
			}
		}
		e = next
	}
	return e
}

// content is the text of an element without space around it; "" if there is none.
func (e *element) content() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.text)
}

// attr returns an attribute that has no namespace, or "".
func (e *element) attr(name string) string {
	for _, a := range e.attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// qnames reads the content as a list of qualified names. A prefix that is not
// declared is an error.
func (e *element) qnames() ([]xml.Name, error) {
	var names []xml.Name
	for _, word := range strings.Fields(e.content()) {
		prefix, local, ok := strings.Cut(word, ":")
		if !ok {
			prefix, local = "", word
		}
		space, declared := e.scope[prefix]
		if prefix != "" && !declared {
			return nil, fmt.Errorf("prefix of %q is not declared", word)
		}
		names = append(names, xml.Name{Space: space, Local: local})
	}
	return names, nil
}

// node is an element of an answer: its name has one of our prefixes.
type node struct {
	name  string
	attrs []string // name, value, name, value …
	text  string
	kids  []node
}

// el makes an element with children; tx one with a text.
func el(name string, kids ...node) node { return node{name: name, kids: kids} }
func tx(name, text string) node         { return node{name: name, text: text} }

// with adds an attribute.
func (n node) with(name, value string) node {
	n.attrs = append(n.attrs[:len(n.attrs):len(n.attrs)], name, value)
	return n
}

// document writes an envelope. Nodes without a name are left out.
func document(header, body []node) []byte {
	root := node{name: "s:Envelope"}
	for _, p := range prefixes {
		root.attrs = append(root.attrs, "xmlns:"+p.prefix, p.namespace)
	}
	if len(header) > 0 {
		root.kids = append(root.kids, el("s:Header", header...))
	}
	root.kids = append(root.kids, el("s:Body", body...))
	b := bytes.NewBufferString(xml.Header)
	root.write(b)
	return b.Bytes()
}

func (n node) write(b *bytes.Buffer) {
	if n.name == "" {
		return
	}
	b.WriteString("<" + n.name)
	for i := 0; i+1 < len(n.attrs); i += 2 {
		b.WriteString(" " + n.attrs[i] + `="`)
		_ = xml.EscapeText(b, []byte(n.attrs[i+1])) // a buffer takes everything
		b.WriteString(`"`)
	}
	b.WriteString(">")
	_ = xml.EscapeText(b, []byte(n.text))
	for _, k := range n.kids {
		k.write(b)
	}
	b.WriteString("</" + n.name + ">")
}
