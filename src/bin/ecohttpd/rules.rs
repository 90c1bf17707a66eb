//! uhttpd's URL rules: small programs that redirect, rewrite and add headers.

mod read;
mod text;

use std::fs;

use ecohttpd::unblock;

use crate::regex::Regex;

/// Longer texts match no regular expression, and longer results are not sent.
const MOST: usize = 8192;

/// How many directories a run looks for.
const LOOKS: usize = 64;

/// The rules of all files, in their order.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    request: Vec<Vec<Command>>,
    fallback: Vec<Vec<Command>>,
}

/// When rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before anything else.
    Request,
    /// When there is nothing at the path.
    Fallback,
}

/// What the rules make of a request. All of it can be sent as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) headers: Vec<(String, String)>,
    /// Whatever the client keeps of the answer, it is to ask for each time.
    pub(crate) no_cache: bool,
    pub(crate) end: Option<End>,
}

/// What ended a run before all rules were asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Redirect {
        location: String,
        status: u16,
        reason: Option<String>,
    },
    /// The URL to serve instead: a path, perhaps with a query.
    Rewrite(String),
}

/// A command that has been checked.
#[derive(Debug)]
enum Command {
    If(Expr, Vec<Command>, Vec<Command>),
    /// A variable, and what to do for its values.
    Case(String, Vec<(String, Vec<Command>)>),
    Return,
    Redirect {
        location: Pattern,
        status: u16,
        reason: Option<Pattern>,
    },
    Rewrite(Pattern),
    AddHeader(Pattern, Pattern),
    NoCache,
}

/// An expression that has been checked.
#[derive(Debug)]
enum Expr {
    /// Whether a variable is one of these.
    Eq(String, Vec<String>),
    /// Whether a variable matches one of these.
    Regex(String, Vec<Regex>),
    /// Whether there is one of these variables.
    Has(Vec<String>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsDir(Pattern),
}

/// A text with variables.
#[derive(Debug, Default)]
struct Pattern(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Variable(String),
}

/// Why a run does not go on.
enum Stop {
    /// This file's program has ended.
    Return,
    /// All have.
    End,
    /// Whether this is a directory must be known first.
    Look(String),
}

impl Rules {
    /// Whether there are none, so that nobody needs to be asked for variables.
    pub(crate) fn is_empty(&self) -> bool {
        self.request.is_empty() && self.fallback.is_empty()
    }

    /// Asks the rules of a stage what to make of a request, whose variables `var` knows. It waits
    /// only for a disk, and only where there is an `isdir`; the run begins anew after that, so `var`
    /// is asked again and has to say the same.
    pub(crate) async fn run(
        &self,
        stage: Stage,
        var: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Outcome {
        let programs = match stage {
            Stage::Request => &self.request,
            Stage::Fallback => &self.fallback,
        };
        let mut known = Vec::new();
        loop {
            let mut run = Run { var: &mut *var, known: &known, outcome: Outcome::default() };
            let Some(path) = run.all(programs) else { return run.outcome };
            let asked = path.clone();
            let look = unblock(move || Ok(fs::metadata(asked)?.is_dir()));
            known.push((path, look.await.unwrap_or(false)));
        }
    }
}

/// A run of one stage's programs.
struct Run<'a> {
    var: &'a mut dyn FnMut(&str) -> Option<String>,
    /// What is a directory and what is not, as far as it was asked.
    known: &'a [(String, bool)],
    outcome: Outcome,
}

impl Run<'_> {
    /// Runs all programs, unless there is a path to be looked for first.
    fn all(&mut self, programs: &[Vec<Command>]) -> Option<String> {
        for program in programs {
            match self.commands(program) {
                Ok(()) | Err(Stop::Return) => {}
                Err(Stop::End) => break,
                Err(Stop::Look(path)) => return Some(path),
            }
        }
        None
    }

    fn commands(&mut self, commands: &[Command]) -> Result<(), Stop> {
        commands.iter().try_for_each(|command| self.command(command))
    }

