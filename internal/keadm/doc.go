// Package keadm is what the program keadm does, at both ends of the link: join
// tokens in the cluster, and what makes a machine an edge node.
package keadm
