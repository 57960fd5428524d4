package address

import (
	"net/netip"
	"testing"
)

func TestMetadata(t *testing.T) {
	for text, want := range map[string]bool{
		"169.254.169.254":        true,
		"::ffff:169.254.169.254": true,
		"64:ff9b::a9fe:a9fe":     true, // NAT64
		"2002:a9fe:a9fe::1":      true, // 6to4
		"::a9fe:a9fe":            true,
		"fd00:ec2::254":          true,
		"fd00:ec2::254%eth0":     true,
		"169.254.169.253":        false,
		"64:ff9b::a00:1":         false,
		"::1":                    false,
		"::":                     false,
		"10.0.0.1":               false,
	} {
		if got := Metadata(netip.MustParseAddr(text)); got != want {
			t.Errorf("Metadata(%s) = %v", text, got)
		}
	}
}
