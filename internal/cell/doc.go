// Package cell makes machines in the machine: small ones that start in
// milliseconds, have processes, disks and a network of their own, and can lose
// their power or their link.
//
// A cell is a set of Linux namespaces (network, mount, process, IPC, host name)
// held by one small process, the holder, which is process 1 in it; when the
// holder dies the kernel ends everything in the cell. It has private /run,
// /var/lib and /var/log, and else the machine's files. A program of a cell is a
// process with a name, a record and a log, which runs on when whoever started it
// ends.
//
// A lab is the cells of one folder with the network that joins them. One cell
// is the hub: it has the bridge, and the link to the machine. The others are the
// members, numbered from 1.
//
//	machine ── akri<i> ─┐
//	                    ├─ bridge in the hub ─┬─ eth0 of member 1
//	                    │                     └─ eth0 of member 2
//
// So the machine's own network namespace gets one interface for each lab, no
// firewall rule and no forwarding. The cells reach the machine and each other,
// not the world beyond. A lab has an index, from which all its addresses and
// names follow (Network); the registry in /run says which lab has which.
//
// Records in the lab's folder say which processes it has, so that any program
// can go on with a lab, and Kill and Remove can end one that was left half made.
// A process is known by number, start time and boot (Process).
//
// The faults of a lab are Stop, which cuts a member's power, and Cut, which cuts
// its link. Plug adds a device to the machine, and so to all cells.
//
// Nothing here knows what runs in the cells.
package cell
