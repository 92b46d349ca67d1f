#!/bin/sh
# Ends what a lab leaves behind when its daemon dies without a farewell, for example by SIGKILL.
#
#     reaper.sh RUN DIRECTORY… <PIPE
#
# The daemon holds the other end of the pipe and writes "+SESSION" and "-SESSION" for each session of processes that begins and
# is over, and "cuts PROGRAM" when the lab may have a table of nftables that PROGRAM removes. When the pipe closes, every process of those sessions, and every process that was started with
# PERCONA_LAB_OWNER=RUN/…, gets SIGKILL until none is left. Then the directories are removed. A farewell is the line "done".
trap '' INT TERM HUP

run=$1
shift
sessions=' '
nft=
while read -r line; do
  case $line in
  +*) sessions="$sessions${line#+} " ;;
  -*)
    over=" ${line#-} "
    case $sessions in *"$over"*) sessions="${sessions%%"$over"*} ${sessions#*"$over"}" ;; esac
    ;;
  "cuts "*) nft=${line#cuts } ;;
  done) exit 0 ;;
  esac
done

left() {
  for directory in /proc/[0-9]*; do
    pid=${directory#/proc/}
    # Fields after the name in parentheses: state, parent, group, session.
    { read -r stat <"$directory/stat"; } 2>/dev/null || continue
    # shellcheck disable=SC2086 # to be split into words
    set -- ${stat##*) }
    [ "$1" = Z ] && continue
    case $sessions in
    *" $4 "*) echo "$pid" ;;
    *) grep -qsz "^PERCONA_LAB_OWNER=$run/" "$directory/environ" 2>/dev/null && echo "$pid" ;;
    esac
  done
  return 0
}

tries=0
while pids=$(left) && [ -n "$pids" ] && [ "$tries" -lt 500 ]; do
  # shellcheck disable=SC2086 # one argument each
  kill -9 $pids 2>/dev/null
  tries=$((tries + 1))
  sleep 0.02
done
[ -z "$nft" ] || "$nft" delete table inet "percona_lab_$run" 2>/dev/null
[ $# -eq 0 ] || rm -rf -- "$@"
