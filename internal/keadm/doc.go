// Package keadm is what the program keadm does, at both ends of the link.
//
// In the cluster, [Init] installs cloudcore, and a [Way] is how edge nodes reach it;
// [Get] and [List] are about join tokens. On a machine, [Join] makes it an edge node,
// step by step, and takes the steps back if one fails; [Reset] makes it nobody's. A
// [System] is where things are on a machine, and what it has of systemd.
package keadm
