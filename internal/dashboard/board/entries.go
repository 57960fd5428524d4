package board

import (
	"time"

	"github.com/akri-go/akri/internal/explain"
)

// Entry is one thing on the board.
type Entry struct {
	// Key is the entry's name in all versions of the board: its kind and name.
	Key string
	// Value is written as JSON.
	Value any
}

// Trouble is what is wrong with an entry.
type Trouble struct {
	Level explain.Level `json:"level"`
	Cause explain.Cause `json:"cause"`
	// Why goes on after the entry's name.
	Why string `json:"why"`
}

// Overview is about the cluster as a whole. Its key is "overview".
type Overview struct {
	// Answer says how it is in one sentence.
	Answer string `json:"answer"`
	Well   bool   `json:"well"`
	// Reading means that nothing is known yet.
	Reading bool `json:"reading,omitempty"`
	// Wrong are the first findings that follow from no other, and Findings how
	// many of them there are.
	Wrong    []Wrong `json:"wrong,omitempty"`
	Findings int     `json:"findings"`
	// Agents is how many nodes have an agent.
	Agents int `json:"agents"`
	// Away is set while the API server does not answer.
	Away *Away `json:"away,omitempty"`
	// Unseen is what could not be read.
	Unseen []explain.Unseen `json:"unseen,omitempty"`
	// LeftOut is how many devices are not on the board, since there are too many.
	LeftOut int `json:"leftOut,omitempty"`
}

// Wrong is a finding.
type Wrong struct {
	Trouble
	About explain.Subject `json:"about"`
}

// Away says that the board is as old as the time at which the API server no longer
// answered.
type Away struct {
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

// Node is a node of the cluster. Its key is "node/<name>".
type Node struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Gone means that there is no such Node, and an Instance names it.
	Gone bool `json:"gone,omitempty"`
	// Agent is the state of its agent, "" if it has none.
	Agent string `json:"agent,omitempty"`
	// Handlers run on it.
	Handlers []string `json:"handlers,omitempty"`
	Trouble  *Trouble `json:"trouble,omitempty"`
}

// Configuration is what is looked for. Its key is
// "configuration/<namespace>/<name>".
type Configuration struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Handler   string `json:"handler"`
	Capacity  int    `json:"capacity"`
	// Broker means that it has a broker for each device.
	Broker bool `json:"broker"`
	// States are how many nodes say which state of discovery.
	States  map[string]int `json:"states,omitempty"`
	Trouble *Trouble       `json:"trouble,omitempty"`
}

// States of a Device.
const (
	Online  = "online"
	Missing = "missing" // no node sees it
	Unknown = "unknown" // nobody knows
	Leaving = "leaving" // its Instance is being deleted
)

// Device is an Instance. Its key is "device/<namespace>/<name>".
type Device struct {
	Namespace     string `json:"namespace"`
	Name          string `json:"name"`
	Configuration string `json:"configuration"`
	// Label is what a person calls it.
	Label  string   `json:"label"`
	Shared bool     `json:"shared,omitempty"`
	Nodes  []string `json:"nodes"`
	State  string   `json:"state"`
	// Capacity is how many slots it has, and Held how many somebody has.
	Capacity int `json:"capacity"`
	Held     int `json:"held"`
	// Users are the Pods that have it or should have it: brokers, and others that
	// have a slot.
	Users   []User   `json:"users,omitempty"`
	Trouble *Trouble `json:"trouble,omitempty"`
}

// User is a Pod.
type User struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Node      string `json:"node,omitempty"`
	Broker    bool   `json:"broker,omitempty"`
	// State is one word, such as Running or ImagePullBackOff, and Health what it
	// means: ready, starting or broken.
	State  string `json:"state"`
	Health string `json:"health"`
}

// Event is a Kubernetes Event. Its key is "event/<namespace>/<name>".
type Event struct {
	At      time.Time       `json:"at"`
	About   explain.Subject `json:"about"`
	Reason  string          `json:"reason"`
	Note    string          `json:"note"`
	Warning bool            `json:"warning,omitempty"`
}
