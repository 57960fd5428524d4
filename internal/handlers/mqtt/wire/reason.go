package wire

import (
	"errors"
	"fmt"
)

// ErrVersion says that a broker does not speak the version that was tried.
var ErrVersion = errors.New("the broker does not speak this version of MQTT")

// RefusedError is a broker's refusal of a connection, by a reason code of MQTT 5.0
// or a return code of 3.1.1.
type RefusedError struct{ Code byte }

// Error says what is wrong and what can be done.
func (e *RefusedError) Error() string {
	if e.Code == 5 || e.Code == 0x87 { // as mosquitto says to a wrong password, too
		return "the broker does not let this user in"
	}
	return reason(e.Code)
}

// Password tells whether the broker does not want the user that was given, or that
// none was given.
func (e *RefusedError) Password() bool {
	switch e.Code {
	case 4, 5, 0x86, 0x87:
		return true
	}
	return false
}

// reason says what a code means (MQTT 5.0, section 2.4; MQTT 3.1.1, section
// 3.2.2.3).
func reason(code byte) string {
	switch code {
	case 2, 0x85:
		return "the broker does not allow the client id: let it take ids that begin with akri-"
	case 3, 0x88, 0x89:
		return "the broker says that it is not available now"
	case 4, 0x86:
		return "the broker does not know this user and password"
	case 5, 0x87:
		return "the broker does not allow it to this user"
	case 0x8a:
		return "the broker has banned this client"
	case 0x8b:
		return "it is shutting down"
	case 0x8c:
		return "the broker wants another way of authentication than user and password"
	case 0x8e:
		return "another client has connected with the same id"
	case 0x8f, 0xa2:
		return "the broker does not allow subscriptions with wildcards"
	case 0x93, 0x96, 0x97:
		return "a quota of the broker is used up"
	case 0x95:
		return "the broker says that a packet is too large"
	case 0x9c, 0x9d:
		return "the broker wants clients to use another server: give its URL"
	case 0x9f:
		return "the broker wants fewer connections per second"
	}
	return fmt.Sprintf("the broker gives the reason code 0x%02x", code)
}
