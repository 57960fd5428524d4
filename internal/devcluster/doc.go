// Package devcluster runs a complete Kubernetes cluster on this machine, beside
// whatever else runs there: the cluster behind `akri dev` and the end-to-end
// tests.
//
// A cluster lives in one folder (its dir): configuration, certificates, data,
// logs. It is a lab of package cell. The hub is the control plane and runs etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler; every other cell
// is a node and runs containerd, kubelet and kube-proxy. A component is one of
// these processes.
//
//	machine ── akri<i> ─┐
//	                    ├─ bridge in the control plane ─┬─ eth0 of node 1 ── Pods
//	                    │  (API server at .2)           └─ eth0 of node 2 ── Pods
//
// Nothing of another Kubernetes, containerd or CNI on this machine is seen or
// touched. The price: Pods reach the machine and each other, but not the world
// beyond the machine.
//
// Up is idempotent: it starts what does not run. Down ends and removes all,
// also what an interrupted Up left, and after a reboot.
package devcluster
