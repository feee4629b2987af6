#!/bin/bash
# vm-run.sh - run one command as root in a throw-away Debian VM.
#
#   vm-run.sh DIR COMMAND...
#
# The VM runs Debian's stock cloud kernel; cgroup v2 is its only cgroup
# hierarchy unless VM_CGROUP=v1 asks for the older ones. A private copy of DIR is at /work-in (writable, but nothing comes
# back). COMMAND is run by bash, with /work-in as its current directory; its
# stdout and stderr come out on stdout, its exit code becomes ours.
# 124: timeout, 125: the VM could not be built or died before COMMAND ended.
#
# Needs on the host: root, qemu-system-x86, mmdebstrap, e2fsprogs, util-linux.
# The first run builds a kernel and a root image into VM_CACHE; nothing is
# installed on the host. Every run starts from that same, unmodified image.
#
# Environment (defaults):
#   VM_CACHE    /var/cache/kubewright/vm
#   VM_TIMEOUT  1800 (seconds, boot included, building the cache not)
#   VM_MEM      4096 (MiB);  VM_CPUS  2
#   VM_ACCEL    kvm or tcg; by default kvm if it really boots our kernel
#   VM_CGROUP   v2 or v1: which control groups the VM has
#   VM_TMP      scratch space for the VM's disks (/var/tmp)
#   VM_LOG      keep the kernel's and systemd's console output in this file
set -euo pipefail

cache=${VM_CACHE:-/var/cache/kubewright/vm}
suite=bookworm
packages=systemd,systemd-sysv,udev,dbus,systemd-container,nftables,iproute2,\
iputils-ping,fdisk,kmod,procps,openssh-client,mmdebstrap,util-linux,e2fsprogs,mount,\
ca-certificates,openssh-server,systemd-timesyncd,ufw
sources=/etc/apt/sources.list.d/debian.sources
[ -e "$sources" ] || sources=/etc/apt/sources.list

die() { echo "vm-run: $*" >&2; exit 125; }

