package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"

	"github.com/akri-go/akri/internal/handlers/multicast"
)

const probeText = `<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:n="http://www.onvif.org/ver10/network/wsdl"><e:Header>
<w:MessageID>urn:uuid:00000000-0000-4000-8000-%012x</w:MessageID><w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>
<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>
<e:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>`

const timeText = `<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>
<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/></e:Body></e:Envelope>`

var uuidOf = regexp.MustCompile(`urn:uuid:([0-9a-f-]{36})</[a-z]*:?Address>`)

// askCameras probes, waits a second for answers, and asks each camera whether it is
// there.
func askCameras(n *network) (poller, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.node, 0)))
	if err != nil {
		return poller{}, err
	}
	group := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("239.255.255.250:3702"))
	return poller{close: conn.Close, ask: func(round int) (ids []string, err error) {
		if _, err := conn.WriteToUDP(fmt.Appendf(nil, probeText, round), group); err != nil {
			return nil, err
		}
		answers := map[string]netip.Addr{}
		_ = conn.SetReadDeadline(time.Now().Add(pollWait))
		for buffer := make([]byte, 64<<10); ; {
			size, at, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				break // the time is over
			}
			if m := uuidOf.FindSubmatch(buffer[:size]); m != nil {
				answers[string(m[1])] = at.Addr()
			}
		}
		for uuid, at := range answers {
			if err := askTime(at); err != nil {
				return nil, err
			}
			ids = append(ids, uuid)
		}
		return ids, nil
	}}, conn.SetReadBuffer(4 << 20)
}

// askTime asks a camera for its time. It dials in this thread, as package
// net/http would not.
func askTime(at netip.Addr) error {
	conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(at, 80).String(), 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = fmt.Fprintf(conn, "POST /onvif/device_service HTTP/1.0\r\nHost: %s\r\nContent-Type: application/soap+xml\r\nContent-Length: %d\r\n\r\n%s",
		at, len(timeText), timeText)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	if err == nil && !strings.Contains(string(answer), "GetSystemDateAndTimeResponse") {
		err = fmt.Errorf("camera %s answers %.200q", at, answer)
	}
	return err
}

// askServices asks for all services of a type, without saying which are known, and
// waits a second for answers.
func askServices(n *network) (poller, error) {
	group := netip.MustParseAddrPort("224.0.0.251:5353")
	conn, err := multicast.Group4(group)
	if err != nil {
		return poller{}, err
	}
	device, err := net.InterfaceByName("eth0")
	if err == nil {
		err = conn.JoinGroup(device, net.UDPAddrFromAddrPort(group))
	}
	if err != nil {
		conn.Close()
		return poller{}, err
	}
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName(serviceType + ".local."), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}}}
	question, err := m.Pack()
	how := &ipv4.ControlMessage{IfIndex: device.Index, Src: n.node.AsSlice()}
	return poller{close: conn.Close, ask: func(int) (ids []string, err error) {
		if _, err := conn.WriteTo(question, how, net.UDPAddrFromAddrPort(group)); err != nil {
			return nil, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(pollWait))
		for buffer := make([]byte, 9000); ; {
			size, _, _, err := conn.ReadFrom(buffer)
			if err != nil {
				return ids, nil // the time is over
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:size]) != nil || !m.Response {
				continue
			}
			for _, r := range m.Answers {
				if p, ok := r.Body.(*dnsmessage.PTRResource); ok {
					ids = append(ids, p.PTR.String())
				}
			}
		}
	}}, err
}

// askUnits asks each unit of each server for its identification.
func askUnits(n *network) (poller, error) {
	return poller{close: func() error { return nil }, ask: func(int) (ids []string, err error) {
		for i := range many / unitsPerServer {
			there, err := askServer(netip.AddrPortFrom(n.device(i), modbusPort))
			if err != nil {
				return nil, err
			}
			ids = append(ids, there...)
		}
		return ids, nil
	}}, nil
}

// askServer returns the ids of a server's units that answer.
func askServer(at netip.AddrPort) (ids []string, err error) {
	conn, err := net.DialTimeout("tcp", at.String(), 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	for unit := 1; unit <= unitsPerServer; unit++ {
		if _, err := conn.Write([]byte{0, 1, 0, 0, 0, 5, byte(unit), 43, 14, 1, 0}); err != nil {
			return nil, err
		}
		var header [7]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return nil, err
		}
		answer := make([]byte, binary.BigEndian.Uint16(header[4:])-1)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return nil, err
		}
		if answer[0] == 43 {
			ids = append(ids, unitID(at, unit))
		}
	}
	return ids, nil
}
