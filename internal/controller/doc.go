// Package controller puts the parts of akri-controller together.
//
//	view     what the controller sees of the cluster: its cache
//	loop     how the manager runs a reconciler
//	broker   Pods and Jobs for Instances
//	service  Services for them
//	status   conditions of Configurations and Instances
//	node     lost nodes, and left-over resources of nodes
//	migrate  finalizers of upstream's agents
//
// Each part has a pure function Plan and a reconciler around it, keyed by
// namespace/name. The parts share only the cache and the verdicts on broker
// specs. All are level-triggered: a new controller finds what happened while
// none ran in the first list of its cache, and a watch that breaks lists again.
//
// One of several replicas is the leader: it holds the Lease "akri-controller"
// and does the work. The others keep their caches warm. All of them serve the
// admission webhook, if the program adds one.
package controller
