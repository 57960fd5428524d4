package explain

// Cause is what is wrong, in one word. The words are for programs: they stay.
type Cause string

// Causes, by the step in which they lie.
const (
	// Release.
	NotInstalled         Cause = "NotInstalled"
	ControllerNotReady   Cause = "ControllerNotReady"
	WebhookNotRegistered Cause = "WebhookNotRegistered"
	WebhookCertificate   Cause = "WebhookCertificateExpired"

	// Node.
	NodeNotReady  Cause = "NodeNotReady"
	NodeGone      Cause = "NodeGone"
	NodeCordoned  Cause = "NodeCordoned"
	NoAgent       Cause = "NoAgent"
	AgentNotReady Cause = "AgentNotReady"
	AgentSilent   Cause = "AgentNotResponding"

	// Configuration.
	NameTaken          Cause = "NameTaken"
	NameTooLong        Cause = "NameTooLong"
	DetailsRefused     Cause = "DiscoveryDetailsRefused"
	PropertyUnreadable Cause = "DiscoveryPropertyUnreadable"
	DeletionWaits      Cause = "DeletionWaits"

	// Handler.
	HandlerUnknown      Cause = "HandlerUnknown"
	HandlerNotInstalled Cause = "HandlerNotInstalled"
	HandlerNotOnNode    Cause = "HandlerNotOnNode"
	HandlerNotRunning   Cause = "HandlerNotRunning"
	HandlerNotAccepted  Cause = "HandlerNotAccepted"
	HandlerRefused      Cause = "HandlerRefused"
	HandlerSilent       Cause = "HandlerSilent"
	DiscoveryFailed     Cause = "DiscoveryFailed"
	AgentSaysNothing    Cause = "AgentSaysNothing"

	// Device.
	DeviceNotFound      Cause = "DeviceNotFound"
	NothingFound        Cause = "NothingFound"
	LeftOut             Cause = "NeededByNode"
	NoUdevRecords       Cause = "NoUdevRecords"
	NoSerialNumber      Cause = "NoSerialNumber"
	HandlerSays         Cause = "HandlerSays"
	DeviceRefused       Cause = "DeviceRefused"
	DeviceOffline       Cause = "DeviceOffline"
	DeviceUnknown       Cause = "DeviceStateUnknown"
	DeviceFoundTwice    Cause = "DeviceFoundTwice"
	PropertiesDiffer    Cause = "PropertiesDiffer"
	DeviceLostEarlier   Cause = "DeviceLost"
	DevicePathIsMissing Cause = "DevicePathMissing"

	// Slots.
	NoSuchResource   Cause = "NoSuchResource"
	SlotsHeld        Cause = "SlotsHeld"
	AsksTooMany      Cause = "AsksTooMany"
	NotOffered       Cause = "NotOffered"
	ResourceLeftOver Cause = "ResourceLeftOver"

	// Broker.
	QuotaExceeded      Cause = "QuotaExceeded"
	PodSecurityForbids Cause = "PodSecurityForbids"
	BrokerSpecRefused  Cause = "BrokerSpecRefused"
	NoBrokerWanted     Cause = "NoBrokerWanted"
	BrokerAsksTooMany  Cause = "BrokerAsksTooMany"
	BrokerAsksNothing  Cause = "BrokerAsksNothing"
	BrokerNameTaken    Cause = "BrokerNameTaken"
	BrokerBackOff      Cause = "BrokerBackOff"
	BrokerMissing      Cause = "BrokerMissing"
	JobFailed          Cause = "JobFailed"
	JobSuspended       Cause = "JobSuspended"

	// Pod.
	Unschedulable     Cause = "Unschedulable"
	AdmissionFailed   Cause = "AdmissionFailed"
	ImagePull         Cause = "ImagePull"
	ConfigMissing     Cause = "ContainerConfigMissing"
	ContainerNotMade  Cause = "ContainerNotMade"
	DeviceNodeGone    Cause = "DeviceNodeGone"
	Crashing          Cause = "Crashing"
	OutOfMemory       Cause = "OutOfMemory"
	PodEnded          Cause = "PodEnded"
	PodNotReady       Cause = "PodNotReady"
	PodTerminating    Cause = "PodTerminating"
	PodOutdated       Cause = "PodOutdated"
	PodAsksForNothing Cause = "PodAsksForNothing"

	// Service.
	ServiceRefused Cause = "ServiceRefused"
	ServiceMissing Cause = "ServiceMissing"
)
