package view

import (
	"github.com/akri-go/akri/internal/shorten"
)

// maxDeviceBytes is the limit of status.device in the CRD, in bytes.
const maxDeviceBytes = 64

// deviceName returns what a person would call the device: its device node,
// address or name, if a property of a handler that we know has it, or else the end
// of its id, where ids differ.
func deviceName(properties map[string]string, id string) string {
	for _, key := range []string{
		"UDEV_DEVNODE", "UDEV_DEVNODE_0", "DEBUG_ECHO_DESCRIPTION",
		"ONVIF_DEVICE_SERVICE_URL", "OPCUA_DISCOVERY_URL", "MQTT_DEVICE_NAME", "DEVNODE",
	} {
		if v := properties[key]; v != "" {
			id = v
			break
		}
	}
	return shorten.ToEnd(id, maxDeviceBytes)
}
