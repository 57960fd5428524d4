// Package devcluster runs a complete Kubernetes cluster on this machine, beside
// whatever else runs there: the cluster behind `akri dev` and the end-to-end
// tests.
//
// A cluster lives in one folder (its dir): configuration, certificates, data,
// logs. It consists of cells. A cell is a set of Linux namespaces (network,
// mount, process, IPC, host name) held by one small process, the holder, which
// is process 1 in it; when the holder dies the kernel ends everything in the
// cell. One cell, the control plane, runs etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler; every node is a cell that runs
// containerd, kubelet and kube-proxy with private /run, /var/lib and /var/log.
// A component is one of these processes.
//
//	host ── akri<i> ─┐
//	                 ├─ bridge in the control plane's cell ─┬─ eth0 of node 1 ── Pods
//	                 │  (API server at .2)                  └─ eth0 of node 2 ── Pods
//
// So the machine's own network namespace gets one interface and routes to it,
// no firewall rule and no forwarding; nothing of another Kubernetes, containerd
// or CNI is seen or touched. The price: Pods reach the machine and each other,
// but not the world beyond the machine.
//
// Up is idempotent: it starts what does not run. Down ends and removes all,
// also what an interrupted Up left, and after a reboot.
package devcluster
