# validate_data TYPE VALUE, and validate_data PACKAGE TYPE SECTION OPTION:TYPE[:DEFAULT]...
# The second form prints shell assignments of the options, with an empty SECTION a description of them.

function whole(string, pattern)
{
	return string ~ ("^(" pattern ")$")
}

# Takes the arguments of a type apart at the commas that are in no parentheses.
function arguments(list, into,    i, c, depth, n, from, quoted)
{
	from = 1
	for (i = 1; i <= length(list) + 1; i++) {
		c = substr(list, i, 1)
		if (quoted) {
			if (c == quoted)
				quoted = ""
		} else if (c == "\"" || c == "'")
			quoted = c
		else if (c == "(")
			depth++
		else if (c == ")")
			depth--
		else if ((c == "," || c == "") && !depth) {
			into[++n] = substr(list, from, i - from)
			from = i + 1
		}
	}
	return n
}

# As strtol takes them, with 0 for the base: a leading zero makes them octal.
function is_integer(v)
{
	return whole(v, "-?([1-9][0-9]*|0[0-7]*|0[xX][0-9a-fA-F]+)")
}

# Whether `v` is of the type `t`; what kind of value that is goes to `kind`.
function valid(t, v,    fun, list, n, arg, i, ok, rest)
{
	gsub(/^ +| +$/, "", t)
	if (t ~ /^["']/) {
		kind = "string"
		return v == substr(t, 2, length(t) - 2)
	}
	if (whole(t, "-?[0-9]+")) {
		kind = "number"
		return v == t
	}
	fun = t
	list = ""
	if (index(t, "(")) {
		fun = substr(t, 1, index(t, "(") - 1)
		list = substr(t, index(t, "(") + 1)
		sub(/\)[^)]*$/, "", list)
	}
	n = list == "" ? 0 : arguments(list, arg)
	if (fun == "or") {
		for (i = 1; i <= n; i++)
			if (valid(arg[i], v))
				return 1
		return 0
	}
	if (fun == "and") {
		ok = 1
		for (i = 1; i <= n && ok; i++)
			ok = valid(arg[i], v)
		return ok
	}
	if (fun == "not")
		return !valid(arg[1], v)
	if (fun == "list") {
		n = split(v, rest, /[ \t]+/)
		for (i = 1; i <= n; i++)
			if (rest[i] != "" && !valid(arg[1], rest[i]))
				return 0
		return 1
	}
	kind = fun ~ /^(min|max|range|u?integer|u?float|port)$/ ? "number" : fun == "bool" ? "bool" : "string"
	if (fun == "bool")
		return whole(tolower(v), "0|off|false|no|disabled|1|on|true|yes|enabled")
	if (fun == "integer")
		return is_integer(v)
	if (fun == "uinteger")
		return is_integer(v) && v !~ /^-/
	if (fun == "min")
		return is_integer(v) && v + 0 >= arg[1] + 0
	if (fun == "max")
		return is_integer(v) && v + 0 <= arg[1] + 0
	if (fun == "range")
		return is_integer(v) && v + 0 >= arg[1] + 0 && v + 0 <= arg[2] + 0
	if (fun == "port")
		return whole(v, "[0-9]+") && v + 0 <= 65535
	if (fun == "string" || fun == "minlength" || fun == "maxlength" || fun == "rangelength")
		return (n < 1 || fun == "maxlength" || length(v) >= arg[1] + 0) \
			&& (fun != "maxlength" || length(v) <= arg[1] + 0) \
			&& (n < 2 || length(v) <= arg[2] + 0)
	if (fun == "uciname")
		return whole(v, "[A-Za-z0-9_]*")
	if (fun == "hostname")
		return whole(v, "[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*")
	if (fun == "ip4addr")
		return whole(v, "[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+")
	if (fun == "file")
		return system("[ -f " quote(v) " ]") == 0
	if (fun == "directory")
		return system("[ -d " quote(v) " ]") == 0
	print "Syntax error, unrecognized function"
	return 0
}

function number_of(v)
{
	v = tolower(v)
	return v ~ /^(1|on|true|yes|enabled)$/ ? "1" : "0"
}

function shown(v,    text)
{
	if (kind == "bool")
		return number_of(v)
	if (kind != "string")
		return v
	text = v
	gsub(/'/, "'\"'\"'", text)
	return "'" text "'"
}

function assign(option_name, v, ok)
{
	if (!ok || v == "")
		printf "unset -v %s; ", option_name
	else
		printf "%s=%s; ", option_name, shown(v)
}

# One OPTION:TYPE[:DEFAULT] of section s; whether it is right.
function check_option(s, tuple,    part, o, v, ok, any, where, n)
{
	n = split(tuple, part, ":")
	if (n < 2) {
		print tuple " is not a valid option" > "/dev/stderr"
		return 0
	}
	where = package "." section "." part[1]
	o = s ? find_option(s, part[1]) : 0
	ok = 1
	for (v = 1; o && v <= values[s, o]; v++) {
		if (value[s, o, v] == "")
			continue
		ok = valid(part[2], value[s, o, v])
		if (!list[s, o])
			assign(part[1], value[s, o, v], ok)
		else
			printf "%s%s", any ? "\\ " : part[1] "=", ok ? shown(value[s, o, v]) : ""
		any = 1
		printf "%s%s=%s validates as %s with %s\n", where, list[s, o] ? "[" (v - 1) "]" : "",
			value[s, o, v], part[2], ok ? "true" : "false" > "/dev/stderr"
	}
	if (any && list[s, o])
		printf "; "
	if (!any) {
		kind = "string"
		if (part[3] != "")
			valid(part[2], part[3])
		assign(part[1], part[3], 1)
		print where " is unset and defaults to " part[2] " " part[3] > "/dev/stderr"
	}
	return ok
}

BEGIN {
	conf_dir = "/etc/config"
	save_dir = "/tmp/.uci"
	if (ARGC == 3) {
		ok = valid(ARGV[1], ARGV[2])
		print ARGV[1] " - " ARGV[2] " = " (ok ? "true" : "false") > "/dev/stderr"
		exit !ok
	}
	if (ARGC < 5)
		exit 255
	package = ARGV[1]
	section = ARGV[3]
	if (section == "") {
		printf "json_add_object; json_add_string \"package\" \"%s\"; json_add_string \"type\" \"%s\"; ",
			package, ARGV[2]
		printf "json_add_object \"data\"; "
		for (i = 4; i < ARGC; i++)
			if (split(ARGV[i], part, ":") >= 2)
				printf "json_add_string \"%s\" \"%s\"; ", part[1], part[2]
		print "json_close_object; json_close_object; "
		exit 0
	}
	if (!load(package))
		exit 255
	for (i = 4; i < ARGC; i++)
		if (!check_option(find_section(section), ARGV[i]))
			wrong = 255
	exit wrong
}
