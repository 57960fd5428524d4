package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/samples/services"
)

// settings are what the environment says.
type settings struct {
	// configuration is whose Services are watched, in a namespace; "" if the brokers
	// are listed.
	configuration, namespace string
	// brokers are those that are listed, or the one Service that is known without
	// asking the API server.
	brokers  []services.Source
	training training
	port     string
}

// Limits of STEP.
const minStep, maxStep = 1e-9, 1e9

// parse reads the environment: upstream's CONFIGURATION_NAME, or BROKERS.
func parse(getenv func(string) string) (settings, error) {
	env := envvar.Or(getenv)
	s := settings{configuration: getenv("CONFIGURATION_NAME"), port: env("PORT", "5000")}
	step, err := finite(env("STEP", "1"))
	if err != nil || step < minStep || step > maxStep {
		return s, fmt.Errorf("STEP=%s: want a number from %g to %g", getenv("STEP"), minStep, maxStep)
	}
	if s.training, err = parseTraining(env("TRAINING", defaultTraining), step); err != nil {
		return s, fmt.Errorf("TRAINING: %w", err)
	}
	if s.configuration != "" {
		s.namespace = env("NAMESPACE", services.OwnNamespace())
		s.brokers = ofPod(s.configuration, getenv)
		return s, nil
	}
	for _, address := range strings.Split(getenv("BROKERS"), ",") {
		if address = strings.TrimSpace(address); address != "" {
			address = services.WithPort(address)
			s.brokers = append(s.brokers, services.Source{ID: address, Address: address})
		}
	}
	switch {
	case len(s.brokers) == 0:
		return s, errors.New("set CONFIGURATION_NAME to the name of a Configuration, or list the brokers: BROKERS=host:port,host:port")
	case len(s.brokers) > services.MaxInstances:
		return s, fmt.Errorf("BROKERS has %d brokers, %d are allowed", len(s.brokers), services.MaxInstances)
	}
	return s, nil
}

// ofPod returns the Configuration's Service as Kubernetes tells it to Pods that
// start when it exists, and as upstream's application finds it.
func ofPod(configuration string, getenv func(string) string) []services.Source {
	prefix := strings.ToUpper(strings.ReplaceAll(configuration, "-", "_")) + "_SVC_SERVICE_"
	host, port := getenv(prefix+"HOST"), getenv(prefix+"PORT_GRPC")
	if port == "" {
		port = getenv(prefix + "PORT")
	}
	if host == "" || port == "" {
		return nil
	}
	return []services.Source{{ID: services.Main, Address: net.JoinHostPort(host, port)}}
}
