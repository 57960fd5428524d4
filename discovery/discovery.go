// Package discovery is the SDK for discovery handlers: programs that find the
// devices of one protocol and tell Akri's agent about them.
//
// These are the nouns:
//
//   - An agent runs on every node of a cluster. It makes what handlers find into
//     Kubernetes resources, and gives it to containers.
//   - A Configuration is an object in the cluster. It names a handler, and says in
//     its discoveryDetails, a text that only the handler understands, which devices
//     it wants.
//   - A [Handler] answers a [Request], which is what one Configuration asks, with
//     reports. Many requests are open at once, for as long as their Configurations
//     exist.
//   - A report is the complete list of matching [Device]s. The first report is sent
//     at the start, even if it is empty, and another each time that the list
//     changes. A device that is not in the newest report is gone.
//   - A device's id is its identity: the same device must have the same id each
//     time, wherever it is plugged in and whatever its address is. What containers
//     need to use it is in its properties (environment variables), device nodes and
//     mounts.
//   - A handler is shared if several nodes can see the same devices, such as network
//     cameras, and local otherwise.
//
// [Serve] does the rest: it listens on a socket in the folder where agent and
// handlers of a node meet, registers the handler with the agent, sends the reports
// that differ from the one before, and registers again when the agent restarts.
//
// A handler is a type with three methods and a main function of a few lines: see
// the example. samples/handlers/inventory in this module is a whole one, and
// docs/write-a-handler.md shows each step from the first line to the cluster.
//
// The wire protocol is upstream Akri's v0 protocol, api/discovery/v0. Package
// discoverytest has the tests that every handler should pass; package trial plays
// the agent for handlers in any language, as `akri handler test` does.
package discovery

import (
	"context"
	"errors"
	"fmt"
)

// Handler finds devices. Its methods may be called by several goroutines.
type Handler interface {
	// Name is the name that Configurations ask for, such as "udev". It has up to
	// 63 letters, digits and "-_.", because it is part of a file name.
	Name() string

	// Shared tells whether several nodes can see the same devices, such as
	// network cameras. It must always return the same.
	Shared() bool

	// Discover calls report with the complete list of matching devices: first
	// with the list as it is now, then each time that it has changed, until ctx
	// is done. Then it returns ctx.Err() or nil. It must not call report
	// concurrently, or change a list after it was reported. If report returns an
	// error, Discover returns that error.
	//
	// If a request can never be answered, for instance because its details do
	// not parse, Discover returns an error made by [Invalid] at once. The text
	// is shown to the author of the Configuration. After any other error the
	// request may be made again later.
	//
	// Handlers should wait for changes instead of polling. A handler that polls
	// should say in its docs how often.
	Discover(ctx context.Context, req Request, report func([]Device) error) error
}

// Report is a handler's answer to a request.
type Report struct {
	// Devices is the complete list, as for [Handler.Discover].
	Devices []Device
	// Note is for the author of the Configuration: for instance what was found
	// but left out, and why. "" is no note. Agents of this project show up to 512
	// bytes of it in the Configuration's status; upstream's agents do not.
	Note string
	// Departed are ids of devices that are not in the list and do not come back
	// soon: the device itself has said that it goes, and it is not that nothing
	// was heard of it. Agents of this project then do not wait for the grace
	// period; upstream's do not know it. As a report may never be sent because a
	// newer one takes its place, say so for a while, a minute for instance.
	Departed []string
}

// Explainer is a Handler that adds notes to its lists, and says which devices
// have departed.
type Explainer interface {
	Handler
	// Explain is Discover with all that a Report has. It also reports when only
	// the note has changed.
	Explain(ctx context.Context, req Request, report func(Report) error) error
}

// Ask makes a request to a handler and gets its whole reports.
func Ask(ctx context.Context, h Handler, req Request, report func(Report) error) error {
	if e, ok := h.(Explainer); ok {
		return e.Explain(ctx, req, report)
	}
	return h.Discover(ctx, req, func(devices []Device) error { return report(Report{Devices: devices}) })
}

// Request is what one Configuration asks a handler.
type Request struct {
	// Details is spec.discoveryHandler.discoveryDetails, YAML by convention.
	Details string
	// Properties are the values of spec.discoveryHandler.discoveryProperties. A
	// property with neither value nor valueFrom is nil. They may be secret: never
	// log them.
	Properties map[string][]byte
}

// Device is one device as a handler reports it.
type Device struct {
	// ID identifies the device as long as it exists: on its node, or in the whole
	// cluster if the handler is shared. A report lists each id once.
	ID string
	// Properties become environment variables of the containers that use the
	// device, as NAME and as NAME_<HASH of the device>.
	Properties map[string]string
	// Mounts are folders or files of the node that those containers get.
	Mounts []Mount
	// DeviceSpecs are device nodes that those containers get.
	DeviceSpecs []DeviceSpec
}

// Mount is a folder or file of the node.
type Mount struct {
	ContainerPath string
	HostPath      string
	ReadOnly      bool
}

// DeviceSpec is a device node of the node.
type DeviceSpec struct {
	ContainerPath string
	HostPath      string
	// Permissions are any of r (read), w (write) and m (make device nodes).
	Permissions string
}

type invalidError struct{ err error }

func (e invalidError) Error() string { return e.err.Error() }
func (e invalidError) Unwrap() error { return e.err }

// Invalid returns an error that says that a request can never be answered. The
// arguments are those of [fmt.Errorf].
func Invalid(format string, args ...any) error {
	return invalidError{fmt.Errorf(format, args...)}
}

// IsInvalid tells whether err, or an error that it wraps, was made by [Invalid].
func IsInvalid(err error) bool {
	var e invalidError
	return errors.As(err, &e)
}
