# Stands in for procd.sh and for what procd itself does with a service: compares its instances with the
# ones that run, and starts, signals, restarts or stops them. Each is watched by /sbin/procd-instance.
#
# /var/run/procd/SERVICE/NAME/      what the instance is to be: a file per parameter, a quoted word a line
# /var/run/procd/SERVICE/NAME.run/  what it is now: pid, watcher, state, and halt and again when it is to end

# initscript is rc.common's.
# shellcheck disable=SC2154

PROCD_STATE=/var/run/procd
PROCD_RELOAD_DELAY=1000

procd_quote() {
	printf "'%s'\n" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

procd_lock() {
	[ -n "$PROCD_LOCKED" ] && return
	mkdir -p /var/lock "$PROCD_STATE"
	while ! ln -s "$$" /var/lock/procd.lock 2>/dev/null; do
		kill -0 "$(readlink /var/lock/procd.lock)" 2>/dev/null || rm -f /var/lock/procd.lock
		sleep 0.1
	done
	PROCD_LOCKED=1
	trap 'rm -f /var/lock/procd.lock' EXIT
}

procd_open_service() {
	procd_lock
	PROCD_SERVICE="$1"
	PROCD_PLAN="$PROCD_STATE/$1.plan"
	PROCD_OBJECTS=
	rm -rf "$PROCD_PLAN"
	mkdir -p "$PROCD_PLAN"
	PROCD_INSTANCES=0
	PROCD_AT="$PROCD_PLAN"
}

procd_open_instance() {
	PROCD_INSTANCES=$((PROCD_INSTANCES + 1))
	PROCD_AT="$PROCD_PLAN/${1:-instance$PROCD_INSTANCES}"
	mkdir -p "$PROCD_AT"
}

procd_set_param() {
	local name="$1"
	procd_outside "$name" || return 1
	shift
	case "$name" in
	command|env|data|limits|file|netdev|respawn|watch|watchdog|error|nice|term_timeout|reload_signal|\
	pidfile|user|group|seccomp|capabilities|facility|stdout|stderr|no_new_privs) :;;
	*) echo "procd_set_param: there is no $name" >&2; return 1;;
	esac
	: > "$PROCD_AT/$name"
	[ "$name" = reload_signal ] && set -- "$(kill -l "$1")"
	procd_append_param "$name" "$@"
}

