package main

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/onvif/users"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/samples/brokers"
)

// settings are what the environment says.
type settings struct {
	service  *url.URL // the camera's device service; nil if a URL of pictures is given
	uuid     string
	called   string   // what the camera calls itself
	rtsp     *url.URL // of pictures, instead of asking the camera
	snapshot *url.URL

	user          *users.User // from the environment
	directories   []string    // of mounted Secrets and ConfigMaps; later ones win
	skipTLSVerify bool

	width, height int // of the wanted pictures
	perSecond     int // snapshots
	kinds         []kind

	port, probesPort string
}

// kind is how pictures come.
type kind string

const (
	byRTSP     kind = "rtsp"
	bySnapshot kind = "snapshot"
)

// maxName is how many bytes of a camera's name are told.
const maxName = 128

// name is what the camera is called in answers: what it calls itself, its UUID, or
// where it is.
func (s settings) name() string {
	if name := cmp.Or(s.called, s.uuid); name != "" {
		return name
	}
	for _, u := range []*url.URL{s.service, s.rtsp, s.snapshot} {
		if u != nil {
			return withoutUser(u)
		}
	}
	return ""
}

func withoutUser(u *url.URL) string {
	c := *u
	c.User = nil
	return c.String()
}

var ofDevice = regexp.MustCompile(`^(ONVIF_DEVICE_SERVICE_URL|ONVIF_DEVICE_UUID|ONVIF_DEVICE_NAME)_([0-9A-F]{6})$`)

// parse reads an environment ("NAME=value").
func parse(environ []string) (settings, error) {
	env := map[string]string{}
	var hashes []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
		if m := ofDevice.FindStringSubmatch(name); m != nil {
			hashes = append(hashes, m[2])
		}
	}
	s := settings{uuid: users.UUID(env["ONVIF_DEVICE_UUID"]), called: shorten.Text(env["ONVIF_DEVICE_NAME"], maxName)}
	service := env["ONVIF_DEVICE_SERVICE_URL"]
	if len(hashes) > 0 {
		// One device has one hash. With several, which no Configuration of ours gives a
		// broker, it is the first.
		hash := slices.Min(hashes)
		s.called = shorten.Text(env["ONVIF_DEVICE_NAME_"+hash], maxName)
		s.uuid, service = users.UUID(env["ONVIF_DEVICE_UUID_"+hash]), env["ONVIF_DEVICE_SERVICE_URL_"+hash]
	}
	for _, u := range []struct {
		name, value string
		into        **url.URL
		schemes     []string
	}{
		{"ONVIF_DEVICE_SERVICE_URL", service, &s.service, []string{"http", "https"}},
		{"RTSP_URL", env["RTSP_URL"], &s.rtsp, []string{"rtsp", "rtsps"}},
		{"SNAPSHOT_URL", env["SNAPSHOT_URL"], &s.snapshot, []string{"http", "https"}},
	} {
		if u.value == "" {
			continue
		}
		parsed, err := url.Parse(u.value)
		if err != nil || parsed.Hostname() == "" || !slices.Contains(u.schemes, parsed.Scheme) {
			return s, fmt.Errorf("%s is no URL with a host and %s", u.name, strings.Join(u.schemes, " or ")) // it may have a password
		}
		*u.into = parsed
	}
	if s.service == nil && s.rtsp == nil && s.snapshot == nil {
		return s, fmt.Errorf("there is no camera: the broker needs ONVIF_DEVICE_SERVICE_URL_<HASH>, which it has if its Pod asks for a camera " +
			"of the handler onvif, or RTSP_URL, or SNAPSHOT_URL")
	}
	if name := env["CAMERA_USERNAME"]; name != "" {
		s.user = &users.User{Username: name, Password: env["CAMERA_PASSWORD"]}
	}
	for _, name := range []string{"CREDENTIAL_DIRECTORY", "CREDENTIAL_CONFIGMAP_DIRECTORY"} {
		if env[name] != "" {
			s.directories = append(s.directories, env[name])
		}
	}
	switch env["CAMERA_SOURCE"] {
	case "", "auto":
		s.kinds = []kind{byRTSP, bySnapshot}
	case string(byRTSP), string(bySnapshot):
		s.kinds = []kind{kind(env["CAMERA_SOURCE"])}
	default:
		return s, fmt.Errorf("CAMERA_SOURCE=%s: want auto, rtsp or snapshot", env["CAMERA_SOURCE"])
	}
	var err error
	if s.skipTLSVerify, err = boolean(env, "INSECURE_SKIP_TLS_VERIFY"); err != nil {
		return s, err
	}
	for _, n := range []struct {
		name           string
		deflt, maximum int
		into           *int
	}{
		{"RESOLUTION_WIDTH", 640, 1 << 14, &s.width}, {"RESOLUTION_HEIGHT", 480, 1 << 14, &s.height}, {"FRAMES_PER_SECOND", 5, 60, &s.perSecond},
	} {
		if *n.into, err = brokers.Number(env[n.name], n.deflt, n.maximum); err != nil {
			return s, fmt.Errorf("%s: %w", n.name, err)
		}
	}
	s.port, s.probesPort = brokers.Ports(env)
	return s, nil
}

func boolean(env map[string]string, name string) (bool, error) {
	if env[name] == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(env[name])
	if err != nil {
		return false, fmt.Errorf("%s=%s: want true or false", name, env[name])
	}
	return b, nil
}
