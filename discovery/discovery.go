// Package discovery is the SDK for discovery handlers: programs that find the
// devices of one protocol and tell Akri's agent about them.
//
// A [Handler] answers a [Request] (one Configuration's question) with reports.
// A report is the complete list of matching [Device]s as it is now; one is sent
// at the start, even if it is empty, and one each time the list changes.
// [Serve] does the rest: it listens, registers the handler with the agent of
// its node and registers again when the agent restarts.
//
// The wire protocol is upstream Akri's v0 protocol, api/discovery/v0. Package
// discoverytest has the tests that every handler should pass.
package discovery

import (
	"context"
	"errors"
	"fmt"
)

// Handler finds devices. Its methods may be called by several goroutines.
type Handler interface {
	// Name is the name that Configurations ask for, such as "udev". It may
	// hold letters, digits and "-_.", 63 at most: it is part of a file name.
	Name() string

	// Shared tells whether other nodes may see the same devices, as they see
	// a network camera. It must always give the same answer.
	Shared() bool

	// Discover calls report with the complete list of matching devices, first
	// as it is now and then whenever it has changed, until ctx is done; then
	// it returns ctx.Err() or nil. Report must not be called concurrently or
	// after Discover has returned; what it was given must not be changed any
	// more. An error from report ends the call: return it.
	//
	// A question that can never be answered, such as details that do not
	// parse, is refused at once with an error made by [Invalid]; its text is
	// shown to the author of the Configuration. Any other error means that
	// the question may be asked again later.
	//
	// Handlers wait for changes; those that cannot must say in their docs how
	// often they look.
	Discover(ctx context.Context, req Request, report func([]Device) error) error
}

// Report is what a handler has to say to one question.
type Report struct {
	// Devices is the complete list, as for [Handler.Discover].
	Devices []Device
	// Note is for the author of the Configuration: what was found and left out,
	// say, and why. Agents of this project show it in the Configuration's status,
	// 512 bytes of it at most; those of upstream Akri do not. "" if there is
	// nothing to say.
	Note string
}

// Explainer is a Handler that has notes to its lists.
type Explainer interface {
	Handler
	// Explain is Discover with notes. A report is also due when the note alone
	// has changed.
	Explain(ctx context.Context, req Request, report func(Report) error) error
}

// Ask asks a handler, with notes if it has any.
func Ask(ctx context.Context, h Handler, req Request, report func(Report) error) error {
	if e, ok := h.(Explainer); ok {
		return e.Explain(ctx, req, report)
	}
	return h.Discover(ctx, req, func(devices []Device) error { return report(Report{Devices: devices}) })
}

// Request is one Configuration's question.
type Request struct {
	// Details is spec.discoveryHandler.discoveryDetails, YAML by convention.
	Details string
	// Properties holds spec.discoveryHandler.discoveryProperties, resolved. A
	// nil value stands for a property without value or source. They may be
	// secret: never log them.
	Properties map[string][]byte
}

// Device is one device as a handler reports it.
type Device struct {
	// ID identifies the device as long as it exists: on its node, or
	// everywhere if the handler is shared. Reports list each id once.
	ID string
	// Properties become environment variables of the containers that use the
	// device: by their own name and by NAME_<HASH of the device>.
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

// Invalid returns an error that says that a request can never be answered, for
// the reason given as for [fmt.Errorf].
func Invalid(format string, args ...any) error {
	return invalidError{fmt.Errorf(format, args...)}
}

// IsInvalid tells whether err, or an error that it wraps, was made by [Invalid].
func IsInvalid(err error) bool {
	var e invalidError
	return errors.As(err, &e)
}
