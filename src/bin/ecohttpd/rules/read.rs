//! Rules as they are read: every mistake is found before any of them runs.

use std::path::Path;

use super::{Command, Expr, Rules};
use crate::accounts;
use crate::json::{self, Json, Node};
use crate::report::Report;
use crate::text::quoted;

/// How much is said of one file.
pub(super) const LINES: usize = 50;

impl Rules {
    /// Reads a file of rules, which come after those that are there.
    pub(crate) fn read(&mut self, path: &Path, report: &mut Report) {
        let mut reader = Reader { path, report, mistakes: 0, notes: 0 };
        match accounts::read(path) {
            Ok(text) => match json::parse(&text) {
                Ok(node) => reader.file(&node, self),
                Err((line, why)) => reader.mistake(line, &why),
            },
            Err(e) => report.mistake(format!("{}: {e}", path.display())),
        }
    }
}

/// A text from the file, as it is quoted.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => quoted(text.get(..end).unwrap_or("").as_bytes()) + "...",
        None => quoted(text.as_bytes()),
    }
}

/// Reads one file, and goes on after a mistake.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) report: &'a mut Report,
    mistakes: usize,
    pub(super) notes: usize,
}

impl Reader<'_> {
    pub(super) fn mistake(&mut self, line: u32, what: &str) {
        self.mistakes += 1;
        match self.mistakes {
            0..=LINES => self.report.mistake(format!("{}:{line}: {what}", self.path.display())),
            n if n == LINES + 1 => {
                self.report.mistake(format!("{}: and so on", self.path.display()))
            }
            _ => {}
        }
    }

    fn file(&mut self, node: &Node, rules: &mut Rules) {
        let Json::Object(members) = &node.json else {
            return self
                .mistake(node.line, "an object with \"request\" or \"fallback\" is expected");
        };
        let (mut request, mut fallback) = (None, None);
        for (name, value) in members {
            let programs = match name.as_str() {
                "request" => &mut request,
                "fallback" => &mut fallback,
                _ => {
                    let what = format!("{} is neither \"request\" nor \"fallback\"", shown(name));
                    self.mistake(value.line, &what);
                    continue;
                }
            };
            if programs.is_some() {
                self.mistake(value.line, &format!("{} is there twice", shown(name)));
            }
            *programs = Some(self.program(value));
        }
        if request.is_none() && fallback.is_none() {
            self.mistake(node.line, "neither \"request\" nor \"fallback\" is there");
        }
        rules.request.extend(request);
        rules.fallback.extend(fallback);
    }

    /// An array with one command, or with one block of them: uhttpd would not look at another.
    fn program(&mut self, node: &Node) -> Vec<Command> {
        let mut commands = Vec::new();
        match &node.json {
            Json::Array(items) => match items.as_slice() {
                [] => {}
                [Node { json: Json::String(_), .. }, ..] => {
                    self.mistake(
                        node.line,
                        "a command takes another pair of brackets here: [[...]]",
                    );
                }
                [first, rest @ ..] => {
                    self.block(first, &mut commands);
                    if let Some(second) = rest.first() {
                        let what = "only the first entry would run, which can be an array of all";
                        self.mistake(second.line, what);
                    }
                }
            },
            _ => self
                .mistake(node.line, "an array with a command or a block of commands is expected"),
        }
        commands
    }

    /// A command, or an array of blocks. It makes no difference how deep a command is.
    fn block(&mut self, node: &Node, out: &mut Vec<Command>) {
        let Json::Array(items) = &node.json else {
            let what = "a command is expected, which is an array that begins with its name";
            return self.mistake(node.line, what);
        };
        match items.split_first() {
            Some((Node { json: Json::String(name), .. }, args)) => {
                out.extend(self.command(node.line, name, args));
            }
            _ => items.iter().for_each(|item| self.block(item, out)),
        }
    }

    /// The same as a list of its own.
    fn branch(&mut self, node: &Node) -> Vec<Command> {
        let mut commands = Vec::new();
        self.block(node, &mut commands);
        commands
    }

    fn command(&mut self, line: u32, name: &str, args: &[Node]) -> Option<Command> {
        match (name, args) {
            ("if", [condition, then, rest @ ..]) if rest.len() <= 1 => {
                let condition = self.expr(condition);
                let then = self.branch(then);
                let otherwise = rest.first().map(|node| self.branch(node)).unwrap_or_default();
                Some(Command::If(condition?, then, otherwise))
            }
            ("case", [variable, table]) => {
                let variable = self.variable(variable);
                let cases = self.cases(table);
                Some(Command::Case(variable?, cases?))
            }
            ("return", _) => Some(Command::Return),
            ("redirect", [location, rest @ ..]) if rest.len() <= 2 => {
                let location = self.url(location);
                let status = rest.first().map_or(Some(302), |node| self.status(node));
                let reason = match rest.get(1) {
                    Some(node) => Some(self.value(node)?),
                    None => None,
                };
                Some(Command::Redirect { location: location?, status: status?, reason })
            }
            ("rewrite", [url]) => self.rewrite(url),
            ("add-header", [name, value]) => {
                let name = self.header(name);
                let value = self.value(value);
                Some(Command::AddHeader(name?, value?))
            }
            ("no-cache", []) => Some(Command::NoCache),
            _ => {
                let what = match name {
                    "if" => {
                        "\"if\" takes an expression, a command, and perhaps another one otherwise"
                    }
                    "case" => "\"case\" takes a variable and an object with its values",
                    "redirect" => {
                        "\"redirect\" takes a location, and perhaps a status and a reason"
                    }
                    "rewrite" => "\"rewrite\" takes a URL",
                    "add-header" => "\"add-header\" takes a name and a value",
                    "no-cache" => "\"no-cache\" takes no arguments",
                    "include" => "\"include\" is not possible here, in uhttpd neither",
                    _ => {
                        self.mistake(line, &format!("{} is no command", shown(name)));
                        return None;
                    }
                };
                self.mistake(line, what);
                None
            }
        }
    }

    fn cases(&mut self, node: &Node) -> Option<Vec<(String, Vec<Command>)>> {
        let Json::Object(members) = &node.json else {
            self.mistake(node.line, "an object with values and their commands is expected");
            return None;
        };
        let mut cases: Vec<(String, Vec<Command>)> = Vec::new();
        for (value, commands) in members {
            if cases.iter().any(|(before, _)| before == value) {
                self.mistake(commands.line, &format!("{} is there twice", shown(value)));
            }
            let commands = self.branch(commands);
            cases.push((value.clone(), commands));
        }
        Some(cases)
    }

    fn expr(&mut self, node: &Node) -> Option<Expr> {
        let items = match &node.json {
            Json::Array(items) => items.split_first(),
            _ => None,
        };
        let Some((Node { json: Json::String(name), .. }, args)) = items else {
            let what = "an expression is expected, which is an array that begins with its name";
            self.mistake(node.line, what);
            return None;
        };
        match (name.as_str(), args) {
            ("eq", [variable, values]) => {
                let variable = self.variable(variable);
                let values = self.each(values, Self::constant);
                Some(Expr::Eq(variable?, values?))
            }
            ("regex", [variable, patterns]) => {
                let variable = self.variable(variable);
                let regexes = self.each(patterns, Self::regex);
                Some(Expr::Regex(variable?, regexes?))
            }
            ("has", [variables]) => Some(Expr::Has(self.each(variables, Self::variable)?)),
            ("and", args) => Some(Expr::And(self.all(args, Self::expr)?)),
            ("or", args) => Some(Expr::Or(self.all(args, Self::expr)?)),
            ("not", [expr]) => Some(Expr::Not(self.expr(expr)?.into())),
            ("isdir", [path]) => Some(Expr::IsDir(self.pattern(path)?)),
            _ => {
                let what = match name.as_str() {
                    "eq" => "\"eq\" takes a variable and a string or an array of strings",
                    "regex" => "\"regex\" takes a variable and a pattern or an array of patterns",
                    "has" => "\"has\" takes a variable or an array of variables",
                    "not" => "\"not\" takes one expression",
                    "isdir" => "\"isdir\" takes a path",
                    _ => {
                        self.mistake(node.line, &format!("{} is no expression", shown(name)));
                        return None;
                    }
                };
                self.mistake(node.line, what);
                None
            }
        }
    }

    /// All of them, or none if there is a mistake in one; the others are looked at nonetheless.
    fn all<T>(&mut self, nodes: &[Node], one: fn(&mut Self, &Node) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Vec::new();
        let mut is_whole = true;
        for node in nodes {
            match one(self, node) {
                Some(item) => all.push(item),
                None => is_whole = false,
            }
        }
        is_whole.then_some(all)
    }

    /// One, or an array of them.
    fn each<T>(&mut self, node: &Node, one: fn(&mut Self, &Node) -> Option<T>) -> Option<Vec<T>> {
        match &node.json {
            Json::Array(nodes) => self.all(nodes, one),
            _ => self.all(std::slice::from_ref(node), one),
        }
    }
}
