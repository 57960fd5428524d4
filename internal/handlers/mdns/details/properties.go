package details

import "strings"

// What brokers read of a device.
const (
	PropertyInstance = "MDNS_INSTANCE"
	PropertyType     = "MDNS_TYPE"
	PropertyHost     = "MDNS_HOST"
	PropertyAddress  = "MDNS_ADDRESS"
	PropertyPort     = "MDNS_PORT"
	// PropertyTXT is how the names of properties with a key's value begin.
	PropertyTXT = "MDNS_TXT_"
)

// reservedEnds are how no property's name ends: agents refuse them, since
// variables of such names change how programs run.
func reservedEnds() []string {
	return []string{"_PROXY", "_OPTIONS", "_OPTS", "_PRELOAD", "_CA_BUNDLE"}
}

// TXTProperty returns the name of the property with the value of a key: MDNS_TXT_
// and the key in upper case, with _ for all that is no letter or digit. A _ stands
// after one that would end like a variable that changes how programs run.
func TXTProperty(key string) string {
	name := PropertyTXT + strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, key)
	for _, end := range reservedEnds() {
		if strings.HasSuffix(name, end) {
			return name + "_"
		}
	}
	return name
}
