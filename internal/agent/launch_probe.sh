# What has to be known of a host to start an agent there, for any POSIX shell. One line a fact, begun by a token, so that nothing else
# that is printed there is taken for one. Set before: t (token), home, digest, need (bytes). The argument begins the names of directories
# for uploads.
scratch=$1
umask 077
LC_ALL=C
export LC_ALL
say() { echo; echo "$t $*"; }

uid=$(id -u)
say uid "$uid"
command -v sudo >/dev/null 2>&1 && say sudo
command -v gzip >/dev/null 2>&1 && say gzip

# Where a program may be uploaded to, if it is not in place: on disks first, and on the host's own, since root may not see a home that comes over the network.
dirs="/var/tmp /tmp $HOME /run/user/$uid /dev/shm"
[ "$uid" = 0 ] && dirs="$dirs /var/lib /run"

# What sessions left that could not end: the name of a directory holds the process that would remove it, whose command line has the
# beginning of that name, as this one's has.
for dir in $dirs; do
	for old in "$dir/$scratch"*; do
		[ -d "$old" ] && [ -O "$old" ] && [ ! -h "$old" ] || continue
		process=${old#"$dir/$scratch"}
		grep -q "$scratch" "/proc/${process%%-*}/cmdline" 2>/dev/null || rm -rf "$old"
	done
done

if [ -x "$home/$digest" ]; then
	# The directories may be links to another disk. Of programs, no more are started than are needed: it is what most runs wait for.
	echo
	stat -L -c "$t stat %n %u %f %s" "${home%/*}" "$home" 2>/dev/null
	stat -c "$t stat %n %u %f %s" "$home/$digest" 2>/dev/null
	say runs
	say end
	exit
fi

say system "$(uname -sm)"
for dir in $dirs; do
	[ -d "$dir" ] || continue
	try=$dir/$scratch$$-$t
	if ! mkdir "$try" 2>/dev/null; then
		say dir readonly "$dir"
		continue
	fi
	trap 'rm -rf "$try"' 0
	free=$(stat -f -c '%a * %S / 1024' "$dir" 2>/dev/null)
	free=$((${free:-$need}))
	result=ok
	if [ "$free" -lt $((need / 1024)) ]; then
		result="full $dir $free"
	elif { echo '#!/bin/sh' && echo 'echo yes'; } >"$try/try" 2>/dev/null && chmod 700 "$try/try" &&
		[ "$("$try/try" </dev/null 2>/dev/null)" = yes ]; then
		result="ok $dir"
	else
		result="noexec $dir"
	fi
	rm -rf "$try"
	say dir $result
	[ "$result" = "ok $dir" ] && break
done
say end
