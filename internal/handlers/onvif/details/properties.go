package details

// What brokers read of a camera. The first four are upstream's.
const (
	PropertyURL          = "ONVIF_DEVICE_SERVICE_URL"
	PropertyUUID         = "ONVIF_DEVICE_UUID"
	PropertyIPAddress    = "ONVIF_DEVICE_IP_ADDRESS"
	PropertyMACAddress   = "ONVIF_DEVICE_MAC_ADDRESS"
	PropertyManufacturer = "ONVIF_DEVICE_MANUFACTURER"
	PropertyModel        = "ONVIF_DEVICE_MODEL"
	PropertyFirmware     = "ONVIF_DEVICE_FIRMWARE_VERSION"
	PropertySerial       = "ONVIF_DEVICE_SERIAL_NUMBER"
	PropertyHardware     = "ONVIF_DEVICE_HARDWARE_ID"
	PropertyName         = "ONVIF_DEVICE_NAME"
	PropertyLocation     = "ONVIF_DEVICE_LOCATION"
)
