# First process of a cell, in fresh namespaces: makes the mounts, then becomes
# the holder. Arguments: cell, lab's folder, folder of programs, holder's program
# in that folder, then kernel settings, each name=value to be made or
# name~value to be pretended.
set -eu
cell=$1 lab=$2 bin=$3 holder=$4
shift 4

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

# /run is memory, as on any machine: a cell that starts again starts clean.
run=$lab/cells/$cell/run
mkdir -p "$run"
mount -t tmpfs -o mode=755,size=25% akri-dev-run "$run"
mkdir -p "$run/akri-dev/bin" "$run/akri-dev/cluster" "$run/akri-dev/sysctl" "$run/lock" "$run/udev"
mount --bind "$bin" "$run/akri-dev/bin"
mount --bind "$lab" "$run/akri-dev/cluster"
if [ -d /run/udev ]; then mount --rbind /run/udev "$run/udev"; fi
mount --rbind "$run" /run

# From here on the lab's folder may be hidden; /run/akri-dev/cluster is it.
here=/run/akri-dev/cluster
mkdir -p "$here/cells/$cell/lib" "$here/logs/$cell"
mount --bind "$here/cells/$cell/lib" /var/lib
mount --bind "$here/logs/$cell" /var/log

# What is pretended is the whole machine's: whoever wants it reads it, and the
# machine stays as it is.
pretend() {
	file=/run/akri-dev/sysctl/$(echo "$1" | tr / _)
	echo "$2" >"$file"
	if [ -e "/proc/sys/$1" ]; then mount --bind "$file" "/proc/sys/$1"; fi
}
for setting; do
	case $setting in
	*=*) echo "${setting#*=}" >"/proc/sys/${setting%%=*}" ;;
	*~*) pretend "${setting%%~*}" "${setting#*~}" ;;
	esac
done

exec "/run/akri-dev/bin/$holder"
