package view

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxLabel is the longest label value, DNS label and host name.
const maxLabel = 63

// SafeName returns name if it fits into 63 characters, so that it can be a
// label value, a host name and a Service name as well; else its first 54
// characters, a dash and eight hexadecimal digits of its SHA-256.
func SafeName(name string) string {
	if len(name) <= maxLabel {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:maxLabel-9], "-.") + "-" + hex.EncodeToString(sum[:4])
}
