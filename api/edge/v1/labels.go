package edgev1

// SiteLabel is the label of a Node that says where it is. Nodes of one site reach
// each other's Pods; a Node without it is alone.
const SiteLabel = "edge.akri.sh/site"

// EndpointsLabel is the label of a Service, or of an EndpointSlice, whose
// endpoints are for all edge nodes where its value is AllEndpoints. The cluster
// gives EndpointSlices the labels of their Service, and not its annotations.
const (
	EndpointsLabel = "edge.akri.sh/endpoints"
	AllEndpoints   = "all"
)