# build OUT: make OUT/{vmlinuz,initrd,root.ext4,accel}.
build() {
	local out=$1 root=$1/root ird=$1/initrd.d kver m

	# Kernel and busybox are only unpacked, never installed.
	mkdir -p "$out/deb" "$ird/bin"
	kver=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: linux-image-//p')
	(cd "$out/deb" && apt-get -q -o APT::Sandbox::User=root download "linux-image-$kver" busybox-static)
	for m in "$out"/deb/*.deb; do dpkg-deb -x "$m" "$out/deb"; done
	cp "$out/deb/boot/vmlinuz-$kver" "$out/vmlinuz"

	# Root file system, with all of the kernel's modules.
	mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$root" "$sources"
	cp -a "$out/deb/lib/modules" "$root/usr/lib/"
	chroot "$root" depmod "$kver"

	# ext4 is built into this kernel, virtio is not: an initramfs loads the
	# virtio modules, in the order of their dependencies, and mounts the root.
	cp "$out/deb/bin/busybox" "$ird/bin/"
	chroot "$root" modprobe --set-version "$kver" --all --show-depends virtio_pci virtio_blk >"$out/insmod"
	while read -r _ m; do cp "$root$m" "$ird/"; done <"$out/insmod"
	{
		echo '#!/bin/busybox sh'
		echo '/bin/busybox --install -s /bin; export PATH=/bin; mkdir -p /dev /new'
		echo 'mount -t devtmpfs dev /dev'
		awk '!done[$2]++' "$out/insmod" | sed 's,/.*/,/,'
		echo 'mount -t ext4 /dev/vda /new && mount --move /dev /new/dev && exec switch_root /new /sbin/init'
		echo 'echo "vm-run: no root file system"; poweroff -f'
	} >"$ird/init"
	chmod +x "$ird/init"
	(cd "$ird" && find . | bin/busybox cpio --quiet -o -H newc) >"$out/initrd"

	# Settings.
	echo vm >"$root/etc/hostname"
	printf '127.0.0.1 localhost vm\n::1 localhost\n' >"$root/etc/hosts"
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id" # else each boot is a first boot
	echo br_netfilter >"$root/etc/modules-load.d/vm.conf"         # the others load on demand
	# No login prompts, no housekeeping.
	for m in getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
		e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service; do
		ln -sf /dev/null "$root/etc/systemd/system/$m"
	done
	mkdir "$root/work-in"
	cat >"$root/etc/systemd/system/vm-job.service" <<-'UNIT'
		[Unit]
		Description=The command of vm-run.sh
		[Service]
		Environment=HOME=/root TERM=dumb
		ExecStart=/usr/local/sbin/vm-job
		StandardOutput=tty
		StandardError=inherit
		TTYPath=/dev/ttyS1
		Delegate=yes
		OOMPolicy=continue
		TasksMax=infinity
		LimitNOFILE=1048576
	UNIT
	ln -s ../vm-job.service "$root/etc/systemd/system/multi-user.target.wants/"
	# /dev/vdc is the job disk: the command on the way in, "exit=N" on the
	# way out. stty, by the way, waits until all output has been sent.
	cat >"$root/usr/local/sbin/vm-job" <<-'JOB'
		#!/bin/bash
		stty -F /dev/ttyS1 raw
		mount /dev/vdb /work-in && cd /work-in && tr -d '\0' </dev/vdc >/run/vm-command &&
			bash /run/vm-command </dev/null
		rc=$?
		printf 'exit=%d\n' $rc | dd of=/dev/vdc conv=fsync status=none
		stty -F /dev/ttyS1 raw
		exec systemctl poweroff --force --force &>/dev/null
	JOB
	chmod +x "$root/usr/local/sbin/vm-job"
	truncate -s 16G "$out/root.ext4" # sparse
	mke2fs -q -t ext4 -m 0 -d "$root" "$out/root.ext4"

	# /dev/kvm may exist and still not run a stock kernel (nested or PVM hosts).
	echo tcg >"$out/accel"
	if [ -w /dev/kvm ] && timeout 10 qemu-system-x86_64 -accel kvm -cpu host -m 512 -nodefaults \
		-display none -serial stdio -no-reboot -kernel "$out/vmlinuz" \
		-append "console=ttyS0 panic=-1" </dev/null 2>&1 | grep 'Kernel panic.*root fs' >/dev/null; then
		echo kvm >"$out/accel"
	fi
	rm -rf "$root" "$ird" "$out/deb" "$out/insmod"
}

# Internal: the build, in namespaces of its own (see below).
if [ "${1-}" = --build ]; then build "$2"; exit; fi

