// Package controller puts the parts of akri-controller together.
//
//	view     what the controller sees of the cluster: its cache
//	loop     how the manager runs a reconciler
//	broker   Pods and Jobs for Instances
//	service  Services over them
//	status   conditions of Configurations and Instances
//	node     what becomes of Instances when nodes are lost; left-over resources
//	migrate  finalizers that upstream's agents have left
//
// Each part has a pure Plan and a reconciler around it, keyed by
// namespace/name. They share nothing but the cache and the verdict on broker
// specs. All of them are level-triggered: what happened while no controller
// ran is found when one starts, from the first list of its cache; a watch
// that breaks lists again.
//
// Of several replicas one acts, by the Lease "akri-controller"; the others
// keep their caches warm. All of them serve the admission webhook, if the
// program that runs them adds one.
package controller
