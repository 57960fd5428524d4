// Package events writes Kubernetes Events about Configurations and the node,
// within a rate limit for each object.
//
// Events of one kind that come within a second become one Event with a count.
// Each object has a token bucket of ten Events that gets one back every thirty
// seconds, and the same warning is not repeated for ten minutes. Nothing
// depends on Events: one that cannot be written is dropped.
package events
