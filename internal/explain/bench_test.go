package explain

import (
	"fmt"
	"testing"
)

// BenchmarkExplain explains 1,000 devices with their brokers, all well.
func BenchmarkExplain(b *testing.B) {
	c := well()
	for i := range 1000 {
		name := fmt.Sprintf("cam-%06x", 0x100000+i)
		c.instance(name, "n1").Spec.DeviceUsage = map[string]string{name + "-0": "n1"}
		c.broker(name, "n1")
	}
	for b.Loop() {
		Explain(*c).All("")
	}
}
