# The part of openwrt/package that packs for opkg: a .ipk is a gzip'ed tar of two gzip'ed tars, the files
# and what is said of them.
# shellcheck shell=bash

tarball() {
  local folder=$1
  shift
  tar -C "$folder" --format=gnu --numeric-owner --owner=0 --group=0 --sort=name \
    --mtime="@$SOURCE_DATE_EPOCH" -cf - "$@" | gzip -n
}

# A list with commas, of one with spaces.
commas() { field "$1" "$2" | sed 's/ \{1,\}/, /g'; }

line() { [ -z "$2" ] || echo "$1: $2"; }

# The programs are static, so they depend on nothing.
control() {
  local package=$1 arch=$2 size=$3
  line Package "$package"
  line Version "$(field "$package" VERSION)"
  line Conflicts "$(commas "$package" CONFLICTS)"
  line Provides "$(commas "$package" PROVIDES)"
  line Source "feeds/ecohttpd/$feed"
  line SourceName "${packages%% *}"
  line License "$(field "$package" LICENSE)"
  line LicenseFiles "$(field "$package" LICENSE_FILES)"
  line Section "$(field "$package" SECTION)"
  line Require-User "$(field "$package" USERID)"
  line SourceDateEpoch "$SOURCE_DATE_EPOCH"
  line URL "$(field "$package" URL)"
  line Maintainer "$(field "$package" MAINTAINER)"
  line Architecture "$arch"
  line Installed-Size "$size"
  printf 'Description: '
  sed 's/^[[:space:]]*/ /' "$work/fields/$package.description"
}

# A maintainer script of these lines. The system that it is run for lies in IPKG_INSTROOT.
# shellcheck disable=SC2016 # the lines are for the router
no_script='[ "$IPKG_NO_SCRIPT" = 1 ] && exit 0' functions=(
  '[ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0'
  '. "$IPKG_INSTROOT/lib/functions.sh"'
)
script() { printf '%s\n' '#!/bin/sh' "$@"; }

make_ipk() {
  local package=$1 arch=$2 files=$3 into=$4 parts=$work/ipk control=$work/ipk/control name
  rm -rf "$parts"
  mkdir -p "$control"
  tarball "$files" . >"$parts/data.tar.gz"
  control "$package" "$arch" "$(gzip -dc "$parts/data.tar.gz" | wc -c)" >"$control/control"
  kept -f "$package" "$files" | sort >"$control/conffiles"
  [ -s "$control/conffiles" ] || rm "$control/conffiles"
  # shellcheck disable=SC2016 # the lines are for the router
  script "$no_script" "${functions[@]}" 'default_postinst "$0" "$@"' >"$control/postinst"
  # shellcheck disable=SC2016
  script "${functions[@]}" 'default_prerm "$0" "$@"' >"$control/prerm"
  for name in postinst prerm; do
    [ ! -e "$work/fields/$package.$name" ] || cp "$work/fields/$package.$name" "$control/$name-pkg"
  done
  chmod 0755 "$control"/p*
  tarball "$control" . >"$parts/control.tar.gz"
  echo 2.0 >"$parts/debian-binary"
  tarball "$parts" ./debian-binary ./data.tar.gz ./control.tar.gz \
    >"$into/${package}_$(field "$package" VERSION)_$arch.ipk"
}

# What opkg reads of all the packages of a feed, signed.
index_ipk() {
  local folder=$1 file
  (
    cd "$folder"
    for file in *.ipk; do
      tar -xzOf "$file" ./control.tar.gz | tar -xzOf - ./control | sed "/^Description:/i\\
Filename: $file\\
Size: $(stat -c %s "$file")\\
SHA256sum: $(sha256sum "$file" | cut -d ' ' -f 1)"
      echo
    done >Packages.manifest
    grep -vE '^(Maintainer|LicenseFiles|Source|SourceName|Require|SourceDateEpoch)' \
      <Packages.manifest >Packages
    # The usign of routers gets the hash of texts wrong that end at these places of a block.
    case $(((64 + $(stat -c %s Packages)) % 128)) in 110 | 111) printf '\n\n' >>Packages ;; esac
    gzip -9nc Packages >Packages.gz
  )
  openwrt/usign -S -m "$folder/Packages" -s "$key"
}

# The public key of a secret one, by what signs with it, so that both read the file alike.
public_key() { openwrt/usign -K -s "$1"; }

# The public key of the feed is one, so each of its architectures has to be signed by it: those that stay as
# they are, too.
one_key() {
  local folder others=()
  for folder in "$out"/*/; do
    folder=${folder%/}
    [ -e "$folder/Packages" ] && ! to_be_made "${folder##*/}" || continue
    openwrt/usign -V -q -m "$folder/Packages" -p "$work/ecohttpd.pub" || others+=("${folder##*/}")
  done
  [ ${#others[@]} = 0 ] || die "$out: not signed by $key: ${others[*]} (name them after --arch, too)"
  [ -n "$apk" ] || return 0
  # apk has no way to ask that, but the key beside them is of the last run.
  ! cmp -s "$work/ecohttpd.pem" "$out-apk/ecohttpd.pem" || return 0
  for folder in "$out-apk"/*/; do
    folder=${folder%/}
    [ -e "$folder/packages.adb" ] && ! to_be_made "${folder##*/}" || continue
    others+=("${folder##*/}")
  done
  [ ${#others[@]} = 0 ] || die "$out-apk: not signed by $apk_key: ${others[*]} (name them after --arch, too)"
}
