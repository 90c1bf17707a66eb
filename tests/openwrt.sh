#!/usr/bin/env bash
# Tries the package on a real router, by ssh: tests/openwrt.sh [USER@]HOST [PACKAGE]
#
# Installs the package for the router's architecture from target/feed (or the one that is given), puts it in
# uhttpd's place, asks it over HTTP and HTTPS for files, LuCI's login page, scripts and an upload, kills it,
# reloads it, reads its memory, and puts uhttpd back, whatever happens. The package stays installed.
#
# Takes ssh as root by a key, and curl here. WEB is the address for HTTP if it is not HOST, SSH the command
# for ssh if it is not plain ssh (`ssh -p 2222`), SCP likewise.
set -euo pipefail
cd "$(dirname "$0")/.."

device=${1:?the router, such as root@192.168.1.1}
package=${2:-}
host=${device##*@}
web=${WEB:-$host}
read -ra ssh <<< "${SSH:-ssh -o BatchMode=yes -o ConnectTimeout=10}"
read -ra scp <<< "${SCP:-scp -O -q -o BatchMode=yes -o ConnectTimeout=10}"
work=$(mktemp -d)
failures=0
migrated='' renamed='' realm=''

there() {
	"${ssh[@]}" "$device" "$@"
}

ok() {
	printf '  %-60s ok\n' "$1"
}

bad() {
	printf '  %-60s FAILED: %s\n' "$1" "$2"
	failures=$((failures + 1))
}

# expect WHAT WANTED GOT
expect() {
	if [[ $3 == "$2" ]]; then ok "$1"; else bad "$1" "got '$3' instead of '$2'"; fi
}

# holds WHAT WHY-NOT COMMAND...
holds() {
	if "${@:3}"; then ok "$1"; else bad "$1" "$2"; fi
}

status() {
	curl -gks -m 20 -o "$work/body" -D "$work/head" -w '%{http_code}' "$@" || true
}

back() {
	there rm -f /www/cgi-bin/ecohttpd-try || true
	if [[ $renamed ]]; then
		there "uci -q set ecohttpd.@ecohttpd[0].realm='$realm'; uci commit ecohttpd" || true
	fi
	if [[ $migrated ]]; then
		echo "Putting uhttpd back"
		there ecohttpd-migrate undo || true
	fi
	rm -rf "$work"
}
trap back EXIT

# Waits until the pid of the server is another than the one that is given.
another() {
	local pid
	for _ in $(seq 20); do
		pid=$(there pidof ecohttpd || true)
		if [[ $pid && $pid != "$1" ]]; then
			return 0
		fi
		sleep 1
	done
	return 1
}

echo "The router"
there cat /etc/openwrt_release > "$work/release"
arch=$(sed -n "s/^DISTRIB_ARCH='\(.*\)'/\1/p" "$work/release")
sed -n "s/^DISTRIB_DESCRIPTION='\(.*\)'/  \1/p" "$work/release"
echo "  $arch, $(there uname -m), $(there "sed -n 's/^MemTotal: *//p' /proc/meminfo")"
if there command -v apk >/dev/null; then kind=apk; else kind=ipk; fi
if [[ -z $package ]]; then
	if [[ $kind == apk ]]; then folder=target/feed-apk/$arch; else folder=target/feed/$arch; fi
	shopt -s nullglob
	found=("$folder"/ecohttpd[_-][0-9]*."$kind")
	if ((${#found[@]} != 1)); then
		echo "tests/openwrt.sh: no package of ecohttpd in $folder; openwrt/package makes it" >&2
		exit 2
	fi
	package=${found[0]}
fi

echo "Installing $package"
"${scp[@]}" "$package" "$device:/tmp/ecohttpd.$kind"
if [[ $kind == apk ]]; then
	there apk add --allow-untrusted "/tmp/ecohttpd.$kind"
else
	there opkg install --force-reinstall "/tmp/ecohttpd.$kind"
fi
there rm -f "/tmp/ecohttpd.$kind"
there /etc/init.d/ecohttpd check || bad "the shipped configuration" "check ended with $?"

echo "In uhttpd's place"
if there test -e /etc/config/uhttpd; then
	migrated=1
	there ecohttpd-migrate
else
	there /etc/init.d/ecohttpd start
fi
expect "procd runs it" running "$(there /etc/init.d/ecohttpd status)"
sleep 1

echo "Answers"
first=$(status "http://$web/")
case $first in
200|30[1278]) ok "GET / over HTTP ($first)";;
*) bad "GET / over HTTP" "$first";;
esac
holds "by ecohttpd" "$(head -1 "$work/head")" grep -qi '^server: ecohttpd' "$work/head"
expect "GET / over HTTPS" 200 "$(status "https://$web/")"
expect "what is not there" 404 "$(status "https://$web/nowhere")"
if there test -e /www/cgi-bin/luci; then
	expect "LuCI asks for a login" 403 "$(status "https://$web/cgi-bin/luci/")"
	holds "as LuCI's scripts expect" "no X-LuCI-Login-Required" \
		grep -qi '^x-luci-login-required: yes' "$work/head"
	expect "a wrong password" 403 "$(status -d luci_username=root -d luci_password=wrong-for-sure \
		"https://$web/cgi-bin/luci/")"
	expect "LuCI's scripts for the browser" 200 "$(status "https://$web/luci-static/resources/luci.js")"
	etag=$(sed -n 's/^[Ee][Tt]ag: *\([^\r]*\).*/\1/p' "$work/head")
	expect "not changed" 304 "$(status -H "If-None-Match: $etag" "https://$web/luci-static/resources/luci.js")"
fi

echo "Scripts and an upload of 8 MB"
there 'cat > /www/cgi-bin/ecohttpd-try && chmod 755 /www/cgi-bin/ecohttpd-try' <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
sha256sum
END
head -c 8000000 /dev/urandom > "$work/upload"
expect "the script" 200 "$(status --data-binary "@$work/upload" "https://$web/cgi-bin/ecohttpd-try")"
expect "all of the upload" "$(sha256sum < "$work/upload")" "$(cat "$work/body")"
there rm -f /www/cgi-bin/ecohttpd-try

echo "Reload and respawn"
pid=$(there pidof ecohttpd)
realm=$(there uci -q get 'ecohttpd.@ecohttpd[0].realm' || true) renamed=1
# reload_config tells of what has changed since it last ran, and of nothing that it has not seen yet.
there 'reload_config; sleep 3; uci set ecohttpd.@ecohttpd[0].realm="tests of ecohttpd"
	uci commit ecohttpd && reload_config'
sleep 3
expect "a reload is no restart" "$pid" "$(there pidof ecohttpd)"
holds "and is applied" "no new realm" there "grep -qr 'tests of ecohttpd' /var/etc/ecohttpd"
there kill -9 "$pid"
holds "back after kill -9" "nothing" another "$pid"
sleep 1
expect "and serves" 200 "$(status "https://$web/")"

echo "Memory"
there "for pid in \$(pidof ecohttpd); do sed -n 's/^\(VmRSS\|RssAnon\|VmHWM\)/  &/p' /proc/\$pid/status; done"

if [[ $migrated ]]; then
	echo "Back to uhttpd"
	migrated=
	there ecohttpd-migrate undo || bad "undo" "$?"
	sleep 2
	first=$(status "http://$web/")
	case $first in
	200|30[1278]) ok "uhttpd serves again ($first)";;
	*) bad "uhttpd serves again" "$first";;
	esac
	expect "ecohttpd does not run" "" "$(there pidof ecohttpd || true)"
fi
if ((failures)); then
	echo "$failures failures" >&2
	exit 1
fi
echo "All is well."
