# Reads and writes configuration in uci's format. A package is kept in these arrays:
#   type[s], name[s], anonymous[s]      its sections, s from 1 to sections
#   options[s], option[s, o]            the names of their options
#   list[s, o]                          whether an option is a list
#   values[s, o], value[s, o, v]        its values

function file_of(package)
{
	return conf_dir "/" package
}

function delta_of(package)
{
	return save_dir "/" package
}

function there(file,    line, got)
{
	got = (getline line < file) >= 0
	close(file)
	return got
}

# The text of a file, or "" if it is empty; whether it is there is in `found`.
function slurp(file,    line, text, got)
{
	text = ""
	found = 0
	while ((got = (getline line < file)) > 0) {
		text = text line "\n"
		found = 1
	}
	if (got == 0)
		found = 1
	close(file)
	return text
}

# The next word of `text` from `at` on: 1 for a word, in `word`; 0 at the end of a line; -1 at the end.
function next_word(    c, quoted)
{
	word = ""
	while (substr(text, at, 1) ~ /[ \t\r]/ && at <= length_of_text)
		at++
	if (at > length_of_text)
		return -1
	c = substr(text, at, 1)
	if (c == "\n" || c == ";") {
		at++
		return 0
	}
	if (c == "#") {
		while (at <= length_of_text && substr(text, at, 1) != "\n")
			at++
		return next_word()
	}
	for (; at <= length_of_text; at++) {
		c = substr(text, at, 1)
		if (c ~ /[ \t\r\n;#]/)
			break
		if (c == "'" || c == "\"") {
			quoted = c
			for (at++; at <= length_of_text; at++) {
				c = substr(text, at, 1)
				if (c == quoted)
					break
				if (c == "\\" && quoted == "\"")
					c = substr(text, ++at, 1)
				word = word c
			}
			if (at > length_of_text)
				parse_error = cut = "EOF with unterminated " quoted
		} else if (c == "\\") {
			c = substr(text, ++at, 1)
			if (c != "\n")
				word = word c
		} else
			word = word c
	}
	return 1
}

# How uci names a section that has no name: its place, and a hash of what is in it.
function hash_of(hash, string,    i)
{
	for (i = 1; i <= length(string); i++)
		hash = (hash * 33 + ord[substr(string, i, 1)]) % 4294967296
	return hash
}

function name_sections(    s, o, v, hash)
{
	for (s = 1; s <= sections; s++) {
		if (name[s] != "")
			continue
		hash = hash_of(4294967295, type[s])
		for (o = 1; o <= options[s]; o++) {
			hash = hash_of(hash, option[s, o])
			if (!list[s, o])
				hash = hash_of(hash, value[s, o, 1])
		}
		name[s] = sprintf("cfg%02x%04x", s, hash % 65536)
	}
}

function find_option(s, wanted,    o)
{
	for (o = 1; o <= options[s]; o++)
		if (option[s, o] == wanted)
			return o
	return 0
}

function add_section(kind, called)
{
	sections++
	type[sections] = kind
	name[sections] = called
	anonymous[sections] = called == ""
	options[sections] = 0
	return sections
}

function add_option(s, called, is_list,    o)
{
	o = find_option(s, called)
	if (!o) {
		o = ++options[s]
		option[s, o] = called
		values[s, o] = 0
	} else if (!is_list || !list[s, o])
		values[s, o] = 0
	list[s, o] = is_list
	return o
}

function add_value(s, called, is_list, text_of_value,    o)
{
	o = add_option(s, called, is_list)
	value[s, o, ++values[s, o]] = text_of_value
}

# Reads a package; 0 if there is none or it cannot be read.
function load(package,    got, words, w, s, o, i, file)
{
	for (i = 0; i < 256; i++)
		ord[sprintf("%c", i)] = i
	file = delta_of(package)
	text = slurp(file)
	if (!found) {
		file = file_of(package)
		text = slurp(file)
	}
	if (!found)
		return 0
	at = 1
	length_of_text = length(text)
	sections = s = 0
	parse_error = cut = ""
	do {
		words = 0
		while ((got = next_word()) > 0)
			w[++words] = word
		if (cut != "")
			words = 0
		if (words && w[1] == "config" && words <= 3) {
			s = 0
			for (i = 1; words == 3 && i <= sections; i++)
				if (name[i] == w[3])
					s = i
			if (!s)
				s = add_section(w[2], words == 3 ? w[3] : "")
		} else if (words == 3 && (w[1] == "option" || w[1] == "list") && s)
			add_value(s, w[2], w[1] == "list", w[3])
		else if (words == 2 && w[1] == "option" && s)
			add_value(s, w[2], 0, "")
		else if (words && !(w[1] == "package" && words == 2))
			parse_error = "invalid command"
	} while (got >= 0)
	# With -S, as config_load has it, what is wrong is passed over, and all else is taken.
	if (parse_error != "" && !lenient)
		return 0
	name_sections()
	return 1
}

function quote(string)
{
	gsub(/'/, "'\\''", string)
	return "'" string "'"
}

function print_package(package, file, with_names,    s, o, v, called)
{
	printf "%s", package == "" ? "" : "package " package "\n" > file
	for (s = 1; s <= sections; s++) {
		called = !anonymous[s] || with_names ? " " quote(name[s]) : ""
		printf "\nconfig %s%s\n", type[s], called > file
		for (o = 1; o <= options[s]; o++)
			for (v = 1; v <= values[s, o]; v++)
				printf "\t%s %s %s\n", list[s, o] ? "list" : "option", option[s, o],
					quote(value[s, o, v]) > file
	}
	if (package != "" || sections)
		printf "\n" > file
	close(file)
}

# The number of the section that NAME or @TYPE[INDEX] means, or 0.
function find_section(wanted,    s, kind, index_of, n, last)
{
	if (substr(wanted, 1, 1) != "@") {
		for (s = 1; s <= sections; s++)
			if (name[s] == wanted)
				return s
		return 0
	}
	if (wanted !~ /^@[^\[]*\[-?[0-9]+\]$/)
		return 0
	kind = substr(wanted, 2, index(wanted, "[") - 2)
	index_of = substr(wanted, index(wanted, "[") + 1) + 0
	for (s = 1; s <= sections; s++)
		if (type[s] == kind)
			last++
	if (index_of < 0)
		index_of += last
	for (s = 1; s <= sections; s++)
		if (type[s] == kind && n++ == index_of)
			return s
	return 0
}
