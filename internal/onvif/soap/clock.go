package soap

import (
	"context"
	"encoding/xml"
	"time"
)

// maxClock is by how much a camera's clock may be wrong without being followed.
const maxClock = time.Second

// getSystemDateAndTime is of the device service, and needs no user: ONVIF Device
// Management Service, https://www.onvif.org/ver10/device/wsdl/devicemgmt.wsdl.
type getSystemDateAndTime struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetSystemDateAndTime"`
}

// SystemDateAndTime is the answer to GetSystemDateAndTime.
type SystemDateAndTime struct {
	XMLName xml.Name `xml:"GetSystemDateAndTimeResponse"`
	UTC     *struct {
		Hour   int `xml:"Time>Hour"`
		Minute int `xml:"Time>Minute"`
		Second int `xml:"Time>Second"`
		Year   int `xml:"Date>Year"`
		Month  int `xml:"Date>Month"`
		Day    int `xml:"Date>Day"`
	} `xml:"SystemDateAndTime>UTCDateTime"`
}

// Time returns the camera's time; false if it says none.
func (r SystemDateAndTime) Time() (time.Time, bool) {
	u := r.UTC
	if u == nil || u.Year < 1970 || u.Year > 9999 || u.Month < 1 || u.Month > 12 || u.Day < 1 || u.Day > 31 ||
		u.Hour < 0 || u.Hour > 24 || u.Minute < 0 || u.Minute > 60 || u.Second < 0 || u.Second > 61 {
		return time.Time{}, false
	}
	return time.Date(u.Year, time.Month(u.Month), u.Day, u.Hour, u.Minute, u.Second, 0, time.UTC), true
}

// Clock asks a device service how far the camera's clock is ahead of ours, for
// [Client.SetClock]; 0 if it is about right, or says nothing.
func Clock(ctx context.Context, c *Client) (ahead time.Duration, err error) {
	began := time.Now()
	answer, err := Call[SystemDateAndTime](ctx, c, Anonymous, getSystemDateAndTime{})
	if err != nil {
		return 0, err
	}
	at, ok := answer.Time()
	took := time.Since(began)
	if ahead = at.Sub(began.Add(took / 2)); !ok || ahead.Abs() <= maxClock {
		return 0, nil
	}
	return ahead, nil
}
