#!/bin/sh
# Makes a fresh, minimal Debian below $1 into the server that machines start as: what an administrator gets from a
# provider, with nothing of a cluster on it.
set -eu
root=$1

# People: admin may use sudo without a password, ops with the password "ops". root has no password.
chroot "$root" useradd --create-home --shell /bin/bash admin
chroot "$root" useradd --create-home --shell /bin/bash --groups sudo ops
echo ops:ops | chroot "$root" chpasswd
echo 'admin ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/admin"
chmod 440 "$root/etc/sudoers.d/admin"

# Each machine has an identity of its own, written when its disk is made.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname"

# The package sources of the computer that built this stay behind; the one named here answers nowhere (RFC 2606).
rm -rf "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99* "$root"/var/lib/apt/lists/* "$root"/var/log/apt "$root"/var/log/bootstrap.log "$root"/var/log/dpkg.log
echo 'deb http://packages.invalid/debian bookworm main' >"$root/etc/apt/sources.list"
: >"$root/etc/resolv.conf"

# What installers leave: swap in fstab, a time zone, a journal that survives restarts.
cat >"$root/etc/fstab" <<'EOF'
# <file system> <mount point> <type> <options> <dump> <pass>
/swapfile none swap sw 0 0
EOF
truncate --size 64M "$root/swapfile"
chmod 600 "$root/swapfile"
chroot "$root" mkswap --quiet /swapfile
echo Etc/UTC >"$root/etc/timezone"
ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
mkdir -p "$root/var/log/journal"

# Packages cannot be had and there is no console: these would only fail or wait.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer getty@.service console-getty.service getty-static.service systemd-networkd-wait-online.service
chroot "$root" systemctl --quiet enable systemd-networkd.service ssh.service

# Machines share the processors of one computer: root's manager of services stays, where each login would start and end it, and no programs run for greetings that nobody reads.
mkdir -p "$root/var/lib/systemd/linger"
: >"$root/var/lib/systemd/linger/root"
sed -i '/pam_motd/s/^session/#&/' "$root/etc/pam.d/sshd"

# systemd-sysctl writes values without cutting off what was there, which the kernel's files do by themselves and the
# machine's own ones (see package inside) do not. sysctl reads the same directories.
mkdir -p "$root/etc/systemd/system/systemd-sysctl.service.d"
cat >"$root/etc/systemd/system/systemd-sysctl.service.d/machine.conf" <<'EOF'
[Service]
ExecStart=
ExecStart=-/sbin/sysctl --quiet --system
EOF
