package simulator

import (
	"errors"
	"io"
	"net/http"
	"strconv"
)

const contentType = "application/soap+xml; charset=utf-8"

// request is a call of an operation.
type request struct {
	camera *Camera
	via    *endpoint
	host   string   // whom the client called
	header *element // may be nil
	body   *element // the operation's element
}

// operation answers a request. Errors are *fault.
type operation struct {
	// public is the access class PRE_AUTH (ONVIF Core 5.9.4.2): whoever asks.
	public bool
	answer func(request) (node, error)
}

// service is the operations of a namespace.
type service struct {
	namespace  string
	operations map[string]operation
}

// fault is a SOAP fault (SOAP 1.2 part 1, 5.4) with ONVIF's subcodes (ONVIF Core
// 5.8.2).
type fault struct {
	sender   bool // whether the client is to blame
	subcodes []string
	reason   string
}

func (f *fault) Error() string { return f.reason }

var (
	errNotAuthorized = &fault{true, []string{"ter:NotAuthorized"}, "Sender not Authorized"}
	errUnknown       = &fault{true, []string{"ter:ActionNotSupported"}, "Action Not Supported"}
	errMalformed     = &fault{true, []string{"ter:WellFormed"}, "Well-formed Error"}
	errVersion       = &fault{true, []string{"ter:TagMismatch"}, "Tag Mismatch"}
)

func (f *fault) node() node {
	code := "s:Receiver"
	if f.sender {
		code = "s:Sender"
	}
	return el("s:Fault",
		el("s:Code", tx("s:Value", code), subcode(f.subcodes)),
		el("s:Reason", tx("s:Text", f.reason).with("xml:lang", "en")))
}

// subcode nests subcodes; the element without a name is none.
func subcode(codes []string) node {
	if len(codes) == 0 {
		return node{}
	}
	return el("s:Subcode", tx("s:Value", codes[0]), subcode(codes[1:]))
}

// soap serves a service at an endpoint of the camera.
func (c *Camera) soap(e *endpoint, s service) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body) // the handler before has bounded it
		if err != nil {
			http.Error(w, "the request cannot be read", http.StatusBadRequest)
			return
		}
		reply, err := c.call(w, r, e, s, data)
		var f *fault
		switch {
		case errors.Is(err, errAskedForDigest):
		case errors.As(err, &f):
			writeSOAP(w, f.status(), f.node())
		default:
			writeSOAP(w, http.StatusOK, reply)
		}
	}
}

// status is that of SOAP's HTTP binding (SOAP 1.2 part 2, 7.5.2.2).
func (f *fault) status() int {
	if f.sender {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// call does what a request asks for. Errors are *fault or errAskedForDigest.
func (c *Camera) call(w http.ResponseWriter, r *http.Request, e *endpoint, s service, data []byte) (node, error) {
	root, err := parse(data)
	if err != nil {
		return node{}, errMalformed
	}
	body := root.find(envelope("Body"))
	if root.name != envelope("Envelope") || body == nil || len(body.children) != 1 {
		return node{}, errVersion
	}
	q := request{camera: c, via: e, host: r.Host, header: root.find(envelope("Header")), body: body.children[0]}
	op, ok := s.operations[q.body.name.Local]
	if !ok || q.body.name.Space != s.namespace {
		return node{}, errUnknown
	}
	c.counts.add(q.body.name.Local)
	if !op.public {
		if err := c.guard.admit(w, r, q.header); err != nil {
			c.counts.add("refused")
			c.sim.log.Debug("a request is refused", "number", c.Number, "operation", q.body.name.Local,
				"from", r.RemoteAddr, "error", err)
			return node{}, err
		}
	}
	return op.answer(q)
}

func writeSOAP(w http.ResponseWriter, status int, body node) {
	data := document(nil, []node{body})
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data))) // not all clients read chunks
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client is gone, then
}
