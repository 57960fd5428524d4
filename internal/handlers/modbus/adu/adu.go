// Package adu writes and reads what Modbus TCP sends: an application data unit
// (ADU) is a header of 7 bytes, MBAP, and a protocol data unit (PDU), which begins
// with a function code. It knows the requests that discovery needs, which only
// read, and their answers. It computes only: bytes in, values out.
//
// What a server sends is not trusted. A length is used only within the limits of
// the standard, and nothing is kept but texts of at most 245 bytes.
//
// Sources: Modbus Messaging on TCP/IP Implementation Guide V1.0b (MBAP, 3.1.3) and
// Modbus Application Protocol V1.1b3 (functions and exceptions, 6 and 7).
package adu

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// HeaderBytes is the length of a header.
	HeaderBytes = 7
	// MaxPDUBytes is the length of a PDU at most.
	MaxPDUBytes = 253
)

// Header is an MBAP header.
type Header struct {
	Transaction uint16
	Unit        byte
	PDUBytes    int // how long the PDU is that follows, from 1 to MaxPDUBytes
}

// ErrNotModbus is of bytes that are no ADU. What follows them cannot be read.
var ErrNotModbus = errors.New("it does not speak Modbus TCP")

// Append appends an ADU with a PDU of at most MaxPDUBytes.
func Append(b []byte, transaction uint16, unit byte, pdu []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, transaction)
	b = append(b, 0, 0) // the protocol: Modbus
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	return append(append(b, unit), pdu...)
}

// ParseHeader reads a header of HeaderBytes bytes; [ErrNotModbus] if it is none.
func ParseHeader(b []byte) (Header, error) {
	if len(b) != HeaderBytes {
		return Header{}, fmt.Errorf("%w: a header of %d bytes", ErrNotModbus, len(b))
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if protocol := binary.BigEndian.Uint16(b[2:]); protocol != 0 || length < 2 || length > 1+MaxPDUBytes {
		return Header{}, fmt.Errorf("%w: it sends %q", ErrNotModbus, b)
	}
	return Header{binary.BigEndian.Uint16(b), b[6], length - 1}, nil
}

// Exception is the exception code that a server answers a request with. It is an
// error.
type Exception byte

// The exceptions that mean more than that a request was not to a device's liking.
const (
	IllegalFunction Exception = 1
	acknowledge     Exception = 5
	busy            Exception = 6
	noPath          Exception = 10
	noAnswer        Exception = 11
)

var exceptionNames = map[Exception]string{ // in V1.1b3, 7
	1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure",
	5: "acknowledge", 6: "server device busy", 8: "memory parity error",
	10: "gateway path unavailable", 11: "gateway target device failed to respond",
}

// Error names the exception as the standard does.
func (e Exception) Error() string {
	name := exceptionNames[e]
	if name == "" {
		return fmt.Sprintf("exception %d", byte(e))
	}
	return fmt.Sprintf("exception %d (%s)", byte(e), name)
}

// OfGateway tells whether a gateway says that it cannot reach the unit; any other
// exception is an answer of the unit.
func (e Exception) OfGateway() bool { return e == noPath || e == noAnswer }

// NoPath tells whether a gateway knows no unit of that id.
func (e Exception) NoPath() bool { return e == noPath }

// Busy tells whether the unit will answer another time.
func (e Exception) Busy() bool { return e == acknowledge || e == busy }

// errorFlag is set in the function code of an exception.
const errorFlag = 0x80

// Data returns what follows the function code in the answer to a request, both
// PDUs. Errors are an [Exception], or say that it is no answer to the request.
func Data(request, answer []byte) ([]byte, error) {
	switch {
	case len(answer) == 0 || len(request) == 0:
		return nil, errors.New("the answer is empty")
	case answer[0] == request[0]:
		return answer[1:], nil
	case answer[0] != request[0]|errorFlag:
		return nil, fmt.Errorf("function %d is answered with function %d", request[0], answer[0])
	case len(answer) < 2 || answer[1] == 0:
		return nil, fmt.Errorf("function %d is answered with an exception without a code", request[0])
	}
	return nil, Exception(answer[1])
}

// Read returns a request that reads so many registers or bits (functions 1 to 4)
// from an address.
func Read(function byte, address, count uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{function}, address), count)
}

// CheckRead tells whether an answer is one to a request of [Read]. The values are
// nobody's concern.
func CheckRead(request, answer []byte) error {
	data, err := Data(request, answer)
	if err != nil {
		return err
	}
	count := int(binary.BigEndian.Uint16(request[3:]))
	want := 2 * count
	if request[0] <= 2 { // bits
		want = (count + 7) / 8
	}
	if len(data) != 1+want || int(data[0]) != want {
		return fmt.Errorf("%d bytes are answered where %d values were asked for", len(data), count)
	}
	return nil
}
