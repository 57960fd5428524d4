// Package details reads what a Configuration asks the handler modbus: its
// discoveryDetails.
package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/akri-go/akri/internal/handlers/fields"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

// What people read of the handler.
const (
	// Name is what Configurations ask for.
	Name = "modbus"
	// Summary says in one line what the handler finds.
	Summary = "Modbus TCP devices, and those behind gateways, by asking them"
	// About says what the handler needs and does.
	About = `Needs the addresses of servers or a small network, the unit ids to ask
there, and a way to them over TCP. Only reads: Read Device Identification
(43/14), or a register where that is not supported.`
)

// The properties of a device.
const (
	PropertyHost    = "MODBUS_HOST"    // as it was given
	PropertyPort    = "MODBUS_PORT"    // in decimal
	PropertyUnit    = "MODBUS_UNIT_ID" // in decimal
	PropertyFoundBy = "MODBUS_FOUND_BY"

	// Those of Read Device Identification, by the names of its objects.
	PropertyVendor      = "MODBUS_VENDOR_NAME"
	PropertyCode        = "MODBUS_PRODUCT_CODE"
	PropertyRevision    = "MODBUS_REVISION"
	PropertyURL         = "MODBUS_VENDOR_URL"
	PropertyProduct     = "MODBUS_PRODUCT_NAME"
	PropertyModel       = "MODBUS_MODEL_NAME"
	PropertyApplication = "MODBUS_USER_APPLICATION_NAME"
	PropertyConformity  = "MODBUS_CONFORMITY_LEVEL"
	// PropertyObject is followed by the number of the private object that devices
	// are known by, if Identity says so.
	PropertyObject = "MODBUS_OBJECT_"
)

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// Servers are asked, each host and port once.
	Servers []Server
	// Identity is what a device is known by.
	Identity Identity
	// Probe is what is read of units that do not identify themselves.
	Probe Probe
	// Vendors, Codes, Products and Models choose by what devices say of themselves.
	// Of what a device does not say the text is empty.
	Vendors, Codes, Products, Models fields.Filter
	// Interval is how often each server is asked while something changes, Timeout
	// for how long each answer is waited for, and Gap the time between an answer and
	// the next request to the same server.
	Interval, Timeout, Gap time.Duration
}

// Identity is what a device is known by: [ByAddress], or the number of an object
// of Read Device Identification.
type Identity int

const (
	// ByAddress is a device that is its host, port and unit id.
	ByAddress Identity = -1
	// ByApplication is a device that is its UserApplicationName, which people give
	// it.
	ByApplication Identity = 6
	// FirstPrivate is the first of the objects whose meaning is the vendor's, up to
	// 255.
	FirstPrivate = 0x80
)

// Probe is a request that reads.
type Probe struct {
	Function       byte // 1 to 4
	Address, Count uint16
}

const (
	// DefaultPort is registered for Modbus TCP.
	DefaultPort = 502
	// MaxServers is how many servers a Configuration may have, those of networks
	// counted one by one.
	MaxServers = 256
	// MaxUnits is how many units it may have, on all servers.
	MaxUnits = 2048

	// DefaultTimeout is longer than most gateways wait for a device of theirs.
	DefaultTimeout = 3 * time.Second
	// DefaultGap lets other clients of a server have their turn.
	DefaultGap = 20 * time.Millisecond

	minTimeout, maxTimeout = 50 * time.Millisecond, 10 * time.Second
	maxGap                 = 5 * time.Second

	maxRegisters, maxBits = 125, 2000 // of one request (Modbus Application Protocol V1.1b3, 6.1 to 6.4)
)

const keys = "servers, units, probe, identity, vendorNames, productCodes, productNames, modelNames, interval, " +
	"timeout and gap"