procd_append_param() {
	local name="$1"
	procd_outside "$name" || return 1
	shift
	while [ $# -gt 0 ]; do
		procd_quote "$1" >> "$PROCD_AT/$name"
		shift
	done
}

procd_add_jail() {
	procd_outside jail || return 1
	procd_quote "$1" > "$PROCD_AT/jail_name"
	shift
	# Words, as in the original, which takes spaces for separators.
	# shellcheck disable=SC2048
	for flag in $*; do
		procd_quote "$flag" >> "$PROCD_AT/jail_flags"
	done
}

procd_add_jail_mount() {
	procd_outside "the mount $1" || return 1
	# shellcheck disable=SC2048
	for path in $*; do
		procd_quote "$path=0" >> "$PROCD_AT/jail_mounts"
	done
}

procd_add_jail_mount_rw() {
	# shellcheck disable=SC2048
	for path in $*; do
		procd_quote "$path=1" >> "$PROCD_AT/jail_mounts"
	done
}

procd_close_instance() {
	local file path
	if [ -e "$PROCD_AT/respawn" ] && [ ! -s "$PROCD_AT/respawn" ]; then
		procd_set_param respawn "$(uci_get system @service[0] respawn_threshold 3600)" \
			"$(uci_get system @service[0] respawn_timeout 5)" \
			"$(uci_get system @service[0] respawn_retry 5)"
	fi
	# As procd does, the files are read now.
	if [ -e "$PROCD_AT/file" ]; then
		eval "set -- $(tr '\n' ' ' < "$PROCD_AT/file")"
		for path; do
			file="$(md5sum "$path" 2>/dev/null)"
			procd_quote "$path ${file%% *}" >> "$PROCD_AT/md5"
		done
	fi
	PROCD_AT="$PROCD_PLAN"
}

# Announcements: a line for each.
procd_open_data() {
	PROCD_OBJECTS=data
}

# The original writes a parameter into whatever object is open, where procd does not look for it.
procd_outside() {
	[ -z "$PROCD_OBJECTS" ] && return
	echo "$1 in $PROCD_OBJECTS, which is open" >&2
	return 1
}

procd_close_data() {
	PROCD_OBJECTS=
}

json_add_object() {
	PROCD_OBJECTS="$PROCD_OBJECTS.$1"
}

json_close_object() {
	PROCD_OBJECTS="${PROCD_OBJECTS%.*}"
}

json_add_string() {
	procd_quote "$PROCD_OBJECTS.$1=$2" >> "$PROCD_AT/data"
}

procd_add_mdns_service() {
	local service="$1" proto="$2" port="$3"
	shift 3
	procd_quote "$PROCD_OBJECTS.${service}_$port=_$service._$proto.local $port $*" >> "$PROCD_AT/data"
}

procd_add_mdns() {
	procd_open_data
	json_add_object mdns
	procd_add_mdns_service "$@"
	json_close_object
	procd_close_data
}

# Triggers: a line of event, delay in ms, condition, and the command in quoted words.
procd_open_trigger() {
	return 0
}

procd_close_trigger() {
	return 0
}

procd_trigger() {
	local event="$1" delay="$2" condition="$3" word line
	shift 3
	line=
	for word; do
		line="$line $(procd_quote "$word")"
	done
	printf '%s %s %s%s\n' "$event" "$delay" "$condition" "$line" >> "$PROCD_PLAN/triggers"
}

procd_add_reload_trigger() {
	local package
	for package; do
		procd_add_config_trigger config.change "$package" "$initscript" reload
	done
}

procd_add_config_trigger() {
	local event="$1" package="$2"
	shift 2
	procd_trigger "$event" "$PROCD_RELOAD_DELAY" "package=$package" "$@"
}

procd_add_interface_trigger() {
	local event="$1" interface="$2"
	shift 2
	procd_trigger "$event" "$PROCD_RELOAD_DELAY" "interface=$interface" "$@"
}

procd_add_reload_interface_trigger() {
	procd_add_interface_trigger "interface.*" "$1" "$initscript" reload
}

procd_add_raw_trigger() {
	local event="$1" delay="$2"
	shift 2
	procd_trigger "$event" "$delay" - "$@"
}

procd_add_validation() {
	local said
	said="$("$@")"
	procd_quote "$said" >> "$PROCD_PLAN/validate"
}

uci_validate_section() {
	local package="$1" type="$2" name="$3" result error
	shift 3
	result="$(/sbin/validate_data "$package" "$type" "$name" "$@" 2>/dev/null)"
	error=$?
	if [ -z "$name" ]; then
		printf '%s' "$result"
		return
	fi
	eval "$result"
	[ "$error" = 0 ] || /sbin/validate_data "$package" "$type" "$name" "$@" >/dev/null
	return "$error"
}

uci_load_validate() {
	local package="$1" type="$2" name="$3" function="$4" option result
	shift 4
	for option; do
		eval "local ${option%%:*}"
	done
	uci_validate_section "$package" "$type" "$name" "$@"
	result=$?
	[ -n "$function" ] || return "$result"
	"$function" "$name" "$result"
}

# What procd knows of instances.

procd_now() {
	cat "$PROCD_STATE/$1/$2.run/$3" 2>/dev/null
}

procd_alive() {
	local pid
	pid="$(procd_now "$1" "$2" "$3")"
	[ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
}

procd_watch() {
	local run="$PROCD_STATE/$1/$2.run"
	rm -rf "$run"
	mkdir -p "$run"
	setsid /sbin/procd-instance "$1" "$2" </dev/null >/dev/null 2>&1 &
	echo "$!" > "$run/watcher"
}

# Ends an instance; it is forgotten when it has ended.
procd_end_instance() {
	if procd_alive "$1" "$2" watcher; then
		: > "$PROCD_STATE/$1/$2.run/halt"
		rm -f "$PROCD_STATE/$1/$2.run/again"
		kill -TERM "$(procd_now "$1" "$2" watcher)"
	else
		rm -rf "$PROCD_STATE/${1:?}/${2:?}" "$PROCD_STATE/$1/$2.run"
	fi
}

# Whether what a running instance is made of has changed: everything but where its output goes and data.
procd_changed() {
	local old="$1" new="$2" file
	for file in "$old"/* "$new"/*; do
		case "${file##*/}" in
		data|stdout|stderr) continue;;
		esac
		cmp -s "$old/${file##*/}" "$new/${file##*/}" || return 0
	done
	return 1
}

