# First process of the namespaces of a test: makes the mounts, then becomes
# systemd. It can start nothing but what the test installs, and change nothing of
# the machine. Arguments: the test's folder, a cgroup of version 2 for it.
set -eu
dir=$1 cgroup=$2

if [ "${3:-}" = "" ]; then
	echo 0 >"$cgroup/cgroup.procs"
	exec unshare --cgroup /bin/sh "$0" "$dir" "$cgroup" inside
fi
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock

units=/usr/lib/systemd/system
[ -d $units ] || units=/lib/systemd/system
for hidden in $units /etc/systemd /usr/local/bin ${units}-generators; do
	[ -d "$hidden" ] || continue
	mount -t tmpfs -o mode=755 none "$hidden"
done
mkdir -p /etc/systemd/system
# Targets that pull in nothing, in place of the machine's.
for target in basic sysinit shutdown multi-user network timers paths slices sockets; do
	printf '[Unit]\nDefaultDependencies=no\n' >"$units/$target.target"
done
for empty in /mnt /var/lib; do
	mount -t tmpfs -o mode=755 none "$empty"
done
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target --log-target=kmsg --log-level=err
