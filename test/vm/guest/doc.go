// Package guest runs a machine in QEMU for tests: a guest, with USB ports and
// cameras that the machine that runs the tests need not have.
//
// Its kernel is Debian's, unpacked and not installed. All its files are in an
// initramfs, written here: the programs under test, the kernel's modules that they
// need, and test/vm/init, its first process, which runs what it is told
// (test/vm/wire). Devices of USB are plugged and unplugged over QMP, QEMU's own
// protocol. QEMU emulates the processor (tcg), so it needs no /dev/kvm, and a
// guest is ten times as slow as its machine.
//
// A test whose machine cannot have QEMU is skipped with the reason.
package guest
