#!/usr/bin/env bash
# Prints how large the launcher is for routers: its bytes, and those of `xz -9e`, which is about what it
# takes of a router's squashfs, for each target and each set of features. What is not built, or older
# than its sources, is built. Ends with 1 if the packages for mipsel are over their bounds.
#
#   cross/size.sh [TARGET…|ci|all] [--packages] [--markdown]    (the targets that are built; else mipsel)
#
# --packages   only the sets of features that are in the packages, which are built already
set -euo pipefail
# Of these, cd would go elsewhere and print where, and xz would do other things.
unset CDPATH XZ_OPT XZ_DEFAULTS
cd "$(dirname "$0")/.."
bin=target/cross/bin other=target/cross/sizes
bounded=mipsel-unknown-linux-musl
# program: bytes, bytes by xz
declare -A bounds=([ecohttpd-mini]="420000 170000" [ecohttpd]="980000 370000")

usage() {
  [ $# = 0 ] || echo "cross/size.sh: $*" >&2
  echo "Usage: cross/size.sh [TARGET...|ci|all] [--packages] [--markdown]" >&2
  exit 2
}
names() { awk -F '\t' -v class="$1" '!/^#/ && $4 ~ class {print $1}' cross/targets; }

markdown='' packages='' targets=()
for argument in "$@"; do
  case $argument in
    --markdown) markdown=1 ;;
    --packages) packages=1 ;;
    all) mapfile -t -O ${#targets[@]} targets < <(names .) ;;
    ci) mapfile -t -O ${#targets[@]} targets < <(names '^ci$') ;;
    -*) usage "$argument: no such option" ;;
    *)
      names . | grep -qxF -- "$argument" || usage "$argument: no such target"
      targets+=("$argument")
      ;;
  esac
done
if [ ${#targets[@]} = 0 ]; then
  while read -r target; do
    [ ! -e "$bin/$target/ecohttpd" ] || targets+=("$target")
  done < <(names .)
  [ ${#targets[@]} -gt 0 ] || targets=("$bounded")
fi

# Prints the two sizes of what has the features LIST of a target, after building it if it has to be.
sizes() {
  local target=$1 list=$2 program arguments
  # shellcheck source=cross/environment
  case $list in
    "$full") program=$bin/$target/ecohttpd arguments=(--tls) ;;
    "$mini") program=$bin/$target/ecohttpd-mini arguments=(--no-tls) ;;
    *)
      program=$other/$target/${list:-none}/ecohttpd
      arguments=(--features "${list:-none}" --out "$other/$target/${list:-none}")
      ;;
  esac
  if [ ! -e "$program" ] ||
    [ -n "$(find Cargo.toml Cargo.lock src cross/{environment,zcc,libc.c} -newer "$program" -print -quit)" ]; then
    cross/build "$target" "${arguments[@]}" >&2
  fi
  echo "$(stat -c %s "$program") $(xz -9e -c "$program" | wc -c)"
}

# 1234567 as 1,234,567
grouped() { sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"; }

toolchain=$PWD/target/cross target=$bounded
# shellcheck source=cross/environment
read -r full mini < <(. cross/environment; echo "$full $mini")
sets=('' dns gzip tls tlsf "$full") titles=(none dns gzip tls tlsf all)
[ -z "$packages" ] || sets=("$mini" "$full") titles=(none all)
if [ -n "$markdown" ]; then
  row="| target |" line="|---|"
  for title in "${titles[@]}"; do row+=" $title (xz) |" line+="---|"; done
  printf '%s\n' "$row" "$line"
else
  printf '%-32s %-9s %9s %9s\n' target features bytes xz
fi
over=0
for target in "${targets[@]}"; do
  row="| $target |"
  for index in "${!sets[@]}"; do
    list=${sets[index]}
    # A failed build ends this, too.
    both=$(sizes "$target" "$list")
    read -r bytes packed <<<"$both"
    row+=" $(grouped "$bytes") ($(grouped "$packed")) |"
    [ -n "$markdown" ] || printf '%-32s %-9s %9s %9s\n' "$target" "${titles[index]}" "$bytes" "$packed"
    [ "$target" = "$bounded" ] || continue
    case $list in
      "$full") program=ecohttpd ;;
      "$mini") program=ecohttpd-mini ;;
      *) continue ;;
    esac
    read -r most most_packed <<<"${bounds[$program]}"
    if [ "$bytes" -gt "$most" ]; then
      echo "$target: $program: $bytes bytes, $((bytes - most)) over its $most" >&2
      over=1
    fi
    if [ "$packed" -gt "$most_packed" ]; then
      echo "$target: $program: $packed bytes by xz, $((packed - most_packed)) over its $most_packed" >&2
      over=1
    fi
  done
  [ -z "$markdown" ] || echo "$row"
done
exit $over
