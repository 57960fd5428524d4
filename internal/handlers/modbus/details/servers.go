package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/fields"
)

// Server is a Modbus TCP server: a device, or a gateway to several.
type Server struct {
	// Host is a name in lower case, or an address as it is written by net/netip.
	Host string
	Port uint16
	// Units are the unit ids that are asked, each once, in rising order.
	Units []byte
	// Network is the network that the server stands in, as it was given; "" if the
	// server itself was given. In a network nobody need be there.
	Network string
}

// Address returns host:port.
func (s Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// parseServers returns servers. Errors begin with what follows the key.
func parseServers(j json.RawMessage, units []byte) ([]Server, error) {
	var entries []json.RawMessage
	if j != nil && json.Unmarshal(j, &entries) != nil {
		return nil, errors.New(": not a list: write some, such as [10.0.0.5, 'plc.example:502']")
	}
	if len(entries) == 0 {
		return nil, errors.New(": lists none: name some, such as 10.0.0.5 or plc.example:502")
	}
	if len(entries) > MaxServers {
		return nil, fmt.Errorf(": has %d entries, at most %d are allowed", len(entries), MaxServers)
	}
	var all []Server
	places := map[string]int{} // by the address
	total := 0
	for i, entry := range entries {
		found, err := parseEntry(entry, units)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		for _, s := range found {
			at, there := places[s.Address()]
			if !there {
				at = len(all)
				places[s.Address()] = at
				all = append(all, Server{Host: s.Host, Port: s.Port, Network: s.Network})
			}
			known := &all[at]
			if s.Network == "" {
				known.Network = ""
			}
			total -= len(known.Units)
			known.Units = union(known.Units, s.Units)
			total += len(known.Units)
		}
		if len(all) > MaxServers {
			return nil, fmt.Errorf("[%d]: with it there are %d servers, at most %d are allowed: name smaller networks",
				i, len(all), MaxServers)
		}
	}
	if total > MaxUnits {
		return nil, fmt.Errorf(": have %d units in all, at most %d are allowed: name fewer units or servers", total, MaxUnits)
	}
	return all, nil
}

// parseEntry returns the servers of one entry, a text or a mapping.
func parseEntry(j json.RawMessage, units []byte) ([]Server, error) {
	var text string
	if json.Unmarshal(j, &text) == nil && string(j) != "null" {
		return parseAddress(text, units)
	}
	if _, err := fields.Mapping(j); err != nil {
		return nil, errors.New("neither a text such as 10.0.0.5, plc.example:502 or 10.0.1.0/28, " +
			"nor a mapping with address and units")
	}
	given, err := fields.Only(j, "address", "units")
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(given["address"], &text) != nil || given["address"] == nil {
		return nil, errors.New("address: not a text such as 10.0.0.5, plc.example:502 or 10.0.1.0/28")
	}
	if value, ok := given["units"]; ok {
		if units, err = parseUnits(value); err != nil {
			return nil, fmt.Errorf("units: %w", err)
		}
	}
	found, err := parseAddress(text, units)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	return found, nil
}

// parseAddress returns the server at host or host:port, or those of a network.
func parseAddress(text string, units []byte) ([]Server, error) {
	wrong := func(why string) ([]Server, error) {
		return nil, fmt.Errorf("%.64q: %s; give a host, host:port or network, such as 10.0.0.5, plc.example:502 or "+
			"10.0.1.0/28", text, why)
	}
	if strings.Contains(text, "://") {
		return wrong("is a URL")
	}
	if before, after, ok := strings.Cut(text, "/"); ok {
		bits, port, hasPort := strings.Cut(after, ":")
		network, err := netip.ParsePrefix(before + "/" + bits)
		if err != nil {
			return wrong("is no network (unit ids are given in units)")
		}
		n := uint16(DefaultPort)
		if hasPort {
			if n, err = parsePort(port); err != nil {
				return wrong(err.Error())
			}
		}
		return ofNetwork(network.Masked(), n, units, text)
	}
	host, port := text, uint16(DefaultPort)
	if _, err := netip.ParseAddr(text); err != nil {
		bare, number, err := net.SplitHostPort(text)
		switch {
		case err == nil:
			host = bare
			if port, err = parsePort(number); err != nil {
				return wrong(err.Error())
			}
		case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
			host = text[1 : len(text)-1]
		}
	}
	host, err := fields.Host(host)
	if err != nil {
		return wrong("names no host: " + err.Error())
	}
	if ip, err := netip.ParseAddr(host); err == nil && noHosts(ip) {
		return wrong("is no host's address")
	}
	return []Server{{Host: host, Port: port, Units: units}}, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("has a port that is none, they are from 1 to 65535")
	}
	return uint16(n), nil
}

// noHosts tells whether no host can have an address.
func noHosts(ip netip.Addr) bool {
	return ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// ofNetwork returns a server for each address of a network. The first and last of
// a network of IPv4 are not hosts' (RFC 919; but RFC 3021), and clouds' metadata
// services are nobody's devices.
func ofNetwork(network netip.Prefix, port uint16, units []byte, text string) ([]Server, error) {
	free := network.Addr().BitLen() - network.Bits()
	if free > 8 {
		return nil, fmt.Errorf("%.64q: has 2^%d addresses, at most %d are allowed: name a smaller network, such as %s/%d",
			text, free, MaxServers, network.Addr(), network.Addr().BitLen()-4)
	}
	var all []Server
	for ip := network.Addr(); network.Contains(ip); ip = ip.Next() {
		edge := network.Addr().Is4() && free >= 2 && (ip == network.Addr() || !network.Contains(ip.Next()))
		if !edge && !noHosts(ip) && !address.Metadata(ip) {
			all = append(all, Server{Host: ip.Unmap().String(), Port: port, Units: units, Network: text})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%.64q: has no address that a device can have", text)
	}
	return all, nil
}

// parseUnits returns unit ids: a list of numbers and ranges such as 1-10.
func parseUnits(j json.RawMessage) (units []byte, err error) {
	var entries []any
	if json.Unmarshal(j, &entries) != nil {
		return nil, errors.New("not a list of unit ids and ranges, such as [1, 3-5]")
	}
	if len(entries) == 0 {
		return nil, errors.New("lists none: name some, such as [1, 3-5], or leave it out for 1")
	}
	if len(entries) > 256 {
		return nil, fmt.Errorf("has %d entries, at most 256 are allowed", len(entries))
	}
	for i, entry := range entries {
		first, last, isRange := strings.Cut(fmt.Sprint(entry), "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 8)
		to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 8)
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("[%d]: %.32q is not a unit id from 0 to 255, or a range such as 3-5", i, fmt.Sprint(entry))
		}
		var added []byte
		for u := from; u <= to; u++ {
			added = append(added, byte(u))
		}
		units = union(units, added)
	}
	return units, nil
}

// union returns what is in one or the other, each once, in rising order, in a new
// slice.
func union(a, b []byte) []byte {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
