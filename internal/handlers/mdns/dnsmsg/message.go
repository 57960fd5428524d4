// Package dnsmsg reads and writes messages of Multicast DNS (RFC 6762, section
// 18): of answers, the records that DNS-based service discovery is made of
// (RFC 6763), and questions with the answers to them that are known already.
//
// It reads what strangers have sent. A message is read as a whole or not at all,
// costs no more than its own length, and names of services may have any bytes.
package dnsmsg

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// MaxMessage is the longest message (RFC 6762, section 17), in bytes.
const MaxMessage = 9000

// Types of records.
const (
	TypeA    = 1
	TypePTR  = 12
	TypeTXT  = 16
	TypeAAAA = 28
	TypeSRV  = 33
)

const (
	classIN     = 1
	flush       = 1 << 15 // of a record's class: the cache-flush bit
	unicast     = 1 << 15 // of a question's class: the unicast-response bit
	headerBytes = 12

	bitResponse  = 1 << 15
	maskOpcode   = 0xf << 11
	bitTruncated = 1 << 9
	maskRcode    = 0xf
)

// IsAnswer tells whether a message is an answer, as far as its first bytes say.
func IsAnswer(msg []byte) bool {
	return len(msg) >= headerBytes && binary.BigEndian.Uint16(msg[2:])&bitResponse != 0
}

// Record is a record of one of the types above.
type Record struct {
	Name  Name
	Type  uint16
	Flush bool   // the cache-flush bit (RFC 6762, section 10.2)
	TTL   uint32 // seconds; 0 is a good-bye (section 10.1)

	Target   Name       // of PTR and SRV
	Port     uint16     // of SRV
	Priority uint16     // of SRV; the lowest counts
	Text     []byte     // of TXT, as it is sent; part of the message
	Addr     netip.Addr // of A and AAAA
}

// Parse returns the records of an answer, of all its sections, in their order.
// What is not of the class IN or of no type above is left out.
func Parse(msg []byte) ([]Record, error) {
	if len(msg) > MaxMessage {
		return nil, errors.New("longer than 9000 bytes")
	}
	if len(msg) < headerBytes {
		return nil, errShort
	}
	bits := binary.BigEndian.Uint16(msg[2:])
	if bits&bitResponse == 0 {
		return nil, errors.New("a question, not an answer")
	}
	if bits&(maskOpcode|maskRcode) != 0 {
		return nil, errors.New("its opcode or response code is not 0") // to be ignored: sections 18.3 and 18.11
	}
	at := headerBytes
	for range binary.BigEndian.Uint16(msg[4:]) { // questions, which answers should not have
		_, end, err := readName(msg, at)
		if err != nil {
			return nil, err
		}
		if at = end + 4; at > len(msg) {
			return nil, errShort
		}
	}
	n := 0
	for _, count := range [][]byte{msg[6:], msg[8:], msg[10:]} {
		n += int(binary.BigEndian.Uint16(count))
	}
	var records []Record // grows by what is there, not by what the header says
	for range n {
		r, known, end, err := readRecord(msg, at)
		if err != nil {
			return nil, err
		}
		if known {
			records = append(records, r)
		}
		at = end
	}
	return records, nil
}

// readRecord reads a record at an offset, and returns where it ends. known tells
// whether it is of a class and type that count.
func readRecord(msg []byte, at int) (r Record, known bool, end int, err error) {
	name, at, err := readName(msg, at)
	if err != nil {
		return r, false, 0, err
	}
	if at+10 > len(msg) {
		return r, false, 0, errShort
	}
	class := binary.BigEndian.Uint16(msg[at+2:])
	r = Record{
		Name: name, Type: binary.BigEndian.Uint16(msg[at:]), Flush: class&flush != 0,
		TTL: binary.BigEndian.Uint32(msg[at+4:]),
	}
	data := at + 10
	end = data + int(binary.BigEndian.Uint16(msg[at+8:]))
	if end > len(msg) {
		return r, false, 0, errShort
	}
	if class&^flush != classIN {
		return r, false, end, nil
	}
	known, err = r.read(msg[:end], data)
	return r, known, end, err
}

// errData is of a record whose data are none of its type.
var errData = errors.New("a record in it is malformed")

// read reads a record's data, which are from an offset to the end of msg.
func (r *Record) read(msg []byte, at int) (known bool, err error) {
	data := msg[at:]
	switch r.Type {
	case TypeA:
		if len(data) != 4 {
			return false, errData
		}
		r.Addr = netip.AddrFrom4([4]byte(data))
	case TypeAAAA:
		if len(data) != 16 {
			return false, errData
		}
		r.Addr = netip.AddrFrom16([16]byte(data)).Unmap()
	case TypeTXT:
		r.Text = data
	case TypePTR:
		return true, r.readTarget(msg, at)
	case TypeSRV:
		if len(data) < 6 {
			return false, errData
		}
		r.Priority, r.Port = binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[4:])
		return true, r.readTarget(msg, at+6)
	default:
		return false, nil
	}
	return true, nil
}

func (r *Record) readTarget(msg []byte, at int) (err error) {
	var end int
	r.Target, end, err = readName(msg, at)
	if err == nil && end != len(msg) {
		return errData
	}
	return err
}
