// Package vm tests what a machine without USB and cameras cannot: the udev handler
// and the broker for USB cameras, as programs on a real kernel with a real camera
// driver (vivid) and USB devices that are really plugged. The machine is a guest in
// QEMU; see package guest. The tests have the build tag vm.
package vm
