# Stands in for the base-files' network.sh: the addresses of an interface of uci, as its device has them.

network_device() {
	/sbin/uci -q get "network.$1.device" || echo br-lan
}

network_addresses() {
	ip -"$2" -o addr show dev "$(network_device "$1")" 2>/dev/null |
		sed -n 's/^.* inet6\{0,1\} \([0-9a-f:.]*\)\/.*$/\1/p' | grep -v '^fe80:'
}

network_get_ipaddrs() {
	eval "$1=\"\$(network_addresses \"\$2\" 4)\""
	eval "[ -n \"\$$1\" ]"
}

network_get_ipaddrs6() {
	eval "$1=\"\$(network_addresses \"\$2\" 6)\""
	eval "[ -n \"\$$1\" ]"
}

network_get_ipaddr() {
	eval "$1=\"\$(network_addresses \"\$2\" 4 | head -n 1)\""
	eval "[ -n \"\$$1\" ]"
}

network_flush_cache() {
	return 0
}