[ $# -ge 2 ] && [ -d "$1" ] || die "usage: vm-run.sh DIR COMMAND..."
[ "$(id -u)" = 0 ] || die "must be root"
for c in qemu-system-x86_64 mmdebstrap mke2fs setpriv; do
	type -P $c >/dev/null || die "$c is missing (apt-get install qemu-system-x86 mmdebstrap e2fsprogs util-linux)"
done
dir=$1
shift

# Whatever ends this script ends its child and removes its files; should it be
# killed with SIGKILL, the kernel ends the child (pdeathsig).
tmp= pid= sig=
cleanup() {
	trap '' INT TERM HUP
	[ -z "$pid" ] || { kill -s "$sig" "$pid" && wait "$pid"; } 2>/dev/null || :
	[ -z "$tmp" ] || rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# bg SIGNAL COMMAND...: start a child that SIGNAL ends; finish: wait for it.
# Not in the foreground, because bash runs no traps while it waits there.
bg() { sig=$1; shift; setpriv --pdeathsig "$sig" "$@" & pid=$!; }
finish() { local rc=0; wait "$pid" || rc=$?; pid=; return $rc; }

# The cache is remade when what goes into it changes.
stamp=$({ declare -f build; echo "$suite $packages"; } | sha256sum)
mkdir -p "$cache"
exec {lock}>"$cache/lock"
flock "$lock"
if [ "$(cat "$cache/stamp" 2>/dev/null)" != "$stamp" ]; then
	echo "vm-run: building the VM image in $cache" >&2
	rm -rf "$cache"/new.* "$cache/stamp"
	tmp=$(mktemp -d "$cache/new.XXXXXX")
	# Own mount and PID namespaces: an interrupted mmdebstrap leaves nothing
	# behind. (KILL, as unshare ignores TERM; timeout below passes TERM on.)
	bg KILL unshare --mount --pid --fork --kill-child --mount-proc bash "$0" --build "$tmp" >&2
	finish || die "building the VM image failed"
	mv -f "$tmp"/* "$cache/"
	rm -rf "$tmp"
	echo "$stamp" >"$cache/stamp"
fi

# Remove what runs ended by SIGKILL left: theirs are the unlocked directories.
for old in "${VM_TMP:=/var/tmp}"/vm-run.*/; do
	[ ! -d "$old" ] || flock -n "$old" rm -rf "$old" || :
done
tmp=$(mktemp -d "$VM_TMP/vm-run.XXXXXX")
exec {hold}<"$tmp"
flock "$hold"
exec {lock}>&-

# Disks: /work-in with some free space, and the job disk.
size=$(($(du -sm "$dir" | cut -f1) * 5 / 4 + 1024))
files=$(find "$dir" -printf . | wc -c)
truncate -s "${size}M" "$tmp/work"
mke2fs -q -t ext4 -m 0 -N $((files + 10000)) -d "$dir" "$tmp/work"
printf '#!/bin/bash\n%s\n' "$*" >"$tmp/job"
truncate -s 1M "$tmp/job"

case ${VM_ACCEL:-$(cat "$cache/accel")} in
kvm) accel=(-accel kvm -cpu host) ;;
*) accel=(-accel tcg,thread=multi -cpu max,la57=off,svm=off) ;;
esac
case ${VM_CGROUP:-v2} in
v2) groups=cgroup_no_v1=all ;;
v1) groups="systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" ;;
*) die "VM_CGROUP=$VM_CGROUP: want v1 or v2" ;;
esac
drive=if=virtio,format=raw,cache=unsafe

# ttyS0: console, into a file. ttyS1: output of the command, through cat, for
# qemu makes its stdout non-blocking, which others might share.
exec {out}> >(exec cat)
cat=$!
TMPDIR=$tmp bg TERM timeout -k 5 "${VM_TIMEOUT:-1800}" qemu-system-x86_64 "${accel[@]}" \
	-smp "${VM_CPUS:-2}" -m "${VM_MEM:-4096}" -nodefaults -display none -no-reboot \
	-kernel "$cache/vmlinuz" -initrd "$cache/initrd" \
	-append "console=ttyS0 panic=-1 mitigations=off audit=0 $groups net.ifnames=0" \
	-drive "$drive,snapshot=on,file=$cache/root.ext4" \
	-drive "$drive,file=$tmp/work" -drive "$drive,file=$tmp/job" \
	-serial "file:$tmp/console" -serial stdio </dev/null >&"$out"
exec {out}>&-
rc=0
finish || rc=$?
wait "$cat" || :
[ -z "${VM_LOG:-}" ] || cp "$tmp/console" "$VM_LOG"

if result=$(head -n 1 "$tmp/job" | tr -d '\0') && [[ $result =~ ^exit=([0-9]+)$ ]]; then
	exit "${BASH_REMATCH[1]}"
fi
echo "vm-run: no exit code from the VM (qemu: $rc); the end of its console:" >&2
tail -n 20 "$tmp/console" >&2 || :
[ $rc = 124 ] || [ $rc = 137 ] || rc=125
[ $rc = 125 ] || rc=124
exit $rc
