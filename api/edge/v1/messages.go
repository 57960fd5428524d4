package edgev1

import "time"

// Protocol is the version of the messages that this package has. An end that
// speaks another one is told so with [Goodbye].
const Protocol = 1

// Message is one of the messages of this package, as a pointer.
type Message interface {
	// kind is the number of the message on the wire.
	kind() Kind
}

// Kind says which message follows.
type Kind uint8

// The numbers of the messages. They never change: a new message gets a new
// number, and one that an end does not know is passed over.
const (
	KindHello Kind = iota + 1
	KindGoodbye
	KindPing
	KindPong
	KindInterest
	KindForget
	KindHave
	KindDiffer
	KindPut
	KindGone
	KindSynced
	KindRefused
	KindCall
	KindCancel
	KindReply
)

// Hello is the first message of each end.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the program, for people
	// Node is the name that the edge node believes it has, and cloudcore's
	// answer says which one its certificate has. The certificate decides.
	Node string `json:"node"`
	// Boot is the edge node's boot id (/proc/sys/kernel/random/boot_id).
	Boot string `json:"boot,omitempty"`
	// Store names the edge node's store: another store has none of what the
	// one before had.
	Store string `json:"store,omitempty"`
	// PingInterval is cloudcore's: an end that has sent nothing for so long sends
	// a [Ping].
	PingInterval time.Duration `json:"pingInterval,omitempty"`
}

// Goodbye is the last message of the end that closes the connection.
type Goodbye struct {
	Reason  string `json:"reason"`  // CamelCase, as in conditions; one of the constants below
	Message string `json:"message"` // for people
	// RetryAfter is how long the edge node waits before it connects again; its
	// own back-off applies where it is longer. Negative: not with this
	// certificate.
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
}

// Reasons of a [Goodbye].
const (
	ReasonReplaced     = "Replaced"     // another connection has the certificate of the same node
	ReasonNodeReset    = "NodeReset"    // the node's certificates are no longer valid
	ReasonExpired      = "Expired"      // the certificate has expired since it was shown
	ReasonShuttingDown = "ShuttingDown" // this replica ends, or this edge node
	ReasonProtocol     = "Protocol"     // the other end said what it must not
	ReasonBusy         = "Busy"         // this replica has as many sessions as it may
)

// Ping asks for a [Pong] with the same ID. Both ends send them, when they have
// sent nothing else for a while.
type Ping struct {
	ID uint64 `json:"id"`
}

// Pong answers a [Ping].
type Pong struct {
	ID uint64 `json:"id"`
}

// As says in whose name the edge node asks. The zero value is the edge node
// itself: user system:node:<node>, group system:nodes.
type As struct {
	// ServiceAccount is <namespace>/<name>. A Pod of that account must be bound
	// to the edge node.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Pod and PodUID are those of the Pod that the token is bound to.
	Pod    string `json:"pod,omitempty"`
	PodUID string `json:"podUID,omitempty"`
	// Component is a program that edgecore runs beside the kubelet: kube-proxy
	// (user system:kube-proxy).
	Component string `json:"component,omitempty"`
}

// Interest begins an interest: edge to cloud.
type Interest struct {
	// ID is the edge node's number for it, unique in a session.
	ID        uint64 `json:"id"`
	Group     string `json:"group,omitempty"` // empty: the core group
	Version   string `json:"version"`
	Resource  string `json:"resource"` // plural, lower case: pods
	Namespace string `json:"namespace,omitempty"`
	// FieldSelector and LabelSelector are as in the API's query parameters.
	FieldSelector string `json:"fieldSelector,omitempty"`
	LabelSelector string `json:"labelSelector,omitempty"`
	As            As     `json:"as,omitzero"`
	// Get is for what the edge node may get but not watch, such as its CSINode:
	// the one object that metadata.name in FieldSelector names is read for each
	// [Have], and not followed.
	Get bool `json:"get,omitempty"`
}

