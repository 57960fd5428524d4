package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
	"github.com/akri-go/akri/test/street"
)

// A poller that asks everything every 10 s is what users know: it probes, waits a
// second for answers, and asks each camera whether it is there. It is a fake, of
// the least that such a handler sends.
const (
	pollInterval = 10 * time.Second
	pollWait     = time.Second
	lateCameras  = 5 // are started while it polls
)

const probeText = `<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:n="http://www.onvif.org/ver10/network/wsdl"><e:Header>
<w:MessageID>urn:uuid:00000000-0000-4000-8000-%012x</w:MessageID><w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>
<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>
<e:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>`

const timeText = `<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>
<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/></e:Body></e:Envelope>`

var uuidOf = regexp.MustCompile(`urn:uuid:([0-9a-f-]{36})</[a-z]*:?Address>`)

// poll measures the poller on the node: how soon it sees a camera that comes, and
// its packets.
func (b *bench) poll(ctx context.Context, n *network, sim *simulator.Simulator) error {
	node, err := street.At(b.cluster.Network().NetNS("node1"))
	if err != nil {
		return err
	}
	defer node.Leave()
	cameras := sim.Cameras()
	early := len(cameras) - lateCameras
	for _, c := range cameras[:early] {
		if err := n.Do(c.Start); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, ended := make(chan sighting, 2*len(cameras)), make(chan error, 1)
	go func() { ended <- node.Do(func() error { return pollCameras(ctx, n.node, seen) }) }()
	packets, err := n.during(ctx, b.idle)
	if err != nil {
		return err
	}
	b.report(fmt.Sprintf("%d-cameras-poller-packets", manyCameras), packets, "packets/min", 0)

	started := map[string]time.Time{}
	var took []time.Duration
	for _, c := range cameras[early:] {
		if err := n.Do(c.Start); err != nil {
			return err
		}
		started[c.UUID] = time.Now()
		if err := backoff.Sleep(ctx, pollInterval*7/10); err != nil { // not always at the same time of a round
			return err
		}
	}
	for len(took) < lateCameras {
		select {
		case s := <-seen:
			if at, late := started[s.uuid]; late {
				took = append(took, s.at.Sub(at))
			}
		case err := <-ended:
			return fmt.Errorf("the poller has ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	slices.Sort(took)
	b.report("poller-camera-seen-p50", ms(quantile(took, 0.5)), "ms", 0)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// sighting is a camera that the poller has found.
type sighting struct {
	uuid string
	at   time.Time
}

// pollCameras polls from an address of this thread's namespace until ctx is done.
func pollCameras(ctx context.Context, from netip.Addr, found chan<- sighting) error {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		return err
	}
	known := map[string]bool{}
	for round := 0; ; round++ {
		next := time.Now().Add(pollInterval)
		group := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("239.255.255.250:3702"))
		if _, err := conn.WriteToUDP(fmt.Appendf(nil, probeText, round), group); err != nil {
			return err
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
				return err
			}
			if !known[uuid] {
				known[uuid] = true
				found <- sighting{uuid, time.Now()}
			}
		}
		if err := backoff.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
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
