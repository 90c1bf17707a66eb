use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::report::Report;

/// A file that is gone with this.
struct Temp(PathBuf);

impl Temp {
    fn new(content: &[u8]) -> Temp {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ecohttpd-rules-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).unwrap();
        Temp(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn read(files: &[&str]) -> (Rules, Report) {
    let (mut rules, mut report) = (Rules::default(), Report::default());
    for file in files {
        let file = Temp::new(file.as_bytes());
        rules.read(&file.0, &mut report);
        for line in report.mistakes.iter_mut().chain(&mut report.notes) {
            *line = line.replace(file.0.to_str().unwrap(), "F");
        }
    }
    (rules, report)
}

fn rules(files: &[&str]) -> Rules {
    let (rules, report) = read(files);
    assert_eq!(report.mistakes, Vec::<String>::new(), "{files:?}");
    rules
}

fn run(rules: &Rules, stage: Stage, vars: &[(&str, &str)]) -> Outcome {
    let vars: HashMap<_, _> = vars.iter().copied().collect();
    let mut var = |name: &str| vars.get(name).map(|&value| value.to_owned());
    smol::future::block_on(rules.run(stage, &mut var))
}

/// What a file with this program for requests makes of these variables.
fn request(program: &str, vars: &[(&str, &str)]) -> Outcome {
    let rules = rules(&[&format!("{{\"request\": [{program}]}}")]);
    run(&rules, Stage::Request, vars)
}

/// Whether an expression holds.
fn holds(expr: &str, vars: &[(&str, &str)]) -> bool {
    let outcome = request(&format!("[\"if\", {expr}, [\"no-cache\"]]"), vars);
    outcome.no_cache
}

fn redirect(location: &str, status: u16, reason: Option<&str>) -> Option<End> {
    let reason = reason.map(str::to_owned);
    Some(End::Redirect { location: location.into(), status, reason })
}

fn rewrite(url: &str) -> Option<End> {
    Some(End::Rewrite(url.into()))
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

#[test]
fn redirects_have_a_status_and_a_reason() {
    for (command, location, status, reason) in [
        (r#"["redirect", "/new"]"#, "/new", 302, None),
        (r#"["redirect", "https://r.lan/", 301]"#, "https://r.lan/", 301, None),
        (r#"["redirect", "/%HTTP_HOST%", 308, "To %HTTP_HOST%"]"#, "/box", 308, Some("To box")),
        (r#"["redirect", "/%HTTP_HOST%/%HTTP_NONE%", 300]"#, "/box/", 300, None),
        (r#"["redirect", "/a b\u00e9%%20"]"#, "/a%20b%C3%A9%20", 302, None),
    ] {
        let outcome = request(command, &[("HTTP_HOST", "box")]);
        assert_eq!(outcome.end, redirect(location, status, reason), "{command}");
    }
}

#[test]
fn rewrites_are_paths() {
    let vars = [("REQUEST_URI", "/x?y"), ("HTTP_HOST", "h")];
    for (url, end) in [
        ("/index.html", rewrite("/index.html")),
        ("/cgi-bin/app?from=%REQUEST_URI%", rewrite("/cgi-bin/app?from=/x?y")),
        ("%REQUEST_URI%&z", rewrite("/x?y&z")),
        ("%HTTP_HOST%/a", None),
        ("%HTTP_NONE%", None),
    ] {
        assert_eq!(request(&format!("[\"rewrite\", \"{url}\"]"), &vars).end, end, "{url}");
    }
}

#[test]
fn headers_and_no_cache_are_gathered() {
    let program = r#"[
        ["add-header", "X-From", "%REMOTE_ADDR%"],
        ["add-header", "X-From", "100%%"],
        ["no-cache"],
        ["add-header", "X-%HTTP_X%", ""]
    ]"#;
    let outcome = request(program, &[("REMOTE_ADDR", "::1"), ("HTTP_X", "y")]);
    let headers = vec![header("X-From", "::1"), header("X-From", "100%"), header("X-y", "")];
    assert_eq!(outcome, Outcome { headers, no_cache: true, end: None });
}

#[test]
fn nothing_can_be_slipped_into_an_answer() {
    let long = "x".repeat(MOST);
    let vars = [("HTTP_X", "a\r\nb\u{7f}"), ("HTTP_L", &long), ("HTTP_N", "Content-Length")];
    let headers = r#"[
        ["add-header", "X", "%HTTP_X%"],
        ["add-header", "X%HTTP_X%", "x"],
        ["add-header", "X", "%HTTP_L%%HTTP_L%"],
        ["add-header", "%HTTP_N%", "5"],
        ["add-header", "%HTTP_NONE%", "5"]
    ]"#;
    assert_eq!(request(headers, &vars), Outcome::default());
    let outcome = request(r#"["redirect", "/%HTTP_X%", 302, "%HTTP_X%"]"#, &vars);
    assert_eq!(outcome.end, redirect("/a%0D%0Ab%7F", 302, None));
    assert_eq!(request(r#"["rewrite", "/%HTTP_X%"]"#, &vars).end, rewrite("/a%0D%0Ab%7F"));
    // What cannot be sent does not end the run.
    let rest = r#"[["redirect", "/%HTTP_L%"], ["rewrite", "%HTTP_NONE%"], ["no-cache"]]"#;
    assert_eq!(request(rest, &vars), Outcome { no_cache: true, ..Outcome::default() });
}

#[test]
fn if_has_two_branches() {
    let both = r#"["if", ["has", "HTTPS"], ["rewrite", "/s"], [["no-cache"], ["rewrite", "/p"]]]"#;
    assert_eq!(request(both, &[("HTTPS", "on")]).end, rewrite("/s"));
    let plain = request(both, &[]);
    assert_eq!((plain.end, plain.no_cache), (rewrite("/p"), true));
    let one = r#"["if", ["has", "HTTPS"], []]"#;
    assert_eq!(request(one, &[("HTTPS", "on")]), Outcome::default());
    assert_eq!(request(one, &[]), Outcome::default());
}

#[test]
fn case_looks_for_the_value() {
    let case =
        r#"["case", "HTTP_HOST", {"a": ["rewrite", "/a"], "": [["rewrite", "/e"]], "b": []}]"#;
    for (vars, end) in [
        (&[("HTTP_HOST", "a")][..], rewrite("/a")),
        (&[("HTTP_HOST", "")], rewrite("/e")),
        (&[("HTTP_HOST", "b")], None),
        (&[("HTTP_HOST", "A")], None),
        (&[], None),
    ] {
        assert_eq!(request(case, vars).end, end, "{vars:?}");
    }
}

#[test]
fn return_ends_its_file_and_an_end_ends_all() {
    let returns = r#"{"request": [[
        [[["add-header", "A", "1"], ["if", ["has", "HTTPS"], [[["return", "x"]]]]]],
        ["add-header", "A", "2"]
    ]]}"#;
    let next = r#"{"request": [[["add-header", "A", "3"], ["rewrite", "/x"], ["no-cache"]]]}"#;
    let rules = rules(&[returns, next, r#"{"request": [["no-cache"]]}"#]);
    let outcome = run(&rules, Stage::Request, &[("HTTPS", "on")]);
    let headers = vec![header("A", "1"), header("A", "3")];
    assert_eq!(outcome, Outcome { headers, no_cache: false, end: rewrite("/x") });
    let headers = run(&rules, Stage::Request, &[]).headers;
    assert_eq!(headers, [header("A", "1"), header("A", "2"), header("A", "3")]);
}

#[test]
fn stages_are_apart() {
    let rules = rules(&[
        r#"{"fallback": [["rewrite", "/f"]]}"#,
        r#"{"request": [["rewrite", "/r"]], "fallback": [["rewrite", "/g"]]}"#,
    ]);
    assert!(!rules.is_empty() && Rules::default().is_empty());
    assert_eq!(run(&rules, Stage::Request, &[]).end, rewrite("/r"));
    assert_eq!(run(&rules, Stage::Fallback, &[]).end, rewrite("/f"));
    assert_eq!(run(&Rules::default(), Stage::Fallback, &[]), Outcome::default());
}

#[test]
fn expressions_hold_or_not() {
    let long = "x".repeat(MOST + 1);
    let vars = [("HTTP_A", "abc"), ("HTTP_E", ""), ("HTTP_L", &long), ("HTTP_Z", "a\0b")];
    for (expr, is) in [
        (r#"["eq", "HTTP_A", "abc"]"#, true),
        (r#"["eq", "HTTP_A", "ab"]"#, false),
        (r#"["eq", "HTTP_A", ["x", "abc"]]"#, true),
        (r#"["eq", "HTTP_A", []]"#, false),
        (r#"["eq", "HTTP_NONE", ""]"#, false),
        (r#"["eq", "HTTP_E", ""]"#, true),
        (r#"["regex", "HTTP_A", "^a.c$"]"#, true),
        (r#"["regex", "HTTP_A", "^b"]"#, false),
        (r#"["regex", "HTTP_A", ["^x", "b|y"]]"#, true),
        (r#"["regex", "HTTP_A", "%HTTP_A%"]"#, false),
        (r#"["regex", "HTTP_NONE", ""]"#, false),
        (r#"["regex", "HTTP_L", "x"]"#, false),
        (r#"["regex", "HTTP_Z", "a"]"#, true),
        (r#"["has", "HTTP_E"]"#, true),
        (r#"["has", "HTTP_NONE"]"#, false),
        (r#"["has", ["HTTP_NONE", "HTTP_A"]]"#, true),
        (r#"["not", ["has", "HTTP_A"]]"#, false),
        (r#"["not", ["has", "HTTP_NONE"]]"#, true),
        (r#"["and"]"#, true),
        (r#"["or"]"#, false),
        (r#"["and", ["has", "HTTP_A"], ["has", "HTTP_E"]]"#, true),
        (r#"["and", ["has", "HTTP_A"], ["has", "HTTP_NONE"]]"#, false),
        (r#"["or", ["has", "HTTP_NONE"], ["has", "HTTP_A"]]"#, true),
        (r#"["or", ["has", "HTTP_NONE"], ["and", ["or"]]]"#, false),
    ] {
        assert_eq!(holds(expr, &vars), is, "{expr}");
    }
}

#[test]
fn directories_are_looked_for() {
    let vars = [("DOCUMENT_ROOT", "/"), ("SCRIPT_NAME", "proc"), ("HTTP_Z", "/\0")];
    for (expr, is) in [
        (r#"["isdir", "/"]"#, true),
        (r#"["isdir", "%DOCUMENT_ROOT%%SCRIPT_NAME%"]"#, true),
        (r#"["isdir", "/dev/null"]"#, false),
        (r#"["isdir", "/nonexistent"]"#, false),
        (r#"["isdir", ""]"#, false),
        (r#"["isdir", "%HTTP_Z%"]"#, false),
        (r#"["and", ["isdir", "/"], ["not", ["isdir", "/x"]], ["isdir", "/proc"]]"#, true),
    ] {
        assert_eq!(holds(expr, &vars), is, "{expr}");
    }
    // What was gathered before is not there twice.
    let program = r#"[["add-header", "A", "1"], ["if", ["isdir", "/"], ["add-header", "B", "2"]]]"#;
    assert_eq!(request(program, &[]).headers, [header("A", "1"), header("B", "2")]);
}

#[test]
fn a_run_ends_though_its_variables_change() {
    let rules = rules(&[r#"{"request": [["if", ["isdir", "/%REQUEST_URI%"], ["no-cache"]]]}"#]);
    let mut n = 0;
    let mut var = |_: &str| {
        n += 1;
        Some(n.to_string())
    };
    let outcome = smol::future::block_on(rules.run(Stage::Request, &mut var));
    assert_eq!((outcome, n), (Outcome::default(), LOOKS + 1));
}

#[test]
fn rules_as_they_are_written() {
    let by_host = r#"
        ["if", ["and", ["not", ["has", "HTTPS"]], ["regex", "HTTP_HOST", "^(www\\.)?old\\.lan(:[0-9]+)?$"]],
            ["redirect", "https://new.lan%REQUEST_URI%", 301, "Moved Permanently"]]"#;
    let old = [("HTTP_HOST", "www.old.lan:80"), ("REQUEST_URI", "/a?b=c")];
    let moved = redirect("https://new.lan/a?b=c", 301, Some("Moved Permanently"));
    assert_eq!(request(by_host, &old).end, moved);
    assert_eq!(request(by_host, &[("HTTP_HOST", "new.lan")]).end, None);

    let moved = r#"["if", ["regex", "REQUEST_URI", ["^/old/", "^/older$"]],
        ["rewrite", "/cgi-bin/old?%REQUEST_URI%"]]"#;
    let uri = |uri| request(moved, &[("REQUEST_URI", uri)]).end;
    assert_eq!(uri("/old/page"), rewrite("/cgi-bin/old?/old/page"));
    assert_eq!(uri("/older"), rewrite("/cgi-bin/old?/older"));
    assert_eq!(uri("/not/old/"), None);

    let app = rules(&[r#"{"fallback": [["rewrite", "/index.html"]]}"#]);
    assert_eq!(run(&app, Stage::Fallback, &[]).end, rewrite("/index.html"));
    assert_eq!(run(&app, Stage::Request, &[]).end, None);
}

#[test]
fn every_mistake_has_its_line() {
    let request = |command: &str| format!("{{\n\"request\":\n[\n{command}\n]\n}}");
    let condition = |expr: &str| request(&format!("[\"if\",\n{expr}, []]"));
    for (file, line, why) in [
        ("".into(), 1, "it ends where a value"),
        ("{\n\"request\" []}".into(), 2, "a colon"),
        ("\n[]".into(), 2, "an object with"),
        ("\n{}".into(), 2, "neither \"request\" nor"),
        ("{\"request\": [],\n\"other\": []}".into(), 2, "\"other\" is neither"),
        ("{\"request\": [],\n\"request\": []}".into(), 2, "\"request\" is there twice"),
        ("{\"fallback\":\n{}}".into(), 2, "an array with a command"),
        ("{\"fallback\":\n\"x\"}".into(), 2, "an array with a command"),
        ("{\"fallback\":\n[\"rewrite\", \"/\"]}".into(), 2, "another pair of brackets"),
        (request("[\"no-cache\"],\n[\"return\"]"), 5, "only the first entry"),
        (request("[\"no-cache\"],\n7"), 5, "only the first entry"),
        (request("7"), 4, "a command is expected"),
        (request("null"), 4, "a command is expected"),
        (request("[[\"no-cache\"],\n\"no-cache\"]"), 5, "a command is expected"),
        (request("[[\"no-cache\"],\n{}]"), 5, "a command is expected"),
        (request("[\"nonsense\", 1]"), 4, "\"nonsense\" is no command"),
        (request("[\"eq\", \"HTTPS\", \"on\"]"), 4, "\"eq\" is no command"),
        (request("[\"include\", \"/x\"]"), 4, "\"include\" is not possible"),
        (request("[\"if\", [\"and\"]]"), 4, "\"if\" takes"),
        (request("[\"if\", [\"and\"], [], [], []]"), 4, "\"if\" takes"),
        (request("[\"if\", [\"and\"],\n\"return\"]"), 5, "a command is expected"),
        (request("[\"case\", \"HTTPS\"]"), 4, "\"case\" takes"),
        (request("[\"case\", 1, {}]"), 4, "a string is expected"),
        (request("[\"case\", \"HTTPS\",\n[]]"), 5, "an object with values"),
        (request("[\"case\", \"HTTPS\", {\"a\":\n1}]"), 5, "a command is expected"),
        (request("[\"case\", \"HTTPS\", {\"a\": [],\n\"a\": []}]"), 5, "\"a\" is there twice"),
        (request("[\"redirect\"]"), 4, "\"redirect\" takes"),
        (request("[\"redirect\", \"/\", 301, \"x\", 1]"), 4, "\"redirect\" takes"),
        (request("[\"redirect\",\n301]"), 5, "a string is expected"),
        (request("[\"redirect\", \"\"]"), 4, "a URL is expected"),
        (request("[\"redirect\", \"/\\n\"]"), 4, "a control character"),
        (request("[\"redirect\", \"/\",\n299]"), 5, "the status"),
        (request("[\"redirect\", \"/\", 309]"), 4, "the status"),
        (request("[\"redirect\", \"/\", 301.0]"), 4, "the status"),
        (request("[\"redirect\", \"/\", 99999]"), 4, "the status"),
        (request("[\"redirect\", \"/\", \"301\"]"), 4, "the status"),
        (request("[\"redirect\", \"/\", 301, \"\\u0007\"]"), 4, "a control character"),
        (request("[\"redirect\", \"/\", 301, 1]"), 4, "a string is expected"),
        (request("[\"rewrite\", \"/a\", \"/b\"]"), 4, "\"rewrite\" takes"),
        (request("[\"rewrite\", \"index.html\"]"), 4, "begins with a slash"),
        (request("[\"rewrite\", \"http://x/%HTTP_X%\"]"), 4, "begins with a slash"),
        (request("[\"rewrite\", \"%%/\"]"), 4, "begins with a slash"),
        (request("[\"rewrite\", \"/%HTTP_HOST\"]"), 4, "without its second percent sign"),
        (request("[\"rewrite\", \"/%%%\"]"), 4, "without its second percent sign"),
        (request("[\"rewrite\", \"/a%20b%20c\"]"), 4, "\"20b\" is no variable"),
        (request("[\"add-header\", \"X\"]"), 4, "\"add-header\" takes"),
        (request("[\"add-header\", \"\", \"x\"]"), 4, "not the name of a header"),
        (request("[\"add-header\", \"X:\", \"x\"]"), 4, "not the name of a header"),
        (request("[\"add-header\", \"X %HTTP_X%\", \"x\"]"), 4, "not the name of a header"),
        (request("[\"add-header\", \"content-length\", \"5\"]"), 4, "only the server itself"),
        (request("[\"add-header\", \"X\",\n\"a\\r\\nb\"]"), 5, "a control character"),
        (request("[\"add-header\", \"X\", 5]"), 4, "a string is expected"),
        (request("[\"no-cache\", true]"), 4, "\"no-cache\" takes no"),
        (condition("true"), 5, "an expression is expected"),
        (condition("[]"), 5, "an expression is expected"),
        (condition("[[\"has\", \"HTTPS\"]]"), 5, "an expression is expected"),
        (condition("[\"nonsense\"]"), 5, "\"nonsense\" is no expression"),
        (condition("[\"eq\", \"HTTPS\"]"), 5, "\"eq\" takes"),
        (condition("[\"eq\", \"HTTPS\", \"a\", \"b\"]"), 5, "\"eq\" takes"),
        (condition("[\"eq\", \"HTTPS\", 1]"), 5, "a string is expected"),
        (condition("[\"eq\", \"HTTPS\", [\"a\",\n1]]"), 6, "a string is expected"),
        (condition("[\"eq\", \"%HTTPS%\", \"on\"]"), 5, "\"%HTTPS%\" is no variable"),
        (condition("[\"regex\", \"HTTPS\"]"), 5, "\"regex\" takes"),
        (condition("[\"regex\", \"HTTPS\", [\"a\",\n\"(\"]]"), 6, "\"(\" is no extended"),
        (condition("[\"regex\", \"HTTPS\", {}]"), 5, "a string is expected"),
        (condition(&format!("[\"regex\", \"HTTPS\", \"{}\"]", "a".repeat(2049))), 5, "too long"),
        (condition("[\"has\"]"), 5, "\"has\" takes"),
        (condition("[\"has\", [\"HTTPS\", \"\"]]"), 5, "\"\" is no variable"),
        (condition("[\"not\"]"), 5, "\"not\" takes"),
        (condition("[\"not\", \"x\"]"), 5, "an expression is expected"),
        (condition("[\"and\", [\"or\"],\n[\"x\"]]"), 6, "\"x\" is no expression"),
        (condition("[\"isdir\"]"), 5, "\"isdir\" takes"),
        (condition("[\"isdir\", \"/%\"]"), 5, "without its second percent sign"),
    ] {
        let (_, report) = read(&[&file]);
        let [mistake] = report.mistakes.as_slice() else { panic!("{file}: {report:?}") };
        assert!(mistake.starts_with(&format!("F:{line}: ")), "{file}: {mistake}");
        assert!(mistake.contains(why), "{file}: {mistake}");
    }
}

#[test]
fn all_mistakes_of_all_files_are_found() {
    let one = "{\"request\": [[\n[\"if\", [\"x\"], [\"y\"], [\"z\"]],\n[\"redirect\", 1, 2, 3]]]}";
    let (_, report) = read(&[one, "{", "{\"request\": []}"]);
    let lines: Vec<_> = report.mistakes.iter().map(|m| m.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["F:2", "F:2", "F:2", "F:3", "F:3", "F:3", "F:1"]);
    let many = format!("{{\"request\": [[{}[]]]}}", "7,".repeat(1000));
    let (_, report) = read(&[&many]);
    assert_eq!(report.mistakes.len(), 51);
    assert_eq!(report.mistakes[50], "F: and so on");
}

#[test]
fn variables_that_no_request_has_are_noted() {
    let (_, report) =
        read(&["{\"request\": [\n[\"rewrite\", \"/%REQUEST_URL%%HTTP_X_Y%%HTTPS%\"]]}"]);
    assert_eq!(report.mistakes, Vec::<String>::new());
    assert_eq!(report.notes, ["F:2: no request has the variable \"REQUEST_URL\""]);
}

#[test]
fn files_that_cannot_be_read_are_mistakes() {
    let (mut rules, mut report) = (Rules::default(), Report::default());
    let mut large = b"{\"request\": []}".to_vec();
    large.resize((1 << 20) + 1, b' ');
    let file = Temp::new(&large);
    rules.read(&file.0, &mut report);
    rules.read("/nonexistent".as_ref(), &mut report);
    rules.read("/".as_ref(), &mut report);
    assert_eq!(report.mistakes.len(), 3);
    assert!(report.mistakes[0].ends_with(": it is larger than 1 MiB"), "{report:?}");
    assert!(report.mistakes[1].starts_with("/nonexistent: No such file"), "{report:?}");
    assert!(report.mistakes[2].starts_with("/: Is a directory"), "{report:?}");
    assert!(rules.is_empty());
    large.pop();
    let file = Temp::new(&large);
    let mut report = Report::default();
    rules.read(&file.0, &mut report);
    assert_eq!(report, Report::default());
}

#[test]
fn mistakes_are_shown_without_control_characters() {
    let (_, report) = read(&[r#"{"request": [["\u001b[31m\n"]]}"#]);
    assert_eq!(report.mistakes, [r#"F:1: "\x1b[31m\x0a" is no command"#]);
    let (_, report) = read(&[&format!("{{\"request\": [[\"{}\"]]}}", "é".repeat(500))]);
    assert!(report.mistakes[0].len() < 160, "{report:?}");
}

/// Texts that are often a program, and often almost one.
fn any_program() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "\"if\"",
        "\"case\"",
        "\"return\"",
        "\"redirect\"",
        "\"rewrite\"",
        "\"add-header\"",
        "\"no-cache\"",
        "\"include\"",
        "\"eq\"",
        "\"regex\"",
        "\"has\"",
        "\"and\"",
        "\"or\"",
        "\"not\"",
        "\"HTTP_X\"",
        "\"/%HTTP_X%\"",
        "\"/%%\"",
        "\"%\"",
        "\"a\"",
        "\"(\"",
        "301",
        "null",
        "{\"a\": [\"no-cache\"]}",
        "[\"no-cache\"]",
        "[\"has\", \"HTTP_X\"]",
    ]);
    let leaf = word.prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", ")))
    })
}

proptest! {
    #[test]
    fn whatever_is_read_runs(program in any_program(), value in any::<Option<String>>()) {
        let (rules, _) = read(&[&format!("{{\"request\": [{program}]}}")]);
        let mut var = |_: &str| value.clone();
        let outcome = smol::future::block_on(rules.run(Stage::Request, &mut var));
        for (name, value) in &outcome.headers {
            prop_assert!(is_header(name) && is_value(value));
        }
        if let Some(End::Redirect { location: url, .. } | End::Rewrite(url)) = &outcome.end {
            prop_assert!(!url.is_empty() && url.bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
