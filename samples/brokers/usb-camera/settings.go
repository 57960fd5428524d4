package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/akri-go/akri/samples/brokers"
)

// settings are what the environment says.
type settings struct {
	path      string // of the device node
	want      mode
	perSecond int

	port, probesPort string
}

var ofNode = regexp.MustCompile(`^UDEV_DEVNODE(?:_[0-9]+)?_[0-9A-F]{6}$`)

// parse reads an environment ("NAME=value"). The device node is that of the first
// variable by name: UDEV_DEVNODE_<HASH>, UDEV_DEVNODE_0_<HASH> if there are several,
// or plain UDEV_DEVNODE.
func parse(environ []string) (settings, error) {
	env := map[string]string{}
	var s settings
	first := ""
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
		if ofNode.MatchString(name) && value != "" && (first == "" || name < first) {
			first, s.path = name, value
		}
	}
	if s.path = cmp.Or(s.path, env["UDEV_DEVNODE"]); s.path == "" {
		return s, errors.New("there is no camera: the broker needs UDEV_DEVNODE_<HASH>, which it has if its Pod asks for a device of the handler udev")
	}
	format := cmp.Or(env["FORMAT"], "MJPG")
	if len(format) != 4 {
		return s, fmt.Errorf("FORMAT=%s: want four letters, as V4L2 has them, such as MJPG or YUYV", format)
	}
	s.want.format = code(format)
	for _, n := range []struct {
		name           string
		deflt, maximum int
		into           func(int)
	}{
		{"RESOLUTION_WIDTH", 640, maxSide - 1, func(n int) { s.want.width = uint32(n) }},
		{"RESOLUTION_HEIGHT", 480, maxSide - 1, func(n int) { s.want.height = uint32(n) }},
		{"FRAMES_PER_SECOND", 10, 240, func(n int) { s.perSecond = n }},
	} {
		number, err := brokers.Number(env[n.name], n.deflt, n.maximum)
		if err != nil {
			return s, fmt.Errorf("%s: %w", n.name, err)
		}
		n.into(number)
	}
	s.port, s.probesPort = brokers.Ports(env)
	return s, nil
}
