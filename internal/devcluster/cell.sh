# First process of a cell, in fresh namespaces: makes the mounts, then becomes
# the holder. Arguments: cell, cluster folder, folder of binaries, holder's
# program in that folder.
set -eu
cell=$1 cluster=$2 bin=$3 holder=$4

# Mounts of the machine come and go here too; ours stay here, and are shared
# with the containers that ask for it.
mount --make-rslave /
mount --make-rshared /
mount -t proc proc /proc
echo "$cell" >/proc/sys/kernel/hostname
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# A redirect would make the machine bypass a node for minutes.
echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects
echo 0 >/proc/sys/net/ipv4/conf/default/send_redirects

# Services need it for Pods on one node.
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

# /run is memory, as on any machine: a cell that starts again starts clean.
run=$cluster/cells/$cell/run
mkdir -p "$run"
mount -t tmpfs -o mode=755,size=25% akri-dev-run "$run"
mkdir -p "$run/akri-dev/bin" "$run/akri-dev/cluster" "$run/akri-dev/sysctl" "$run/lock" "$run/udev"
mount --bind "$bin" "$run/akri-dev/bin"
mount --bind "$cluster" "$run/akri-dev/cluster"
if [ -d /run/udev ]; then mount --rbind /run/udev "$run/udev"; fi
mount --rbind "$run" /run

# From here on the cluster's folder may be hidden; /run/akri-dev/cluster is it.
here=/run/akri-dev/cluster
mkdir -p "$here/cells/$cell/lib" "$here/logs/$cell"
mount --bind "$here/cells/$cell/lib" /var/lib
mount --bind "$here/logs/$cell" /var/log

# The kubelet wants these kernel settings and would change them for the whole
# machine; let it read what it wants.
pretend() {
	file=/run/akri-dev/sysctl/$(echo "$1" | tr / _)
	echo "$2" >"$file"
	if [ -e "/proc/sys/$1" ]; then mount --bind "$file" "/proc/sys/$1"; fi
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

exec "/run/akri-dev/bin/$holder"
