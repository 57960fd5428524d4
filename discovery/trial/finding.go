package trial

import "fmt"

// Level says how bad a finding is.
type Level string

// The levels.
const (
	Pass    Level = "pass"
	Skipped Level = "skipped" // not tried
	Warning Level = "warning"
	Failure Level = "failure"
)

// Finding is what a trial says of one thing that the protocol asks for.
type Finding struct {
	// Check is what was looked at, one of [Checks].
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Did is what was done, Got what came, Wants what the protocol asks for, and
	// Change what to do about it. Only warnings and failures have the last one.
	Did    string `json:"did,omitempty"`
	Got    string `json:"got,omitempty"`
	Wants  string `json:"wants,omitempty"`
	Change string `json:"change,omitempty"`
}

// String is the finding in one line.
func (f Finding) String() string {
	text := fmt.Sprintf("%s: %s: %s", f.Check, f.Level, f.Got)
	if f.Change != "" {
		text += fmt.Sprintf(" (%s; wanted: %s; to change: %s)", f.Did, f.Wants, f.Change)
	}
	return text
}

// Report is the result of a trial.
type Report struct {
	// Name, Endpoint and Shared are what the handler registered.
	Name     string    `json:"name,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Shared   bool      `json:"shared"`
	Findings []Finding `json:"findings"`
}

// Count returns how many findings have this level.
func (r Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// check is one thing that a trial looks at, and what the protocol asks for.
type check struct{ name, wants string }

// The checks.
var (
	startsAlone = check{"starts without an agent",
		"A handler waits for the agent's socket and registers when it appears: nobody starts the two in order."}
	registration = check{"registration",
		"RegisterDiscoveryHandler with a name, the absolute path of a socket in the agent's folder (UDS) or " +
			"http://<host>:<port> (NETWORK), and shared."}
	endpoint = check{"endpoint",
		"The endpoint that was registered answers, in plain HTTP/2; a socket is not for everybody (mode 0660)."}
	firstList = check{"first list",
		"Discover sends the complete list at once, even if it is empty."}
	devices = check{"devices",
		"Each device has an id of 1 to 1,024 bytes, properties that can be environment variables, and device " +
			"nodes and mounts that a container may get."}
	listedOnce = check{"ids listed once",
		"A list has each id once: an id is one device."}
	sameIDs = check{"same ids again",
		"The same details give the same ids: Instances are named by them. An id says which device it is, and " +
			"does not change while the device exists."}
	wholeLists = check{"whole lists",
		"Each response is the complete list. A device that is not in the newest list is gone."}
	staysOpen = check{"stays open",
		"Discover goes on until the caller ends it, and sends a list only if it has changed."}
	atOnce = check{"calls at once",
		"Each Configuration is a Discover call of its own, and all are open at once. Each gets what its own " +
			"details ask for."}
	badDetails = check{"bad details",
		"Details that can never be answered end the call with INVALID_ARGUMENT, and a text that tells the " +
			"author of the Configuration what to write."}
	nothingFound = check{"nothing found",
		"If nothing is found, an empty list is sent at once: otherwise the agent cannot tell \"none\" from " +
			"\"not answered yet\"."}
	changes = check{"changes",
		"When devices come or go, every open call gets the new complete list."}
	departures = check{"departed",
		"Departed are ids of devices that have said themselves that they go, are in no list since, and do not come " +
			"back soon. The agent then does not wait for them."}
	droppedCall = check{"dropped call",
		"When the agent drops a call, the handler stops answering it, goes on answering the others, and " +
			"registers again: the agent may be a new one that does not know it."}
	manyDropped = check{"many dropped calls",
		"A call that was dropped leaves nothing behind: no thread, no file, no worker that answers nobody."}
	agentRestart = check{"agent restarts",
		"When the agent restarts, its calls and its socket are gone. The handler registers with the new " +
			"agent, with the same name and endpoint."}
	agentRestartIdle = check{"agent restarts, idle",
		"A handler that nobody calls must notice a new agent too: by its socket, which is made anew."}
	killed = check{"killed and started",
		"A handler that was killed leaves a dead socket behind. The next one replaces it, registers and " +
			"answers as before."}
	toldToEnd = check{"told to end",
		"A handler ends soon after SIGTERM. Otherwise its Pod takes 30 s to be deleted or replaced."}
)

func allChecks() []check {
	return []check{startsAlone, registration, endpoint, firstList, devices, sameIDs, atOnce, listedOnce, wholeLists,
		staysOpen, badDetails, nothingFound, changes, departures, droppedCall, manyDropped, agentRestart, agentRestartIdle,
		killed, toldToEnd}
}

// Checks are the names of all checks, in the order in which they are made.
func Checks() []string {
	var names []string
	for _, c := range allChecks() {
		names = append(names, c.name)
	}
	return names
}

func (c check) pass(did, got string) Finding {
	return Finding{Check: c.name, Level: Pass, Did: did, Got: got, Wants: c.wants}
}

func (c check) skip(why string) Finding {
	return Finding{Check: c.name, Level: Skipped, Got: why, Wants: c.wants}
}

func (c check) warn(did, got, change string) Finding {
	return Finding{Check: c.name, Level: Warning, Did: did, Got: got, Wants: c.wants, Change: change}
}

func (c check) fail(did, got, change string) Finding {
	return Finding{Check: c.name, Level: Failure, Did: did, Got: got, Wants: c.wants, Change: change}
}
