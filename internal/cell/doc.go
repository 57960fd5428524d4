// Package cell makes small machines out of Linux namespaces, for clusters on
// one machine. They start in milliseconds, have their own processes, folders
// and network, and can lose their power or their link.
//
// A cell is a set of namespaces (network, mount, process, IPC, host name). One
// small process, the holder, keeps it: the holder is process 1 in the cell, and
// when it dies, the kernel ends everything in the cell. A cell has its own
// /run, /var/lib and /var/log, and otherwise the machine's files. A program of
// a cell is a process with a name, a record and a log. It goes on when the
// process that started it ends.
//
// A lab is the cells of one folder and the network that joins them. One cell is
// the hub: it has the bridge and the link to the machine. The others are the
// members, numbered from 1.
//
//	machine ── akri<i> ─┐
//	                    ├─ bridge in the hub ─┬─ eth0 of member 1
//	                    │                     └─ eth0 of member 2
//
// So the machine's network namespace gets one interface for each lab, and neither
// firewall rules nor forwarding. The cells reach the machine and each other, but
// nothing beyond. A lab has an index, which determines its addresses and names
// ([Network]); the registry in /run says which lab has which index.
//
// Records in the lab's folder say which processes it has. So any program can
// continue with a lab, and Kill and Remove can end a lab that is half made. A
// process is identified by its number, start time and boot ([Process]).
//
// Stop cuts a member's power, and Cut its link. Plug adds a device to the
// machine, and so to all cells.
//
// This package does not know what runs in the cells.
package cell
