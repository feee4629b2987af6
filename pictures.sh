#!/bin/sh
# Draws what plan, apply and status show of a living cluster as docs/pictures/{plan,apply,status}.svg: real output, of a terminal of 100 columns.
#
#   ./pictures.sh DIR/cluster.yaml
#
# It applies the file. So that there is something to see, change something in it before, such as apiServer: {extraArgs: {v: "2"}}. Where DIR has a home, as that of "make demo"
# has, host keys are looked up there. APPLY_FRAME is the moment of apply to show, as a share of all frames drawn: 0.5 is the middle. If something fails, no picture is
# replaced, and what was said is shown.
set -eu
file=${1:?say which cluster file: pictures.sh DIR/cluster.yaml}
[ -f "$file" ] || { echo "there is no file $file" >&2; exit 1; }
top=$(cd "$(dirname "$0")" && pwd)
dir=$(cd "$(dirname "$file")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$top" && ${GO:-go} build -o "$tmp/draw" ./internal/ui/still/draw)

columns=100
rows=40
args=
[ "$(basename "$file")" = cluster.yaml ] || args=" $(basename "$file")"
export XDG_DATA_HOME="${XDG_DATA_HOME:-$HOME/.local/share}" PATH="$top/bin:$PATH" TERM=xterm-256color
unset NO_COLOR
[ ! -d "$dir/home" ] || export HOME="$dir/home"

# picture NAME COMMAND FLAGS…: runs it on a terminal, and draws what that shows. Nobody types on it.
picture() {
	name=$1 command=$2
	shift 2
	echo "\$ $command"
	if ! (cd "$dir" && script -qec "stty cols $columns rows $rows -echo; $command" /dev/null <"$tmp/keys" >"$tmp/$name"); then
		cat "$tmp/$name"
		echo "$command failed; no picture was replaced" >&2
		exit 1
	fi
	"$tmp/draw" -title "$command" -width $columns -height $rows "$@" <"$tmp/$name" >"$tmp/$name.svg"
}
# A keyboard that is there for as long as this runs: at the end of one, a terminal would show that.
mkfifo "$tmp/keys"
exec 3<>"$tmp/keys"

picture plan "kubewright plan$args" -lines 60
picture apply "kubewright apply$args --yes" -frame "${APPLY_FRAME:-0.5}"
picture status "kubewright status$args"
mkdir -p "$top/docs/pictures"
for name in plan apply status; do
	mv "$tmp/$name.svg" "$top/docs/pictures/$name.svg"
done
echo "drawn: docs/pictures/plan.svg, apply.svg and status.svg"
