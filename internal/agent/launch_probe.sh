# Starts an agent on a host if its program is in place, and says what has to be known to upload it if not; for any POSIX shell. One line a
# fact, begun by a token, so that nothing else that is printed there is taken for one. Set before: t (token), home, digest, size and need (bytes
# of the program, and free to unpack it), and self (the status of this process, as proc(5) has it). The argument begins the names of directories
# for uploads.
#
# Where the program is in place, one other is started before it: stat. Starting programs is most of what this costs a host.
scratch=$1
LC_ALL=C
export LC_ALL
say() { echo; echo "$t $*"; }

# What is in place is trusted by who owns it: below directories that only root may write to, only root can have put it there, and root's agents
# write it as a whole, synced, under the digest of what they wrote. So a power cut leaves none or all of it; its size is compared for the file
# systems that do not keep such promises. Its digest is not: that would cost every run of every host 0.05 s (26 MB, on a fast processor; starting
# the agent takes 0.005 s) to find what shows anyway. A program that does not start is uploaded again.
trusted() {
	# The directories may be links to another disk; the program may not. In each mode, neither 020 nor 002 may be set. The sizes of the directories
	# do not matter; "*" cannot stand for a line besides, since stat prints three.
	[ ! -h "$home/$digest" ] || return 1
	case "$(stat -L -c "%u %f %s" "${home%/*}" "$home" "$home/$digest" 2>/dev/null)" in
	"0 4"?[02468ace][014589cd]" "*"
0 4"?[02468ace][014589cd]" "*"
0 8"?[02468ace][014589cd]" $size") return 0 ;;
	esac
	return 1
}

# The user by whose rights this runs (Uid: real, effective, …), as id -u says, too.
user() {
	uid=
	{
		while read -r what real effective rest; do
			[ "$what" = Uid: ] && uid=$effective && break
		done <"$self"
	} 2>/dev/null
	[ "$uid" ] || uid=$(id -u)
}

# All is read before it begins, and nothing stands after it: an agent goes on reading where this shell ends.
main() {
	user
	say uid "$uid"
	sudo=
	command -v sudo >/dev/null 2>&1 && sudo=yes && say sudo

	# Where a program may be uploaded to, if it is not in place: on disks first, and on the host's own, since root may not see a home that comes
	# over the network.
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

	if [ -x "$home/$digest" ] && { [ "$uid" = 0 ] || [ "$sudo" ]; } && trusted; then
		say runs
		[ "$uid" = 0 ] && exec "$home/$digest" agent "$t"
		exec sudo -S -p "kubewright-$t-password:" -- "$home/$digest" agent "$t"
	fi

	umask 077
	command -v gzip >/dev/null 2>&1 && say gzip
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
	exit 0
}
main
