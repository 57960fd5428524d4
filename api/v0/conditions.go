package v0

// Types of the conditions of Configurations and Instances, which the controller
// writes. One that is True means that all is well; one that was never wrong may
// be absent.
const (
	// Of a Configuration.
	ConditionDiscovering        = "Discovering"
	ConditionBrokerSpecAccepted = "BrokerSpecAccepted"
	ConditionServicesAccepted   = "ServicesAccepted"
	ConditionDevicesExclusive   = "DevicesExclusive"
	// Of an Instance.
	ConditionOnline      = "Online"
	ConditionPodsCurrent = "PodsCurrent"
	// Of both.
	ConditionBrokersReady = "BrokersReady"
)
