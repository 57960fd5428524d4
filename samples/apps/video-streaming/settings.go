package main

import (
	"errors"
	"fmt"

	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/samples/brokers"
	"github.com/akri-go/akri/samples/services"
)

// settings are what the environment says.
type settings struct {
	// configuration is whose Services are watched, in a namespace; "" if the cameras
	// are listed.
	configuration, namespace string
	cameras                  []source
	perSecond                int // pictures for each camera and viewer
	port                     string
}

// source is where the pictures of a feed come from.
type source struct {
	// id is the feed's: mainID, or an Instance's name, or "camera" and a number.
	id string
	// address is host:port of a broker, or of several that take turns.
	address string
}

// mainID is the feed that shows all cameras in turn. It is 0 in upstream's routes.
const mainID = services.Main

// maxCameras is how many cameras are shown.
const maxCameras = services.MaxInstances

// parse reads the environment: upstream's CONFIGURATION_NAME, or CAMERA_COUNT,
// CAMERAS_SOURCE_SVC and CAMERA<n>_SOURCE_SVC, which are host names, of port 80 if
// they name none.
func parse(getenv func(string) string) (settings, error) {
	env := envvar.Or(getenv)
	s := settings{configuration: getenv("CONFIGURATION_NAME"), port: env("PORT", "5000")}
	var err error
	if s.perSecond, err = brokers.Number(getenv("FRAMES_PER_SECOND"), 15, 60); err != nil {
		return s, fmt.Errorf("FRAMES_PER_SECOND: %w", err)
	}
	if s.configuration != "" {
		s.namespace = env("NAMESPACE", services.OwnNamespace())
		return s, nil
	}
	if getenv("CAMERA_COUNT") == "" {
		return s, errors.New("set CONFIGURATION_NAME to the name of a Configuration, or list the brokers' Services: " +
			"CAMERA_COUNT, CAMERAS_SOURCE_SVC, CAMERA1_SOURCE_SVC and so on")
	}
	count, err := brokers.Number(getenv("CAMERA_COUNT"), 0, maxCameras)
	if err != nil {
		return s, fmt.Errorf("CAMERA_COUNT: %w", err)
	}
	if host := getenv("CAMERAS_SOURCE_SVC"); host != "" {
		s.cameras = append(s.cameras, source{mainID, services.WithPort(host)})
	}
	for n := 1; n <= count; n++ {
		name := fmt.Sprintf("CAMERA%d_SOURCE_SVC", n)
		host := getenv(name)
		if host == "" {
			return s, fmt.Errorf("CAMERA_COUNT is %d and %s is not set", count, name)
		}
		s.cameras = append(s.cameras, source{fmt.Sprintf("camera%d", n), services.WithPort(host)})
	}
	return s, nil
}
