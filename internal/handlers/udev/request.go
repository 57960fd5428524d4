package udev

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/udev/details"
)

// passthrough are the settings in the discoveryProperties of a Configuration.
type passthrough struct {
	resource string // part of the name of the variables with bus addresses, "" for none
	vfio     bool
}

var resourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$`)

// parseProperties parses discoveryProperties. It ignores those it does not know.
func parseProperties(properties map[string][]byte) (passthrough, error) {
	p := passthrough{
		resource: string(properties["devicePluginResourceName"]),
		vfio:     strings.EqualFold(string(properties["vfioPassthrough"]), "true"),
	}
	if p.resource != "" && !resourceName.MatchString(p.resource) {
		return p, fmt.Errorf("discoveryProperties: devicePluginResourceName: not the name of a resource")
	}
	return p, nil
}

func parseRequest(req discovery.Request) (details.Details, passthrough, error) {
	d, err := details.Parse(req.Details)
	if err != nil {
		return d, passthrough{}, discovery.Invalid("discoveryDetails: %w", err)
	}
	p, err := parseProperties(req.Properties)
	if err != nil {
		return d, p, discovery.Invalid("%w", err)
	}
	return d, p, nil
}
