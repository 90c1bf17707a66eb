# Stands in for the base-files' functions.sh and uci.sh: configuration, and how packages are put in
# place and taken away. Much is assigned by eval to names of the caller's choice, and files are read.
# shellcheck disable=SC1090,SC2034

N="
"
NO_EXPORT=1
LIST_SEP=" "

append() {
	local name="$1" text="$2" between="${3:- }" had
	eval "had=\"\$$name\""
	eval "$name=\"\$had\${had:+\${text:+\$between}}\$text\""
}

list_contains() {
	local had
	eval "had=\" \$$1 \""
	case "$had" in
	*" $2 "*) return 0;;
	esac
	return 1
}

reset_cb() {
	config_cb() { return 0; }
	option_cb() { return 0; }
	list_cb() { return 0; }
}
reset_cb

package() {
	return 0
}

config_set() {
	eval "CONFIG_${1}_${2}=\"\$3\""
}

config() {
	CONFIG_SECTION="$2"
	append CONFIG_SECTIONS "$2"
	config_set "$2" TYPE "$1"
	config_cb "$1" "$2"
}

option() {
	config_set "$CONFIG_SECTION" "$1" "$2"
	append CONFIG_OPTIONS "CONFIG_${CONFIG_SECTION}_$1"
	option_cb "$1" "$2"
}

list() {
	local n
	config_get n "$CONFIG_SECTION" "$1_LENGTH" 0
	[ "$n" = 0 ] && append CONFIG_LIST_STATE "${CONFIG_SECTION}_$1"
	n=$((n + 1))
	config_set "$CONFIG_SECTION" "$1_ITEM$n" "$2"
	config_set "$CONFIG_SECTION" "$1_LENGTH" "$n"
	append "CONFIG_${CONFIG_SECTION}_$1" "$2" "$LIST_SEP"
	list_cb "$1" "$2"
}

# Sections that are there twice leave nothing behind from what was loaded before, but options do, as on
# a router: callers ask for sections, and those are forgotten.
config_load() {
	local state text
	[ -n "$IPKG_INSTROOT" ] && return 0
	for state in $CONFIG_LIST_STATE; do
		eval "CONFIG_$state= CONFIG_${state}_LENGTH="
	done
	CONFIG_LIST_STATE='' CONFIG_SECTIONS='' CONFIG_SECTION=''
	text="$(/sbin/uci ${UCI_CONFIG_DIR:+-c "$UCI_CONFIG_DIR"} -S -n export "$1" 2>/dev/null)" || return 1
	eval "$text"
	[ -n "$CONFIG_SECTION" ] && config_cb
	return 0
}

config_get() {
	case "$2${3:-$1}" in
	*[!A-Za-z0-9_]*) return 0;;
	esac
	if [ -n "$3" ]; then
		eval "$1=\"\${CONFIG_${2}_${3}:-\$4}\""
	else
		eval "printf '%s\\n' \"\${CONFIG_${1}_${2}:-\$4}\""
	fi
}

get_bool() {
	case "$1" in
	1|on|true|yes|enabled) printf 1;;
	0|off|false|no|disabled) printf 0;;
	*) printf '%s' "$2";;
	esac
}

config_get_bool() {
	local got
	config_get got "$2" "$3" "$4"
	eval "$1=\"\$(get_bool \"\$got\" \"\$4\")\""
}

config_foreach() {
	local function="$1" wanted="$2" section type
	shift
	[ $# -gt 0 ] && shift
	for section in $CONFIG_SECTIONS; do
		config_get type "$section" TYPE
		[ -n "$wanted" ] && [ "$type" != "$wanted" ] && continue
		"$function" "$section" "$@"
	done
}

config_list_foreach() {
	local section="$1" name="$2" function="$3" length n=1 item
	shift 3
	config_get length "$section" "${name}_LENGTH"
	while [ "$n" -le "${length:-0}" ]; do
		config_get item "$section" "${name}_ITEM$n"
		"$function" "$item" "$@"
		n=$((n + 1))
	done
}

uci_get() {
	/sbin/uci -q get "$1${2:+.$2}${3:+.$3}" || { [ -n "$4" ] && echo "$4"; }
}

# Both take the name of the package from their caller, or from the file that they are called for.
package_files() {
	local root="$IPKG_INSTROOT" of
	[ -n "$pkgname" ] || pkgname="$(basename "${1%.*}")"
	of="$root/usr/lib/opkg/info/$pkgname.list"
	[ -f "$root/lib/apk/packages/$pkgname.list" ] && of="$root/lib/apk/packages/$pkgname.list"
	grep -s "$2" "$of"
}

default_postinst() {
	local root="$IPKG_INSTROOT" pkgname="$pkgname" file ret=0
	[ -n "$pkgname" ] || pkgname="$(basename "${1%.*}")"
	if [ -z "$root" ]; then
		for file in $(package_files "$1" '^/etc/uci-defaults/'); do
			mkdir -p /tmp/.uci
			( [ -f "$file" ] && cd "$(dirname "$file")" && . "$file" ) && rm -f "$file"
		done
		uci commit
	fi
	if [ -f "$root/usr/lib/opkg/info/$pkgname.postinst-pkg" ]; then
		( . "$root/usr/lib/opkg/info/$pkgname.postinst-pkg" )
		ret=$?
	fi
	for file in $(package_files "$1" '^/etc/init.d/'); do
		if [ -n "$root" ]; then
			/bin/sh "$root/etc/rc.common" "$root$file" enable
		else
			[ "$PKG_UPGRADE" = 1 ] || "$file" enable
			"$file" start
		fi
	done
	return "$ret"
}

default_prerm() {
	local root="$IPKG_INSTROOT" pkgname="$pkgname" file ret=0
	[ -n "$pkgname" ] || pkgname="$(basename "${1%.*}")"
	if [ -f "$root/usr/lib/opkg/info/$pkgname.prerm-pkg" ]; then
		( . "$root/usr/lib/opkg/info/$pkgname.prerm-pkg" )
		ret=$?
	fi
	for file in $(package_files "$1" '^/etc/init.d/'); do
		if [ -n "$root" ]; then
			/bin/sh "$root/etc/rc.common" "$root$file" disable
		else
			[ "$PKG_UPGRADE" = 1 ] || "$file" disable
			"$file" stop
		fi
	done
	return "$ret"
}
