package main

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/onvif/soap"
)

// The operations that are called: ONVIF Device Management Service,
// https://www.onvif.org/ver10/device/wsdl/devicemgmt.wsdl, and ONVIF Media Service,
// https://www.onvif.org/ver10/media/wsdl/media.wsdl.

const mediaNamespace = "http://www.onvif.org/ver10/media/wsdl"

type getServices struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetServices"`
	// IncludeCapability must be there.
	IncludeCapability bool `xml:"IncludeCapability"`
}

type services struct {
	XMLName xml.Name `xml:"GetServicesResponse"`
	All     []struct {
		Namespace string `xml:"Namespace"`
		XAddr     string `xml:"XAddr"`
	} `xml:"Service"`
}

// getCapabilities is what cameras have that are older than GetServices.
type getCapabilities struct {
	XMLName  xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetCapabilities"`
	Category string   `xml:"Category"`
}

type capabilities struct {
	XMLName xml.Name `xml:"GetCapabilitiesResponse"`
	Media   string   `xml:"Capabilities>Media>XAddr"`
}

type getProfiles struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetProfiles"`
}

type profiles struct {
	XMLName xml.Name  `xml:"GetProfilesResponse"`
	All     []profile `xml:"Profiles"`
}

type profile struct {
	Token    string `xml:"token,attr"`
	Encoding string `xml:"VideoEncoderConfiguration>Encoding"` // JPEG, MPEG4, H264
	Width    int    `xml:"VideoEncoderConfiguration>Resolution>Width"`
	Height   int    `xml:"VideoEncoderConfiguration>Resolution>Height"`
}

type getSnapshotURI struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetSnapshotUri"`
	Profile string   `xml:"ProfileToken"`
}

type snapshotURI struct {
	XMLName xml.Name `xml:"GetSnapshotUriResponse"`
	URI     string   `xml:"MediaUri>Uri"`
}

type getStreamURI struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/media/wsdl GetStreamUri"`
	Setup   struct {
		Stream    string `xml:"http://www.onvif.org/ver10/schema Stream"`
		Transport struct {
			Protocol string `xml:"http://www.onvif.org/ver10/schema Protocol"`
		} `xml:"http://www.onvif.org/ver10/schema Transport"`
	} `xml:"StreamSetup"`
	Profile string `xml:"ProfileToken"`
}

type streamURI struct {
	XMLName xml.Name `xml:"GetStreamUriResponse"`
	URI     string   `xml:"MediaUri>Uri"`
}

// maxProfiles is how many profiles of a camera are looked at.
const maxProfiles = 32

// way is a way to get pictures from a camera.
type way struct {
	kind    kind
	profile string // its token
}

func (w way) String() string { return fmt.Sprintf("%s of profile %q", w.kind, w.profile) }

// maxWays is how many ways are tried.
const maxWays = 6

// ways returns how pictures can be got, the best first: streams of the profiles
// with JPEG, and snapshots, which most cameras have of every profile. Of the
// profiles those come first that are most like the wanted size.
func ways(all []profile, s settings) ([]way, error) {
	all = slices.Clone(all[:min(len(all), maxProfiles)])
	distance := func(p profile) int {
		dw, dh := p.Width-s.width, p.Height-s.height
		return max(dw, -dw) + max(dh, -dh)
	}
	slices.SortStableFunc(all, func(a, b profile) int { return cmp.Compare(distance(a), distance(b)) })
	var list []way
	var other []string
	for _, k := range s.kinds {
		for _, p := range all {
			if k == byRTSP && !strings.EqualFold(p.Encoding, "JPEG") {
				other = append(other, p.Encoding)
				continue
			}
			list = append(list, way{k, p.Token})
		}
	}
	if len(list) > 0 {
		return list[:min(len(list), maxWays)], nil
	}
	if len(other) > 0 {
		return nil, fmt.Errorf("its streams are %s, which this broker does not decode: set one of its profiles to JPEG, "+
			"or leave CAMERA_SOURCE=auto, for its snapshots", strings.Join(slices.Compact(other), ", "))
	}
	return nil, errors.New("it has no profiles: make one in the camera's settings")
}

// askServices asks where the media service is.
func askServices(ctx context.Context, device *soap.Client) (string, error) {
	// GetServices needs no user, but some cameras want one.
	told, err := soap.Call[services](ctx, device, soap.AsUser, getServices{})
	if err == nil {
		for _, s := range told.All {
			if strings.TrimSpace(s.Namespace) == mediaNamespace {
				return strings.TrimSpace(s.XAddr), nil
			}
		}
	}
	if soap.IsAuth(err) {
		return "", err
	}
	old, oldErr := soap.Call[capabilities](ctx, device, soap.AsUser, getCapabilities{Category: "Media"})
	if oldErr == nil && old.Media != "" {
		return strings.TrimSpace(old.Media), nil
	}
	if err := errors.Join(err, oldErr); err != nil {
		return "", fmt.Errorf("ask for its media service: %w", err)
	}
	return "", errors.New("it has no media service (ver10), so it shows nothing by ONVIF")
}

// askURI asks where the pictures of a way are.
func askURI(ctx context.Context, media *soap.Client, w way) (string, error) {
	if w.kind == bySnapshot {
		told, err := soap.Call[snapshotURI](ctx, media, soap.AsUser, getSnapshotURI{Profile: w.profile})
		return strings.TrimSpace(told.URI), err
	}
	ask := getStreamURI{Profile: w.profile}
	ask.Setup.Stream, ask.Setup.Transport.Protocol = "RTP-Unicast", "RTSP"
	told, err := soap.Call[streamURI](ctx, media, soap.AsUser, ask)
	return strings.TrimSpace(told.URI), err
}
