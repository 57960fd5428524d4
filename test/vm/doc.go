// Package vm tests what a machine without USB and cameras cannot: the udev handler
// and the broker for USB cameras, as programs on a real kernel with a real camera
// driver (vivid) and USB devices that are really plugged. The machine is a guest in
// QEMU; see package guest. TestGuest has it without Kubernetes, for what a kernel and
// a driver can do; in TestNode it is the node of a cluster, whose control plane, and
// the page with the camera's pictures, are on the machine of the test. The tests have
// the build tag vm.
package vm
