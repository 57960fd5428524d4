// Package wire is what a guest's first process (test/vm/init) and the machine
// that runs it (test/vm/guest) have agreed on.
//
// They speak HTTP. POST /run runs a [Command]; the answer is what it prints, until
// it ends, and after that its exit code in a trailer. POST /kill?id=7 kills it, and
// so does who leaves the answer. GET /dial?network=unix&address=/a/socket becomes a connection
// to that address in the guest.
package wire

// Command is a program to run in the guest.
type Command struct {
	ID   string   `json:"id"` // of the caller's choosing
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
}

const (
	// Address is where the guest answers, in the network that QEMU gives it.
	Address = "10.0.2.15"
	Port    = 1000
	// ReadyLine is on the console when it does.
	ReadyLine = "guest: ready"
	// FailedPrefix is before the reason if it never will.
	FailedPrefix = "guest: failed: "
	// ModulesFile has the kernel modules to load, one in a line, with parameters
	// after the path, in the order in which they need each other.
	ModulesFile = "/modules"
	// ExitTrailer has a command's exit code, or why it could not be run.
	ExitTrailer = "Exit"
)
