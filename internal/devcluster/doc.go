// Package devcluster runs a complete Kubernetes cluster on this machine, beside
// whatever else runs there: the cluster of `akri dev` and of the end-to-end
// tests.
//
// A cluster lives in one folder (its dir): configuration, certificates, data,
// logs. It is a lab of package cell. The hub is the control plane and runs
// etcd, kube-apiserver, kube-controller-manager and kube-scheduler. Every other
// cell is a node and runs containerd, kubelet and kube-proxy. Each of these
// processes is a component.
//
//	machine ── akri<i> ─┐
//	                    ├─ bridge in the control plane ─┬─ eth0 of node 1 ── Pods
//	                    │  (API server at .2)           └─ eth0 of node 2 ── Pods
//
// Another Kubernetes, containerd or CNI on this machine is not touched. In
// return, Pods reach the machine and each other, but nothing beyond the
// machine.
//
// Up is idempotent: it starts what does not run. Down stops and removes
// everything, even after an interrupted Up or a reboot.
package devcluster
