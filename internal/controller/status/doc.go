// Package status writes the conditions of Configurations and Instances, and the
// counts that kubectl get shows. It is their only writer. Agents write
// status.nodes, which the conditions summarize. A condition that is True means
// all is well.
//
// Conditions of a Configuration:
//
//   - Discovering: True if a handler answers on at least one node; Unknown if
//     no agent that could know responds. It is absent until the first agent has
//     seen the Configuration. The message counts nodes, not devices.
//   - BrokersReady: False if a broker does not run and waiting will not help,
//     with the reason; True once all run. It is absent until then.
//   - BrokerSpecAccepted: False if the broker spec cannot be used, with the
//     reason; True once it can again. It is absent if it was always usable.
//   - ServicesAccepted: the same for the Service specs. Devices and brokers do
//     not depend on it.
//   - DevicesExclusive: False if another Configuration of the same handler has
//     one of its devices on a node, so that the device is handed out twice;
//     True once that is over. It is absent if it never happened.
//
// Conditions of an Instance:
//
//   - Online: True if a node sees the device; False if none does, while the
//     grace period lasts; Unknown if the agents that saw it do not respond
//     (package agents).
//   - BrokersReady: as for a Configuration.
//   - PodsCurrent: False if the device has changed since Pods other than
//     brokers got it, with their names; True once there are none. It is absent
//     if there never were any.
//
// Nothing is written if nothing has changed. Bad news is written at once. What
// can wait (a count, or that something new is well) is written a moment later,
// at a limited rate: see later.
package status
