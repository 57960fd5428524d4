package trial

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery/contract"
)

// plural is "1 device", "2 devices".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// took is a duration for a person.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// judgeStart judges a handler that was started before there was an agent. End is
// what became of it if it ended, "" if it runs.
func judgeStart(end string, registered bool, waited time.Duration) Finding {
	const did = "started the handler, and made the agent's socket later"
	switch {
	case end != "":
		return startsAlone.fail(did, "it ended "+end,
			"Do not end if the agent's socket is not there: try to register again, first soon, later every 10 s.")
	case !registered:
		return startsAlone.fail(did, fmt.Sprintf("it has not registered within %s", took(waited)),
			"Try to register until it succeeds. The folder is in DISCOVERY_HANDLERS_DIRECTORY, the agent's "+
				"socket in it is "+contract.AgentSocket+".")
	}
	return startsAlone.pass(did, fmt.Sprintf("it registered after %s", took(waited)))
}

// expected is what the caller of a trial knows of a registration.
type expected struct {
	name   string // "" if it does not know
	shared *bool
	dir    string
}

// judgeRegistration judges what a handler registers with.
func judgeRegistration(m *pb.RegisterDiscoveryHandlerRequest, want expected) Finding {
	const did = "took a registration"
	name := m.GetName()
	got := describe(m)
	switch {
	case name == "":
		return registration.fail(did, got, "Send the name that Configurations have in spec.discoveryHandler.name.")
	case len(name) > contract.MaxHandlerNameBytes || !contract.Printable(name):
		return registration.fail(did, got, fmt.Sprintf("A name has 1 to %d printable characters.",
			contract.MaxHandlerNameBytes))
	case want.name != "" && name != want.name:
		return registration.fail(did, got,
			fmt.Sprintf("Register as %q, or ask for %q: a Configuration that asks for the one never gets the "+
				"other.", want.name, name))
	case want.shared != nil && m.GetShared() != *want.shared:
		return registration.fail(did, got,
			"Say shared if other nodes can see the same devices, and always the same.")
	}
	if _, err := contract.ParseAddress(m.GetEndpointType(), m.GetEndpoint(), want.dir); err != nil {
		return registration.fail(did, got, upper(err.Error())+".")
	}
	if len(name) > 63 || strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return registration.warn(did, got,
			"Use a name of up to 63 letters, digits and -_.: by custom it is the name of the socket, too.")
	}
	return registration.pass(did, got)
}

// describe shows a registration.
func describe(m *pb.RegisterDiscoveryHandlerRequest) string {
	what := "local"
	if m.GetShared() {
		what = "shared"
	}
	return fmt.Sprintf("%s, %s devices, %v %s", contract.Show(m.GetName()), what, m.GetEndpointType(),
		contract.Show(m.GetEndpoint()))
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// errNotGRPC is of an endpoint that takes connections.
var errNotGRPC = errors.New("it takes connections, but does not speak HTTP/2")

// judgeSocket judges what is known of a socket's file and of a connection to it.
// Its mode is 0 if it is an address on the network.
func judgeSocket(where string, mode fs.FileMode, dial error) Finding {
	did := "connected to " + where
	switch {
	case errors.Is(dial, errNotGRPC):
		return endpoint.fail(did, dial.Error(), "Serve gRPC there, over HTTP/2 without TLS.")
	case dial != nil:
		return endpoint.fail(did, dial.Error(),
			"Listen before you register, and register the path where you listen.")
	case mode&fs.ModeSymlink != 0:
		return endpoint.fail(did, "it is a symbolic link",
			"Make the socket in the agent's folder itself: the agent follows no links there.")
	case mode.Perm()&0o002 != 0:
		return endpoint.warn(did, fmt.Sprintf("it answers; its mode is %04o", mode.Perm()),
			"Set the mode 0660: everybody on the node could connect, and be sent what Configurations take "+
				"from Secrets.")
	case mode == 0:
		return endpoint.pass(did, "it answers; what goes over the network is neither encrypted nor authenticated")
	}
	return endpoint.pass(did, fmt.Sprintf("it answers; its mode is %04o", mode.Perm()))
}

// judgeAgain judges whether a handler has registered again, and as before. Where
// upstream's handlers do not, severe is false.
func judgeAgain(c check, did string, first, again *pb.RegisterDiscoveryHandlerRequest, waited time.Duration,
	severe bool, change string) Finding {
	switch {
	case again == nil && severe:
		return c.fail(did, fmt.Sprintf("it has not registered again within %s", took(waited)), change)
	case again == nil:
		return c.warn(did, fmt.Sprintf("it has not registered again within %s", took(waited)), change)
	case first != nil && describe(first) != describe(again):
		return c.fail(did, fmt.Sprintf("it registered as %s, and before as %s", describe(again), describe(first)),
			"Register the same name, endpoint and shared each time: an agent keeps both endpoints.")
	}
	return c.pass(did, fmt.Sprintf("it registered again after %s", took(waited)))
}

// judgeRegistrations judges how often a handler has registered while so many calls
// were made; nil if there is nothing to say.
func judgeRegistrations(n, calls int, during time.Duration) *Finding {
	const spare = 20 // for restarts of either
	if n <= spare+2*calls+2*int(during/time.Second) {
		return nil
	}
	f := registration.warn("counted registrations",
		fmt.Sprintf("%d within %s, in which %d calls were made", n, took(during), calls),
		"Register when the agent's socket was made anew, and when a call was dropped; if that fails, again after a "+
			"pause that grows.")
	return &f
}

// usage is what a process has open.
type usage struct{ files, threads int }

// judgeUsage judges what is left of calls that were dropped.
func judgeUsage(calls int, before, after usage, answers bool, waited time.Duration) Finding {
	did := fmt.Sprintf("made %d calls and dropped them, then made another", calls)
	switch {
	case !answers:
		return manyDropped.fail(did, fmt.Sprintf("the last one was not answered within %s", took(waited)),
			"End the function that answers a call when the caller has gone: each one seems to keep a worker "+
				"busy for ever.")
	case after.files-before.files >= calls/2:
		return manyDropped.warn(did, fmt.Sprintf("it had %d files open before, and %d after", before.files,
			after.files),
			"Close what a call has opened when the call ends.")
	case after.threads-before.threads >= calls:
		return manyDropped.warn(did, fmt.Sprintf("it had %d threads before, and %d after", before.threads,
			after.threads),
			"End what a call has started when the call ends.")
	case after == usage{}:
		return manyDropped.pass(did, "the last one was answered")
	}
	return manyDropped.pass(did,
		fmt.Sprintf("the last one was answered; files %d and then %d, threads %d and then %d",
			before.files, after.files, before.threads, after.threads))
}

// judgeEnd judges how a program ended that was sent SIGTERM.
func judgeEnd(inTime bool, how string, within time.Duration, left string) Finding {
	const did = "sent SIGTERM to the program"
	if left != "" {
		return toldToEnd.fail(did, left,
			"Stay in the program's process group, and end all that was started: what a container leaves running is "+
				"killed, and what runs outside of one goes on for ever.")
	}
	if !inTime {
		return toldToEnd.warn(did, fmt.Sprintf("it has not ended within %s, and was killed", took(within)),
			"Handle SIGTERM. The first process of a container ignores it by default.")
	}
	return toldToEnd.pass(did, "it ended "+how)
}
