// Package grant decides what a container gets with slots of devices, and what has
// changed since it got that.
//
// Both use [Of]: what containers get, and the comparison with what a container
// got before ([Changes]). If the two differed, brokers would be replaced for
// ever.
package grant
