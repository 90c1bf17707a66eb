# The part of openwrt/package that packs for apk, by apk itself: its format is not made by anything else.
# shellcheck shell=bash

# Sets apk, to nothing where there is none, and as_root.
find_apk() {
  apk=$(command -v "${APK:-apk}") || apk=
  if [ -z "$apk" ]; then
    [ -z "${APK-}" ] || die "APK: $APK: there is no such program"
    echo "no .apk: apk-tools 3 is not on this machine (OpenWrt's SDK has it in staging_dir/host/bin)"
    return
  fi
  apk=$(realpath "$apk")
  case $("$apk" --version) in
    "apk-tools 3"*) ;;
    *)
      echo "no .apk: $apk is not apk-tools 3"
      apk=
      return
      ;;
  esac
  # apk writes down the owners that it sees.
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v fakeroot >/dev/null || die "fakeroot: missing; apk needs it for files to be of root"
    as_root=(fakeroot)
  fi
}

make_apk() {
  local package=$1 arch=$2 files=$3 into=$4 scripts=$work/apk
  local version provides=$package-any name options=() own=$work/fields/$package names=$files/lib/apk/packages
  version=$(field "$package" VERSION)
  rm -rf "$scripts"
  mkdir -p "$scripts" "$names"
  # What OpenWrt's functions.sh reads of a package, and sysupgrade of what the user has changed.
  (cd "$files" && find . -type f -o -type l) | sed -n '\,^\./lib/apk/,!s/^\.//p' | sort \
    >"$names/$package.list"
  grep . "$own.conffiles" >"$names/$package.conffiles"
  for name in $(kept -f "$package" "$files"); do
    echo "$name $(sha256sum "$files$name" | cut -d ' ' -f 1)"
  done >"$names/$package.conffiles_static"
  # shellcheck disable=SC2016 # the lines are for the router
  local context=("${functions[@]}" 'export root="$IPKG_INSTROOT"' "export pkgname=$package")
  local added=("$no_script" "${context[@]}" add_group_and_user default_postinst)
  script "${added[@]}" >"$scripts/post-install"
  script 'export PKG_UPGRADE=1' "${added[@]}" >"$scripts/post-upgrade"
  script "${context[@]}" default_prerm >"$scripts/pre-deinstall"
  for name in post-install post-upgrade; do
    [ ! -e "$own.postinst" ] || sed '/^#!/d' "$own.postinst" >>"$scripts/$name"
  done
  [ ! -e "$own.prerm" ] || sed '/^#!/d' "$own.prerm" >>"$scripts/pre-deinstall"
  for name in post-install post-upgrade pre-deinstall; do options+=(--script "$name:$scripts/$name"); done
  # NAME-any is what the buildroot adds to every package. The others with a version, so that of those that provide the same only one is installed at a time.
  for name in $(field "$package" PROVIDES); do provides+=" $name=$version"; done
  [ -z "$(field "$package" DEFAULT_VARIANT)" ] || options+=(--info provider-priority:100)
  find "$files" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  "${as_root[@]}" "$apk" mkpkg --info "name:$package" --info "version:$version" --info "arch:$arch" \
    --info "description:$(field "$package" description | tr -s '\n ' '  ' | sed 's/^ //; s/ $//')" \
    --info "license:$(field "$package" LICENSE)" --info "origin:feeds/ecohttpd/$feed" \
    --info "url:$(field "$package" URL)" --info "maintainer:$(field "$package" MAINTAINER)" \
    --info "provides:$provides" --info "tags:openwrt:section=$(field "$package" SECTION)" "${options[@]}" \
    --files "$files" --output "$into/$package-$version.apk"
}

# The index holds the hashes of the packages, so its signature is enough.
index_apk() {
  (cd "$1" && "$apk" mkndx --allow-untrusted --sign "$apk_key" --output packages.adb ./*.apk)
}
