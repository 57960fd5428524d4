// Package status writes the conditions of Configurations and Instances, and the
// counts that kubectl get shows. It is their only writer; agents write
// status.nodes, which the conditions sum up. All conditions are True when all is
// well.
//
// Conditions of a Configuration:
//
//   - Discovering: True if a handler answers on at least one node; Unknown if
//     no agent responds that could say. It is not there before the first agent
//     has taken up the Configuration. The message counts nodes, not devices.
//   - BrokersReady: False if a broker waits for what does not come by itself,
//     with what that is; True once all run. It is not there before.
//   - BrokerSpecAccepted: False if the broker spec cannot be used, with what
//     is wrong; True once it can again. It is not there if nothing was ever
//     wrong.
//   - ServicesAccepted: the same of the Service specs: False if a Service is
//     not as they say, with the reason. Devices and brokers do not depend on it.
//   - DevicesExclusive: False if another Configuration of the same handler has
//     one of its devices on a node, so that it is handed out twice; True once
//     none has. It is not there if there never was one.
//
// Conditions of an Instance:
//
//   - Online: True if a node sees the device; False if none does any more and
//     its grace period runs; Unknown if the agents that saw it do not respond
//     (package agents).
//   - BrokersReady: as of a Configuration.
//   - PodsCurrent: False if Pods other than brokers were given the device as it
//     no longer is, with their names; True once there is none any more. It is
//     not there if there never was one.
//
// What says the same as what is there is not written. What is not well is
// written at once; what can wait (a count, that all is well with what is new) a
// moment later, and not faster than others can bear: see later.
package status
