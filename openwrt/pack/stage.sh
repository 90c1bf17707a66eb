# The part of openwrt/package that brings together the files of a package, whatever it is packed as, and
# the folder of a feed.
# shellcheck shell=bash

# A field of a package.
field() { cat "$work/fields/$1.$2"; }

# The machine of a Rust target as it stands in the head of an ELF file: class, byte order, machine.
machine() {
  case $1 in
    mipsel-*) echo "1 1 8" ;;
    mips-*) echo "1 2 8" ;;
    arm*) echo "1 1 40" ;;
    aarch64-*) echo "2 1 183" ;;
    x86_64-*) echo "2 1 62" ;;
    i?86-*) echo "1 1 3" ;;
    riscv64*) echo "2 1 243" ;;
    *) return 1 ;;
  esac
}

# Ends the run where a program is not one for this target.
check_program() {
  local program=$1 target=$2 head wanted
  [ -e "$program" ] || die "$program: missing; cross/build $target makes it"
  [ -s "$program" ] || die "$program: empty"
  mapfile -t head < <(od -An -v -tu1 -w1 -N20 "$program" | tr -d ' ')
  [ "${head[*]:0:4}" = "127 69 76 70" ] && [ ${#head[@]} = 20 ] || die "$program: not a program for Linux"
  wanted=$(machine "$target") || die "cross/targets: $target: openwrt/package does not know this machine"
  # One byte of the machine's number is 0 in all of them.
  [ "${head[4]} ${head[5]} $((head[18] + head[19]))" = "$wanted" ] ||
    die "$program: a program for another machine than $target"
  # The rest is what cross/build checks, too.
  check_headers "$program"
}

# The names that a package says are to outlive upgrades: those that are files of it (-f), or are not (-n).
kept() {
  local which=$1 package=$2 files=$3 name
  while read -r name; do
    [ -n "$name" ] || continue
    case $which in
      -f) [ ! -f "$files$name" ] || echo "$name" ;;
      -n) [ -f "$files$name" ] || echo "$name" ;;
    esac
  done <"$work/fields/$package.conffiles"
}

# Lays out the files of a package.
stage() {
  local package=$1 program=$2 files=$3 source destination mode names
  rm -rf "$files"
  mkdir -p "$files"
  while read -r source destination mode; do
    case $source in
      '' | '#'*) continue ;;
      program) source=$program ;;
      *) source=$feed/files/$source ;;
    esac
    [ -s "$source" ] || die "$feed/files.list: $source: missing or empty"
    install -d -m0755 "$files${destination%/*}"
    install -m"$mode" "$source" "$files$destination"
  done <"$feed/files.list"
  names=$(kept -n "$package" "$files")
  [ -z "$names" ] || {
    install -d -m0755 "$files/lib/upgrade/keep.d"
    echo "$names" >"$files/lib/upgrade/keep.d/$package"
  }
}

# Whether this run makes the feed of an architecture.
to_be_made() { [[ " ${arches[*]} " = *" $1 "* ]]; }

# A feed takes the place of what an earlier run has left in the folder, but not of what others have.
replaceable() {
  local others
  [ -e "$1" ] || return 0
  others=$(find "$1" -mindepth 1 ! -name 'ecohttpd*.[ai]pk' ! -name 'Packages*' ! -name packages.adb)
  [ -z "$others" ] || die "$1: not to be replaced, there are other files: ${others//$'\n'/ }"
}

new_feed() {
  rm -rf "$work/feed"
  mkdir "$work/feed"
}

# Puts a file or folder in the place of another. What was there stays until the new one is whole beside it,
# which a full disk may prevent.
keep() {
  local beside=${2%/*}/.${2##*/}
  mkdir -p "${2%/*}"
  rm -rf "$beside.new" "$beside.old"
  cp -R --preserve=mode,timestamps "$1" "$beside.new" || {
    rm -rf "$beside.new"
    die "$2: cannot be written"
  }
  # A file is replaced by the renaming itself, and a folder is not.
  [ ! -d "$1" ] || [ ! -e "$2" ] || mv -T "$2" "$beside.old"
  mv -T "$beside.new" "$2"
  rm -rf "$beside.old"
}

keep_feed() {
  keep "$work/feed" "$1"
  echo "$1: $(cd "$1" && echo *.[ai]pk)"
}

# Keys for those who have none: good for a network of one's own.
development_keys() {
  if [ -z "$key" ]; then
    key=$root/target/feed.sec
    if [ ! -e "$key" ]; then
      rm -f target/feed.pub
      openwrt/usign -G -s "$key" -p target/feed.pub -c "ecohttpd development feed"
    fi
    echo "no --key: signing for opkg by the development key target/feed.sec"
  fi
  [ -n "$apk" ] && [ -z "$apk_key" ] || return 0
  apk_key=$root/target/feed.pem
  [ -e "$apk_key" ] || (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$apk_key")
  echo "no --apk-key: signing for apk by the development key target/feed.pem"
}
