package simulator

import (
	"fmt"
	"net/http"
	"strconv"
)

// profile is a media profile of a camera.
type profile struct {
	token, name   string
	width, height int
}

// profiles are those of every camera; the first is the main one.
var profiles = []profile{{"main", "Main stream", 640, 480}, {"sub", "Sub stream", 320, 240}}

// framesPerSecond is how fast the pictures move.
const framesPerSecond = 10

func findProfile(token string) (profile, error) {
	for _, p := range profiles {
		if p.token == token {
			return p, nil
		}
	}
	return profile{}, &fault{true, []string{"ter:InvalidArgVal", "ter:NoProfile"}, "No such profile"}
}

// mediaService is the part of the ONVIF media service (ver10) that leads to
// pictures.
var mediaService = service{nsMedia, map[string]operation{
	"GetServiceCapabilities": {true, getMediaCapabilities},
	"GetProfiles":            {false, getProfiles},
	"GetProfile":             {false, getProfile},
	"GetVideoSources":        {false, getVideoSources},
	"GetSnapshotUri":         {false, getSnapshotURI},
	"GetStreamUri":           {false, getStreamURI},
}}

func getMediaCapabilities(q request) (node, error) {
	return el("trt:GetServiceCapabilitiesResponse", el("trt:Capabilities",
		node{name: "trt:ProfileCapabilities"}.with("MaximumNumberOfProfiles", strconv.Itoa(len(profiles))),
		node{name: "trt:StreamingCapabilities"}.with("RTPMulticast", "false").with("RTP_TCP", "true").
			with("RTP_RTSP_TCP", "true"),
	).with("SnapshotUri", "true")), nil
}

func getProfiles(request) (node, error) {
	var all []node
	for _, p := range profiles {
		all = append(all, p.node("trt:Profiles"))
	}
	return el("trt:GetProfilesResponse", all...), nil
}

func getProfile(q request) (node, error) {
	p, err := q.profile()
	return el("trt:GetProfileResponse", p.node("trt:Profile")), err
}

// profile is the one that a request names.
func (q request) profile() (profile, error) {
	for _, c := range q.body.children {
		if c.name.Local == "ProfileToken" {
			return findProfile(c.content())
		}
	}
	return findProfile("")
}

func (p profile) node(name string) node {
	size := func(name string) node {
		return el(name, tx("tt:Width", strconv.Itoa(p.width)), tx("tt:Height", strconv.Itoa(p.height)))
	}
	source := el("tt:VideoSourceConfiguration", tx("tt:Name", "Lens"), tx("tt:UseCount", strconv.Itoa(len(profiles))),
		tx("tt:SourceToken", "lens"),
		node{name: "tt:Bounds"}.with("x", "0").with("y", "0").with("width", "640").with("height", "480"),
	).with("token", "lens-config")
	encoder := el("tt:VideoEncoderConfiguration", tx("tt:Name", p.name), tx("tt:UseCount", "1"),
		tx("tt:Encoding", "JPEG"), size("tt:Resolution"), tx("tt:Quality", "75"),
		el("tt:RateControl", tx("tt:FrameRateLimit", strconv.Itoa(framesPerSecond)), tx("tt:EncodingInterval", "1"),
			tx("tt:BitrateLimit", "4096")),
		el("tt:Multicast", el("tt:Address", tx("tt:Type", "IPv4"), tx("tt:IPv4Address", "0.0.0.0")),
			tx("tt:Port", "0"), tx("tt:TTL", "1"), tx("tt:AutoStart", "false")),
		tx("tt:SessionTimeout", "PT60S")).with("token", p.token+"-encoder")
	return el(name, tx("tt:Name", p.name), source, encoder).with("token", p.token).with("fixed", "true")
}

func getVideoSources(request) (node, error) {
	return el("trt:GetVideoSourcesResponse", el("trt:VideoSources", tx("tt:Framerate", strconv.Itoa(framesPerSecond)),
		el("tt:Resolution", tx("tt:Width", "640"), tx("tt:Height", "480"))).with("token", "lens")), nil
}

func getSnapshotURI(q request) (node, error) {
	p, err := q.profile()
	return el("trt:GetSnapshotUriResponse", mediaURI(q.at("/snapshot/"+p.token))), err
}

func getStreamURI(q request) (node, error) {
	p, err := q.profile()
	if err != nil {
		return node{}, err
	}
	q.camera.mu.Lock()
	port := q.camera.rtspPort
	q.camera.mu.Unlock()
	if port == 0 {
		return node{}, &fault{false, []string{"ter:Action", "ter:ActionNotSupported"}, "The camera has no streams"}
	}
	host := q.via.at.Addr().WithZone("").String()
	if q.via.at.Addr().Is6() {
		host = "[" + host + "]"
	}
	return el("trt:GetStreamUriResponse", mediaURI(fmt.Sprintf("rtsp://%s:%d/%s", host, port, p.token))), nil
}

func mediaURI(uri string) node {
	return el("trt:MediaUri", tx("tt:Uri", uri), tx("tt:InvalidAfterConnect", "false"),
		tx("tt:InvalidAfterReboot", "false"), tx("tt:Timeout", "PT60S"))
}

// snapshot answers with a picture of this moment. Over HTTP there is only digest.
func (c *Camera) snapshot(w http.ResponseWriter, r *http.Request) {
	c.counts.add("snapshot")
	p, err := findProfile(r.PathValue("profile"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if c.guard.auth != AuthNone && !c.guard.digest.admit(w, r) {
		c.counts.add("refused")
		return
	}
	picture, err := c.picture(p, c.frame())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(picture)
}