// Forget ends an interest: edge to cloud.
type Forget struct {
	ID uint64 `json:"id"`
}

// Have says what the edge node has of an interest: edge to cloud. The first one
// after an Interest has the Digest alone. Its Items follow where cloudcore
// answers [Differ].
type Have struct {
	ID     uint64 `json:"id"`
	Digest []byte `json:"digest,omitempty"` // see [Digest]; empty: the edge node has nothing
	Items  []Item `json:"items,omitempty"`
}

// Item is one object, without its content.
type Item struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Version   string `json:"version"`
}

// Differ asks for the Items of a [Have]: cloud to edge. Back says that the cluster
// has forgotten changes that it had told of, as after a restore of etcd: from now
// on what is sent counts although its version is an older one.
type Differ struct {
	Back bool   `json:"back,omitempty"`
	ID   uint64 `json:"id"`
}

// Put has an object as it is now: cloud to edge.
type Put struct {
	ID      uint64 `json:"id"`
	Version string `json:"version"`
	// Object is its JSON, with apiVersion and kind.
	Object []byte `json:"-"`
}

// Gone says that an object no longer exists, or that it no longer matches the
// interest: cloud to edge.
type Gone struct {
	ID   uint64 `json:"id"`
	Item Item   `json:"item"` // Version is empty
}

// Synced says that all Put and Gone that answer a [Have] have been sent: cloud
// to edge.
type Synced struct {
	ID      uint64 `json:"id"`
	Version string `json:"version"` // of the list
}

// Refused says that an interest is not granted, or no longer: cloud to edge.
// The edge node may ask again in its next session.
type Refused struct {
	ID      uint64 `json:"id"`
	Code    int32  `json:"code"`    // HTTP: 403, 404, 422, 429
	Reason  string `json:"reason"`  // as metav1.StatusReason
	Message string `json:"message"` // for people
}

// Call is a request to the API server: edge to cloud.
type Call struct {
	ID          uint64        `json:"id"` // the edge node's number, unique in a session
	As          As            `json:"as,omitzero"`
	Method      string        `json:"method"`
	Path        string        `json:"path"`            // as it stands in the request line, begins with /
	Query       string        `json:"query,omitempty"` // without ?
	ContentType string        `json:"contentType,omitempty"`
	Accept      string        `json:"accept,omitempty"`
	Timeout     time.Duration `json:"timeout,omitempty"` // 0: cloudcore's own
	Body        []byte        `json:"-"`
}

// Cancel says that nobody waits for a call's [Reply] any more: edge to cloud.
type Cancel struct {
	ID uint64 `json:"id"`
}

// Reply is the API server's answer to a [Call]: cloud to edge.
type Reply struct {
	ID          uint64        `json:"id"`
	Status      int           `json:"status"` // HTTP
	ContentType string        `json:"contentType,omitempty"`
	Warnings    []string      `json:"warnings,omitempty"`   // texts of the Warning headers (RFC 7234, section 5.5)
	RetryAfter  time.Duration `json:"retryAfter,omitempty"` // of the Retry-After header
	Body        []byte        `json:"-"`
}

func (*Hello) kind() Kind    { return KindHello }
func (*Goodbye) kind() Kind  { return KindGoodbye }
func (*Ping) kind() Kind     { return KindPing }
func (*Pong) kind() Kind     { return KindPong }
func (*Interest) kind() Kind { return KindInterest }
func (*Forget) kind() Kind   { return KindForget }
func (*Have) kind() Kind     { return KindHave }
func (*Differ) kind() Kind   { return KindDiffer }
func (*Put) kind() Kind      { return KindPut }
func (*Gone) kind() Kind     { return KindGone }
func (*Synced) kind() Kind   { return KindSynced }
func (*Refused) kind() Kind  { return KindRefused }
func (*Call) kind() Kind     { return KindCall }
func (*Cancel) kind() Kind   { return KindCancel }
func (*Reply) kind() Kind    { return KindReply }
