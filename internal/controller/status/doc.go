// Package status writes the conditions of Configurations and Instances. It is
// their only writer; agents write status.nodes, which the conditions sum up.
//
// Conditions of a Configuration:
//
//   - Discovering: True if a handler answers on at least one node. It is not
//     there before the first agent has taken up the Configuration. The message
//     counts nodes, not devices: those come and go too often to be written.
//   - BrokerSpecAccepted: False if the broker spec cannot be used, with what
//     is wrong; True once it can again. It is not there if nothing was ever
//     wrong.
//   - ServicesAccepted: the same of the Service specs: False if a Service is
//     not as they say, with the reason. Devices and brokers do not depend on it.
//   - DevicesExclusive: False if another Configuration of the same handler has
//     one of its devices on a node, so that it is handed out twice; True once
//     none has. It is not there if there never was one.
//
// Condition of an Instance:
//
//   - Online: False if no node sees the device any more and its grace period
//     runs; True once one does again. It is not there if the device was never
//     away, so that a plain new device costs no second write.
//
// What says the same as what is there is not written.
package status
