package contract

// Limits bound what handlers may make the agent hold.
type Limits struct {
	// Devices is how many devices a report may list. A longer report is refused
	// as a whole; the other limits only refuse the device.
	Devices int
	// MessageBytes is the size of a report on the wire. A handler that sends
	// more loses its stream.
	MessageBytes int
	// ReportBytes is what a report may take in memory, by [Size]. A larger one is
	// refused as a whole.
	ReportBytes int
	// InFlightBytes bounds what may be in flight from all handlers together.
	InFlightBytes int

	IDBytes       int // of a device's id
	Properties    int // per device
	KeyBytes      int // of a property's name
	ValueBytes    int // of a property's value; the kernel takes 128 KiB per variable
	PropertyBytes int // of all properties of a device: an Instance must fit into etcd
	Mounts        int // per device
	DeviceSpecs   int // per device

	Endpoints int // per handler name
	Names     int // of handlers
}

// DefaultLimits are far above what real devices need.
func DefaultLimits() Limits {
	return Limits{
		Devices:       10_000,
		MessageBytes:  4 << 20, // upstream's agent takes no more
		ReportBytes:   8 << 20,
		InFlightBytes: 24 << 20,
		IDBytes:       1024,
		Properties:    64,
		KeyBytes:      253,
		ValueBytes:    32 << 10,
		PropertyBytes: 256 << 10,
		Mounts:        64,
		DeviceSpecs:   64,
		Endpoints:     64,
		Names:         256,
	}
}

// OrDefault replaces zeros.
func (l Limits) OrDefault() Limits {
	d := DefaultLimits()
	for _, pair := range []struct{ value, fallback *int }{
		{&l.Devices, &d.Devices}, {&l.MessageBytes, &d.MessageBytes},
		{&l.ReportBytes, &d.ReportBytes}, {&l.InFlightBytes, &d.InFlightBytes}, {&l.IDBytes, &d.IDBytes},
		{&l.Properties, &d.Properties}, {&l.KeyBytes, &d.KeyBytes}, {&l.ValueBytes, &d.ValueBytes},
		{&l.PropertyBytes, &d.PropertyBytes}, {&l.Mounts, &d.Mounts}, {&l.DeviceSpecs, &d.DeviceSpecs},
		{&l.Endpoints, &d.Endpoints}, {&l.Names, &d.Names},
	} {
		if *pair.value == 0 {
			*pair.value = *pair.fallback
		}
	}
	return l
}
