package mdns

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/internal/handlers/mdns/details"
)

// maxTextProperties is how many keys of a TXT record become properties; an agent
// takes 64 properties of a device.
const maxTextProperties = 48

// attribute is what a string of a TXT record says.
type attribute struct {
	key   string // as it is written
	value string // any bytes
}

// attributes reads a TXT record (RFC 6763, section 6.4). Of a key that is there
// twice, in whatever case, the first counts; strings without a key are left out.
func attributes(text string) (list []attribute) {
	for len(text) > 0 {
		n := 1 + int(text[0])
		if n > len(text) {
			return list
		}
		key, value, _ := strings.Cut(text[1:n], "=")
		text = text[n:]
		if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
			continue
		}
		if _, there := valueOf(list, key); !there {
			list = append(list, attribute{key, value})
		}
	}
	return list
}

// valueOf returns the value of a key.
func valueOf(list []attribute, key string) (value string, there bool) {
	for _, a := range list {
		if strings.EqualFold(a.key, key) {
			return a.value, true
		}
	}
	return "", false
}

// addText adds a property for each key that is wanted. A value that is no text is
// written in hexadecimal digits, to a name that says so. Of two keys with the same
// name the first counts.
func addText(properties map[string]string, d details.Details, list []attribute) {
	n := 0
	for _, a := range list {
		if !d.TXTProperties.Pass(a.key) || n == maxTextProperties {
			continue
		}
		name, value := details.TXTProperty(a.key), a.value
		if !printable(value) {
			name, value = name+"_HEX", hex.EncodeToString([]byte(value))
		}
		if _, taken := properties[name]; !taken {
			properties[name] = value
			n++
		}
	}
}

// printable tells whether a value is text.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