// Parse parses discoveryDetails, a YAML mapping with the keys servers (a list of
// texts host, host:port, network or network:port, or mappings with such an address
// and units), units (a list of unit ids and ranges such as 1-10, for servers
// without their own; 1), probe (function, address and count; 3, 0 and 1), identity
// (address, userApplicationName, or the number of a private object), vendorNames,
// productCodes, productNames and modelNames (filters, see [fields.ParseFilter]),
// and interval, timeout and gap (durations). Errors name the key at fault.
func Parse(text string) (Details, error) {
	d := Details{
		Identity: ByAddress, Probe: Probe{Function: 3, Count: 1},
		Interval: schedule.DefaultInterval, Timeout: DefaultTimeout, Gap: DefaultGap,
	}
	given, err := fields.Parse(text)
	if err != nil {
		return d, err
	}
	units := []byte{1}
	for key, value := range given {
		var err error
		switch key {
		case "servers": // below, when the units are known
		case "units":
			units, err = parseUnits(value)
		case "probe":
			err = d.Probe.parse(value)
		case "identity":
			d.Identity, err = parseIdentity(value)
		case "vendorNames":
			d.Vendors, err = fields.ParseFilter(value)
		case "productCodes":
			d.Codes, err = fields.ParseFilter(value)
		case "productNames":
			d.Products, err = fields.ParseFilter(value)
		case "modelNames":
			d.Models, err = fields.ParseFilter(value)
		case "interval":
			d.Interval, err = fields.Interval(value)
		case "timeout":
			d.Timeout, err = duration(value, DefaultTimeout, minTimeout, maxTimeout)
		case "gap":
			d.Gap, err = duration(value, DefaultGap, 0, maxGap)
		default:
			err = errors.New("unknown key: the keys are " + keys)
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
	}
	if d.Servers, err = parseServers(given["servers"], units); err != nil {
		return d, fmt.Errorf("servers%w", err)
	}
	return d, nil
}

// Check tells whether discoveryDetails can be used. Warnings say where nothing
// will be found, or something else than is meant.
func Check(text string) (warnings []string, err error) {
	d, err := Parse(text)
	if err != nil {
		return nil, err
	}
	reserved := false
	for _, s := range d.Servers {
		if s.Host == "localhost" {
			warnings = append(warnings, fmt.Sprintf("servers: %s: for the handler in a cluster "+
				"localhost is its own Pod, or its node with modbus.discovery.hostNetwork", s.Address()))
		}
		for _, u := range s.Units {
			reserved = reserved || u >= 248 && u <= 254
		}
	}
	if reserved {
		warnings = append(warnings, "units: 248 to 254 are reserved: devices have 1 to 247, "+
			"and a server itself is 255 or 0")
	}
	for _, f := range []struct {
		key    string
		filter fields.Filter
	}{{"vendorNames", d.Vendors}, {"productCodes", d.Codes}, {"productNames", d.Products}, {"modelNames", d.Models}} {
		if f.filter.Nothing() {
			warnings = append(warnings, f.key+": includes nothing, so no device is found: leave it out, or name some")
		}
	}
	if first, ok := d.Probe.counted(); ok {
		warnings = append(warnings, fmt.Sprintf("probe: address: %[1]d is far up: addresses count from 0. If you mean "+
			"register %[1]d of a manual, it is function %[2]d, address %[3]d",
			d.Probe.Address, d.Probe.Function, d.Probe.Address-first))
	}
	return warnings, nil
}

// counted tells whether an address looks like the number that manuals give a
// register, which begins with a digit for the kind, and which is the first of them.
func (p Probe) counted() (first uint16, ok bool) {
	first = map[byte]uint16{2: 10001, 3: 40001, 4: 30001}[p.Function]
	return first, first > 0 && p.Address >= first && p.Address < first+9999
}

func (p *Probe) parse(j json.RawMessage) error {
	given, err := fields.Only(j, "function", "address", "count")
	if err != nil {
		return err
	}
	for key, to := range map[string]func(int){
		"function": func(n int) { p.Function = byte(min(n, 255)) },
		"address":  func(n int) { p.Address = uint16(n) },
		"count":    func(n int) { p.Count = uint16(n) },
	} {
		if value, ok := given[key]; ok {
			var n int
			if json.Unmarshal(value, &n) != nil || n < 0 || n > 65535 {
				return fmt.Errorf("%s: not a number from 0 to 65535", key)
			}
			to(n)
		}
	}
	most := maxRegisters
	switch p.Function {
	case 1, 2:
		most = maxBits
	case 3, 4:
	default:
		return errors.New("function: must be 1 (coils), 2 (discrete inputs), 3 (holding registers) or " +
			"4 (input registers): the handler only reads")
	}
	if p.Count < 1 || int(p.Count) > most {
		return fmt.Errorf("count: must be from 1 to %d for function %d", most, p.Function)
	}
	if int(p.Address)+int(p.Count) > 65536 {
		return fmt.Errorf("count: address %d and %d after it are beyond 65535: read fewer", p.Address, p.Count-1)
	}
	return nil
}

func parseIdentity(j json.RawMessage) (Identity, error) {
	var text string
	isText := json.Unmarshal(j, &text) == nil
	number := string(j)
	if isText { // as from a command line
		number = text
	}
	n, err := strconv.Atoi(number)
	switch {
	case err == nil && n >= FirstPrivate && n <= 255:
		return Identity(n), nil
	case !isText:
	case text == "address", text == "":
		return ByAddress, nil
	case text == "userApplicationName":
		return ByApplication, nil
	}
	return ByAddress, fmt.Errorf("must be address, userApplicationName, or the number of a private object from %d to 255",
		FirstPrivate)
}

// duration is as [fields.Duration], with a default for an empty text.
func duration(j json.RawMessage, normally, least, most time.Duration) (time.Duration, error) {
	if string(j) == `""` || string(j) == "null" {
		return normally, nil
	}
	return fields.Duration(j, least, most, normally.String())
}
