# The commands of uci: get, show, export, set, add, add_list, del_list, delete, commit, revert, changes.
# Compared with the real one: several commands in one line of a file, by semicolons, are read differently.

function fail(why)
{
	if (!quiet)
		print "uci: " why > "/dev/stderr"
	exit status = 1
}

# Takes PACKAGE[.SECTION[.OPTION]][=VALUE] apart.
function split_path(path,    at_value, n, part)
{
	at_value = index(path, "=")
	has_value = at_value > 0
	new_value = has_value ? substr(path, at_value + 1) : ""
	if (has_value)
		path = substr(path, 1, at_value - 1)
	n = split(path, part, ".")
	package = n >= 1 ? part[1] : ""
	section = n >= 2 ? part[2] : ""
	called = n >= 3 ? part[3] : ""
	if (package == "" || n > 3 || (n > 1 && section == "") || (n > 2 && called !~ /^[A-Za-z0-9_]+$/))
		fail("Invalid argument")
}

function need_package()
{
	if (!load(package))
		fail(parse_error != "" ? "Parse error (" parse_error ")" : "Entry not found")
}

function need_section()
{
	need_package()
	found_section = find_section(section)
	if (!found_section)
		fail("Entry not found")
}

function save(    made)
{
	if (!made++)
		system("mkdir -p " save_dir)
	print_package("", delta_of(package), 0)
}

function show_section(s,    o, v, line, shown)
{
	shown = name[s]
	if (anonymous[s])
		shown = "@" type[s] "[" of_type[type[s]] + 0 "]"
	of_type[type[s]]++
	if (section != "" && !called)
		shown = section
	if (!called)
		print package "." shown "=" type[s]
	for (o = 1; o <= options[s]; o++) {
		if (called != "" && option[s, o] != called)
			continue
		line = ""
		for (v = 1; v <= values[s, o]; v++)
			line = line (v > 1 ? " " : "") quote(value[s, o, v])
		print package "." (called != "" ? section : shown) "." option[s, o] "=" line
	}
}

function command_show(    s)
{
	need_package()
	for (s = 1; s <= sections; s++)
		if (section == "" || find_section(section) == s)
			show_section(s)
	if (section != "" && !find_section(section))
		fail("Entry not found")
}

function command_get(    o, v, line)
{
	need_section()
	if (called == "") {
		print type[found_section]
		return
	}
	o = find_option(found_section, called)
	if (!o)
		fail("Entry not found")
	for (v = 1; v <= values[found_section, o]; v++)
		line = line (v > 1 ? " " : "") \
			(list[found_section, o] && value[found_section, o, v] ~ /[ \t\r\n]/ \
				? quote(value[found_section, o, v]) : value[found_section, o, v])
	print line
}

function drop_option(s, o,    i, v)
{
	for (i = o; i < options[s]; i++) {
		option[s, i] = option[s, i + 1]
		list[s, i] = list[s, i + 1]
		values[s, i] = values[s, i + 1]
		for (v = 1; v <= values[s, i]; v++)
			value[s, i, v] = value[s, i + 1, v]
	}
	options[s]--
}

function drop_section(s,    i, o, v)
{
	for (i = s; i < sections; i++) {
		type[i] = type[i + 1]
		name[i] = name[i + 1]
		anonymous[i] = anonymous[i + 1]
		options[i] = options[i + 1]
		for (o = 1; o <= options[i]; o++) {
			option[i, o] = option[i + 1, o]
			list[i, o] = list[i + 1, o]
			values[i, o] = values[i + 1, o]
			for (v = 1; v <= values[i, o]; v++)
				value[i, o, v] = value[i + 1, o, v]
		}
	}
	sections--
}

function command_set()
{
	if (!has_value || section == "")
		fail("Invalid argument")
	need_package()
	found_section = find_section(section)
	if (called == "") {
		if (found_section)
			type[found_section] = new_value
		else
			add_section(new_value, section)
	} else if (!found_section)
		fail("Invalid argument")
	else if (new_value == "")
		drop_if_there()
	else {
		add_option(found_section, called, 0)
		values[found_section, find_option(found_section, called)] = 0
		add_value(found_section, called, 0, new_value)
	}
	save()
}

function drop_if_there(    o)
{
	o = find_option(found_section, called)
	if (o)
		drop_option(found_section, o)
	return o
}

function command_delete()
{
	need_section()
	if (called == "")
		drop_section(found_section)
	else if (!drop_if_there())
		fail("Entry not found")
	save()
}

function command_del_list(    o, v, n)
{
	need_section()
	o = find_option(found_section, called)
	for (v = 1; o && v <= values[found_section, o]; v++)
		if (value[found_section, o, v] != new_value)
			value[found_section, o, ++n] = value[found_section, o, v]
	if (o)
		values[found_section, o] = n + 0
	if (o && !n)
		drop_option(found_section, o)
	save()
}

function command_commit(    file)
{
	if (!there(delta_of(package)))
		return
	need_package()
	file = file_of(package) ".new"
	print_package("", file, 0)
	system("mv " file " " file_of(package) " && chmod 600 " file_of(package) " && rm -f " delta_of(package))
}

function each_changed(what,    file, files)
{
	files = "ls " save_dir " 2>/dev/null"
	while ((files | getline file) > 0) {
		package = file
		if (what == "commit")
			command_commit()
		else
			print "# " package " is changed"
	}
	close(files)
}

BEGIN {
	conf_dir = "/etc/config"
	save_dir = "/tmp/.uci"
	for (i = 1; i < ARGC && ARGV[i] ~ /^-/; i++) {
		if (ARGV[i] == "-q")
			quiet = 1
		else if (ARGV[i] == "-c")
			conf_dir = ARGV[++i]
		else if (ARGV[i] == "-t")
			save_dir = ARGV[++i]
		else if (ARGV[i] == "-n")
			with_names = 1
		else if (ARGV[i] == "-S")
			lenient = 1
		else if (ARGV[i] ~ /^-[pPdCf]$/)
			i++
	}
	command = ARGV[i++]
	path = ARGV[i++]
	if (path == "" && (command == "commit" || command == "changes")) {
		each_changed(command)
		exit 0
	}
	split_path(path)
	if (command == "get")
		command_get()
	else if (command == "show")
		command_show()
	else if (command == "export") {
		need_package()
		print_package(package, "/dev/stdout", with_names)
	} else if (command == "set")
		command_set()
	else if (command == "add") {
		need_package()
		add_section(ARGV[i], "")
		name_sections()
		print name[sections]
		save()
	} else if (command == "add_list") {
		need_section()
		if (find_option(found_section, called))
			list[found_section, find_option(found_section, called)] = 1
		add_value(found_section, called, 1, new_value)
		save()
	} else if (command == "del_list")
		command_del_list()
	else if (command == "delete" || command == "del")
		command_delete()
	else if (command == "commit")
		command_commit()
	else if (command == "revert")
		system("rm -f " delta_of(package))
	else if (command == "changes") {
		if (there(delta_of(package)))
			print "# " package " is changed"
	} else
		fail("there is no command " command " in this stand-in")
	exit status
}
