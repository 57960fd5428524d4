// Package handlers lists the discovery handlers of this project: what is to be
// known of them where they do not run, as in the admission webhook. It links no
// code that speaks to devices.
//
// A handler is a package below this one, with a package details in it. Two lines
// make it known: one in [Kinds], and one in package all, which adds what programs
// need to run it.
package handlers

import (
	debugecho "github.com/akri-go/akri/internal/handlers/debugecho/details"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	opcua "github.com/akri-go/akri/internal/handlers/opcua/details"
	udev "github.com/akri-go/akri/internal/handlers/udev/details"
)

// Kind is a kind of discovery handler.
type Kind struct {
	// Name is what Configurations ask for.
	Name string
	// Shared tells whether nodes see the same devices if nothing else is said.
	Shared bool
	// Summary says in one line what the handler finds, About in whole sentences what
	// it needs and does. Lines of About have at most 76 characters.
	Summary, About string
	// Check tells whether discoveryDetails can be used, and what its author
	// should know if they can.
	Check func(discoveryDetails string) (warnings []string, err error)
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		{Name: udev.Name, Summary: udev.Summary, About: udev.About, Check: udev.Check},
		{Name: debugecho.Name, Summary: debugecho.Summary, About: debugecho.About, Check: debugecho.Check},
		{Name: onvif.Name, Shared: true, Summary: onvif.Summary, About: onvif.About, Check: onvif.Check},
		{Name: opcua.Name, Shared: true, Summary: opcua.Summary, About: opcua.About, Check: opcua.Check},
	}
}
