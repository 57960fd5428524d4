package edgev1

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The limits of a message on the wire.
const (
	// MaxMessageBytes is how long a message may be if the ends have no other
	// limit: more than an object may be that etcd stores (1.5 MiB).
	MaxMessageBytes = 4 << 20
	// maxHeaderBytes is how long the header of a message may be. That of a
	// [Have] has no limit but the message's.
	maxHeaderBytes = 64 << 10
	// MaxItems is how many items a [Have] may have.
	MaxItems = 50_000
)

// ServerName is the DNS name in cloudcore's certificates, for which edge nodes
// check them. The authority signs the certificates of no other server, so it
// does not matter by which address an edge node reaches cloudcore.
const ServerName = "cloudcore"

// bodied is a message with a body beside its header.
type bodied interface {
	Message
	body() *[]byte
}

func (m *Put) body() *[]byte   { return &m.Object }
func (m *Call) body() *[]byte  { return &m.Body }
func (m *Reply) body() *[]byte { return &m.Body }

// KindOf returns the kind of a message.
func KindOf(m Message) Kind { return m.kind() }

// Append appends a message as it is on the wire: its kind (one byte), the length
// of its header (unsigned varint), the header (JSON), and the body, which is the
// rest: that of [Put], [Call] and [Reply], and empty in all others. It fails if
// the header is longer than another end would take.
func Append(dst []byte, m Message) ([]byte, error) {
	header, err := json.Marshal(m)
	if err != nil {
		return dst, fmt.Errorf("encode %s: %w", m.kind(), err)
	}
	if m.kind() != KindHave && len(header) > maxHeaderBytes {
		return dst, fmt.Errorf("encode %s: a header of %d bytes, %d are allowed", m.kind(), len(header), maxHeaderBytes)
	}
	dst = append(dst, byte(m.kind()))
	dst = binary.AppendUvarint(dst, uint64(len(header)))
	dst = append(dst, header...)
	if b, ok := m.(bodied); ok {
		dst = append(dst, *b.body()...)
	}
	return dst, nil
}

// UnknownKindError is the error of [Decode] for a message that this package does
// not have. It is passed over: another version of the other end may send it.
type UnknownKindError Kind

func (e UnknownKindError) Error() string {
	return fmt.Sprintf("a message of unknown kind %d", uint8(e))
}

// Decode reads a message that [Append] wrote. Fields of the header that it does
// not know are passed over. The body shares memory with data.
//
// What it allocates is in proportion to data, whatever that is.
func Decode(data []byte) (Message, error) {
	if len(data) == 0 {
		return nil, errors.New("an empty message")
	}
	kind, rest := Kind(data[0]), data[1:]
	m := newMessage(kind)
	if m == nil {
		return nil, UnknownKindError(kind)
	}
	n, used := binary.Uvarint(rest)
	if used <= 0 || n > uint64(len(rest)-used) {
		return nil, fmt.Errorf("decode %s: the length of its header is wrong", kind)
	}
	header, body := rest[used:used+int(n)], rest[used+int(n):]
	if kind != KindHave && len(header) > maxHeaderBytes {
		return nil, fmt.Errorf("decode %s: a header of %d bytes, %d are allowed", kind, len(header), maxHeaderBytes)
	}
	// An item takes at least three bytes on the wire and 64 in memory.
	if kind == KindHave && bytes.Count(header, []byte{'{'}) > MaxItems+1 {
		return nil, fmt.Errorf("decode %s: more than %d items", kind, MaxItems)
	}
	if err := json.Unmarshal(header, m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	if b, ok := m.(bodied); ok {
		*b.body() = body[:len(body):len(body)]
	} else if len(body) > 0 {
		return nil, fmt.Errorf("decode %s: %d bytes after the header", kind, len(body))
	}
	if err := check(m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	return m, nil
}

// check finds values that no end sends.
func check(m Message) error {
	var d time.Duration
	switch m := m.(type) {
	case *Hello:
		d = m.PingInterval
	case *Call:
		d = m.Timeout
	case *Reply:
		d = m.RetryAfter
	}
	if d < 0 {
		return fmt.Errorf("a negative time %s", d)
	}
	return nil
}

// newMessage returns an empty message of a kind; nil if there is none.
func newMessage(k Kind) Message {
	switch k {
	case KindHello:
		return &Hello{}
	case KindGoodbye:
		return &Goodbye{}
	case KindPing:
		return &Ping{}
	case KindPong:
		return &Pong{}
	case KindInterest:
		return &Interest{}
	case KindForget:
		return &Forget{}
	case KindHave:
		return &Have{}
	case KindDiffer:
		return &Differ{}
	case KindPut:
		return &Put{}
	case KindGone:
		return &Gone{}
	case KindSynced:
		return &Synced{}
	case KindRefused:
		return &Refused{}
	case KindCall:
		return &Call{}
	case KindCancel:
		return &Cancel{}
	case KindReply:
		return &Reply{}
	}
	return nil
}

var kindNames = [...]string{
	KindHello: "Hello", KindGoodbye: "Goodbye", KindPing: "Ping", KindPong: "Pong", KindInterest: "Interest",
	KindForget: "Forget", KindHave: "Have", KindDiffer: "Differ", KindPut: "Put", KindGone: "Gone",
	KindSynced: "Synced", KindRefused: "Refused", KindCall: "Call", KindCancel: "Cancel", KindReply: "Reply",
}

// String returns the name of a kind, as its type has it.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}