procd_set_instance() {
	local service="$1" name="$2" plan="$3" now="$PROCD_STATE/$1/$2" run="$PROCD_STATE/$1/$2.run" signal=
	if procd_alive "$service" "$name" pid && [ ! -e "$run/halt" ] && procd_changed "$now" "$plan"; then
		if [ -e "$now/reload_signal" ]; then
			eval "signal=$(cat "$now/reload_signal")"
		else
			: > "$run/again"
			: > "$run/halt"
			signal=end
		fi
	fi
	# Before the signal: what ends at once is started again at once, by what stands here.
	rm -rf "$now"
	mv "$plan" "$now"
	case "$signal" in
	'') ;;
	end) kill -TERM "$(cat "$run/watcher")"; return;;
	*) kill "-$signal" "$(cat "$run/pid")"; return;;
	esac
	if ! procd_alive "$service" "$name" watcher; then
		procd_watch "$service" "$name"
	elif [ -e "$run/halt" ]; then
		: > "$run/again"
	elif ! procd_alive "$service" "$name" pid; then
		kill -USR1 "$(cat "$run/watcher")"
	fi
}

procd_close_service() {
	local method="$1" now="$PROCD_STATE/$PROCD_SERVICE" plan="$PROCD_PLAN" name
	service_triggers
	if type service_data >/dev/null 2>&1; then
		service_data
	fi
	mkdir -p "$now"
	rm -f "$now/triggers" "$now/data" "$now/validate"
	for name in triggers data validate; do
		[ -e "$plan/$name" ] && mv "$plan/$name" "$now/$name"
	done
	if [ "$method" != add ]; then
		for name in "$now"/*.run; do
			name="${name##*/}"
			name="${name%.run}"
			[ "$name" = "*" ] || [ -d "$plan/$name" ] || procd_end_instance "$PROCD_SERVICE" "$name"
		done
	fi
	for name in "$plan"/*/; do
		name="${name%/}"
		[ -d "$name" ] && procd_set_instance "$PROCD_SERVICE" "${name##*/}" "$name"
	done
	rm -rf "$plan"
}

procd_kill() {
	local service="$1" name="$2" run
	if [ -n "$name" ]; then
		procd_end_instance "$service" "$name"
		return
	fi
	rm -f "$PROCD_STATE/$service/triggers"
	for run in "$PROCD_STATE/$service"/*.run; do
		run="${run##*/}"
		[ "$run" = "*.run" ] || procd_end_instance "$service" "${run%.run}"
	done
}

procd_send_signal() {
	local service="$1" name="$2" signal="${3:-HUP}" run
	for run in "$PROCD_STATE/$service"/*.run; do
		run="${run##*/}"
		run="${run%.run}"
		[ -n "$name" ] && [ "$name" != "*" ] && [ "$name" != "$run" ] && continue
		procd_alive "$service" "$run" pid && kill "-$signal" "$(procd_now "$service" "$run" pid)"
	done
	return 0
}

procd_running() {
	local service="$1" name="$2" run
	for run in "$PROCD_STATE/$service"/*.run; do
		run="${run##*/}"
		run="${run%.run}"
		[ -n "$name" ] && [ "$name" != "*" ] && [ "$name" != "$run" ] && continue
		procd_alive "$service" "$run" pid && return 0
	done
	return 1
}

procd_status() {
	if [ ! -d "$PROCD_STATE/$1" ]; then
		echo inactive
		return 3
	elif procd_running "$1" "$2"; then
		echo running
	elif [ -z "$(ls -d "$PROCD_STATE/$1"/*.run 2>/dev/null)" ]; then
		echo "active with no instances"
	else
		echo "not running"
		return 5
	fi
}
