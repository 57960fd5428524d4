// Package demo is `akri dev demo`: it starts a cluster on this machine,
// installs Akri, applies a Configuration for devices that the machine has, and
// shows in the terminal what happens when devices come and go.
//
// A [Subject] is the class of devices: zram block devices, which any machine can
// plug and unplug, or webcams. A view is what the terminal shows: the machine's
// devices with their Instances and brokers. Pictures are beside it, in the browser:
// those of the machine's webcams or, if it has none, of simulated network cameras.
package demo