    fn command(&mut self, command: &Command) -> Result<(), Stop> {
        match command {
            Command::If(condition, then, otherwise) => {
                let holds = self.holds(condition)?;
                self.commands(if holds { then } else { otherwise })
            }
            Command::Case(name, cases) => {
                let value = (self.var)(name);
                let case = cases.iter().find(|(is, _)| value.as_ref() == Some(is));
                case.map_or(Ok(()), |(_, commands)| self.commands(commands))
            }
            Command::Return => Err(Stop::Return),
            Command::Redirect { location, status, reason } => match self.url(location) {
                Some(location) => {
                    let reason = reason.as_ref().and_then(|reason| self.value(reason));
                    self.end(End::Redirect { location, status: *status, reason })
                }
                None => Ok(()),
            },
            Command::Rewrite(url) => match self.url(url) {
                Some(url) if url.starts_with('/') => self.end(End::Rewrite(url)),
                _ => Ok(()),
            },
            Command::AddHeader(name, value) => {
                let header = self.text(name).zip(self.value(value));
                self.outcome.headers.extend(header.filter(|(name, _)| is_header(name)));
                Ok(())
            }
            Command::NoCache => {
                self.outcome.no_cache = true;
                Ok(())
            }
        }
    }

    fn end(&mut self, end: End) -> Result<(), Stop> {
        self.outcome.end = Some(end);
        Err(Stop::End)
    }

    fn holds(&mut self, expr: &Expr) -> Result<bool, Stop> {
        Ok(match expr {
            Expr::Eq(name, values) => (self.var)(name).is_some_and(|value| values.contains(&value)),
            Expr::Regex(name, regexes) => {
                let text = (self.var)(name).filter(|value| value.len() <= MOST);
                let text = text.as_deref().map(str::as_bytes);
                text.is_some_and(|text| regexes.iter().any(|regex| regex.is_match(text)))
            }
            Expr::Has(names) => names.iter().any(|name| (self.var)(name).is_some()),
            Expr::And(exprs) => {
                for expr in exprs {
                    if !self.holds(expr)? {
                        return Ok(false);
                    }
                }
                true
            }
            Expr::Or(exprs) => {
                for expr in exprs {
                    if self.holds(expr)? {
                        return Ok(true);
                    }
                }
                false
            }
            Expr::Not(expr) => !self.holds(expr)?,
            Expr::IsDir(path) => {
                let Some(path) = self.text(path) else { return Ok(false) };
                match self.known.iter().find(|(known, _)| *known == path) {
                    Some(&(_, is_dir)) => is_dir,
                    None if self.known.len() < LOOKS => return Err(Stop::Look(path)),
                    None => false,
                }
            }
        })
    }

    /// The text with its variables filled in, unless it gets too long. A variable that there is not
    /// leaves nothing.
    fn text(&mut self, pattern: &Pattern) -> Option<String> {
        let mut text = String::new();
        for part in &pattern.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Variable(name) => text.push_str(&(self.var)(name).unwrap_or_default()),
            }
            if text.len() > MOST {
                return None;
            }
        }
        Some(text)
    }

    /// The text if it can be a header's value.
    fn value(&mut self, pattern: &Pattern) -> Option<String> {
        self.text(pattern).filter(|text| is_value(text))
    }

    /// The text with everything escaped that no URL can have, unless nothing is left to send.
    fn url(&mut self, pattern: &Pattern) -> Option<String> {
        let text = self.text(pattern)?;
        let mut url = String::with_capacity(text.len());
        for &byte in text.as_bytes() {
            if byte.is_ascii_graphic() {
                url.push(byte.into());
                continue;
            }
            url.push('%');
            for digit in [byte >> 4, byte & 15] {
                url.extend(char::from_digit(digit.into(), 16).map(|c| c.to_ascii_uppercase()));
            }
        }
        Some(url).filter(|url| !url.is_empty() && url.len() <= MOST)
    }
}

/// Whether a response can have a header of this name by a rule: how it is framed is not for rules.
fn is_header(name: &str) -> bool {
    let framing = ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"];
    !name.is_empty()
        && name.bytes().all(is_token_byte)
        && !framing.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Whether a header can have this value.
fn is_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || !b.is_ascii_control())
}

#[cfg(test)]
mod tests;
