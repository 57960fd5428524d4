package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/samples/brokers"
)

// settings are what the environment says.
type settings struct {
	url         string // of the server
	application string // the server's application URI; "" if it is not known
	node        *ua.NodeID
	interval    time.Duration // between two values, at least
	lifetime    time.Duration // of a secure channel's keys

	pki                string // folder of certificates
	pfxPassword        string
	username, password string

	port, probesPort string
}

const (
	// defaultPKI is where upstream's chart, and ours, mount certificates.
	defaultPKI = "/etc/opcua-certs/client-pki"
	// defaultInterval is upstream's.
	defaultInterval          = time.Second
	minInterval, maxInterval = 10 * time.Millisecond, time.Hour
	channelLifetime          = time.Hour
)

var ofServer = regexp.MustCompile(`^OPCUA_(DISCOVERY_URL|APPLICATION_URI)_([0-9A-F]{6})$`)

// parse reads an environment ("NAME=value"). The server is that of
// OPCUA_DISCOVERY_URL_<HASH>, of the first by hash if there are several, or of plain
// OPCUA_DISCOVERY_URL.
func parse(environ []string) (settings, error) {
	env := map[string]string{}
	var hashes []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
		if m := ofServer.FindStringSubmatch(name); m != nil && m[1] == "DISCOVERY_URL" && value != "" {
			hashes = append(hashes, "_"+m[2])
		}
	}
	hash := ""
	if len(hashes) > 0 {
		hash = slices.Min(hashes)
	}
	s := settings{
		url: env["OPCUA_DISCOVERY_URL"+hash], application: env["OPCUA_APPLICATION_URI"+hash],
		pki: cmp.Or(env["CREDENTIAL_DIRECTORY"], defaultPKI), pfxPassword: env["PFX_PASSWORD"],
		username: env["OPCUA_USERNAME"], password: env["OPCUA_PASSWORD"],
		interval: defaultInterval, lifetime: channelLifetime,
	}
	if s.url == "" {
		return s, errors.New("there is no server: the broker needs OPCUA_DISCOVERY_URL_<HASH>, which it has if its Pod asks for a server of the handler opcua")
	}
	if u, err := url.Parse(s.url); err != nil || u.Scheme != "opc.tcp" || u.Hostname() == "" {
		return s, fmt.Errorf("OPCUA_DISCOVERY_URL%s=%q: want opc.tcp:// and a host", hash, s.url)
	}
	var err error
	if s.node, err = nodeID(env["IDENTIFIER"], env["NAMESPACE_INDEX"]); err != nil {
		return s, err
	}
	if text := env["INTERVAL"]; text != "" {
		s.interval, err = time.ParseDuration(text)
		if err != nil || s.interval < minInterval || s.interval > maxInterval {
			return s, fmt.Errorf("INTERVAL=%s: want a duration from %v to %v, such as 500ms", text, minInterval, maxInterval)
		}
	}
	s.port, s.probesPort = brokers.Ports(env)
	return s, nil
}

// nodeID makes the node's id. An identifier is a text, as upstream's broker takes
// it, or has its kind before it as in the standard's notation: "i=2258".
func nodeID(identifier, namespace string) (*ua.NodeID, error) {
	if identifier == "" {
		return nil, errors.New("IDENTIFIER is not set: it is the identifier of the node whose value is served, such as Thermometer_Temperature or i=2258")
	}
	index, err := strconv.ParseUint(cmp.Or(namespace, "0"), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("NAMESPACE_INDEX=%s: want a number from 0 to 65535", namespace)
	}
	kind, rest, found := strings.Cut(identifier, "=")
	switch {
	case !found || len(kind) != 1 || !strings.Contains("isgb", kind):
		return ua.NewStringNodeID(uint16(index), identifier), nil
	case kind == "s": // it may have a semicolon, which the library's parser does not like
		return ua.NewStringNodeID(uint16(index), rest), nil
	}
	id, err := ua.ParseNodeID(fmt.Sprintf("ns=%d;%s", index, identifier))
	if err != nil {
		return nil, fmt.Errorf("IDENTIFIER=%s: %w", identifier, err)
	}
	return id, nil
}
