// Package brokers is what the sample brokers and applications have in common,
// whatever their device is: settings, the newest of something ([Latest]), and
// serving it by gRPC and HTTP on one port to clients that are not trusted.
package brokers
