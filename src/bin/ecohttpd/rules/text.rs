//! The texts in rules as they are read: variables, patterns, URLs and headers.

use super::read::{LINES, Reader, shown};
use super::{Command, Part, Pattern, is_header, is_token_byte, is_value};
use crate::json::{Json, Node};
use crate::regex::Regex;

/// The longest pattern that is taken.
const PATTERN: usize = 2048;

/// The variables of a request, but for those of its headers. Names are not bound to these; they
/// tell what may be a slip of the pen.
const VARIABLES: &str = "AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE DOCUMENT_ROOT GATEWAY_INTERFACE \
    HTTPS PATH_INFO PATH_TRANSLATED QUERY_STRING REDIRECT_STATUS REMOTE_ADDR REMOTE_HOST \
    REMOTE_PORT REMOTE_USER REQUEST_METHOD REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME SCRIPT_NAME \
    SERVER_ADDR SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE";

impl Reader<'_> {
    fn string<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        if let Json::String(text) = &node.json {
            return Some(text);
        }
        self.mistake(node.line, "a string is expected");
        None
    }

    pub(super) fn constant(&mut self, node: &Node) -> Option<String> {
        self.string(node).map(str::to_owned)
    }

    pub(super) fn variable(&mut self, node: &Node) -> Option<String> {
        let name = self.string(node)?;
        self.name(node.line, name)
    }

    fn name(&mut self, line: u32, name: &str) -> Option<String> {
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !letters || name.bytes().next().is_none_or(|b| b.is_ascii_digit()) {
            let what = format!("{} is no variable; a percent sign as such is %%", shown(name));
            self.mistake(line, &what);
            return None;
        }
        let known = VARIABLES.split(' ').any(|known| known == name);
        if !known && !name.starts_with("HTTP_") && self.notes < LINES {
            self.notes += 1;
            let (path, name) = (self.path.display(), shown(name));
            self.report.note(format!("{path}:{line}: no request has the variable {name}"));
        }
        Some(name.to_owned())
    }

    pub(super) fn regex(&mut self, node: &Node) -> Option<Regex> {
        let pattern = self.string(node)?;
        let regex = match pattern.len() <= PATTERN {
            true => Regex::new(pattern.as_bytes()),
            false => Err("it is too long"),
        };
        match regex {
            Ok(regex) => Some(regex),
            Err(why) => {
                let what = format!("{} is no extended regular expression: {why}", shown(pattern));
                self.mistake(node.line, &what);
                None
            }
        }
    }

    pub(super) fn status(&mut self, node: &Node) -> Option<u16> {
        let status = match &node.json {
            Json::Number(number) => number.parse().ok(),
            _ => None,
        };
        let status = status.filter(|status| (300..=308).contains(status));
        if status.is_none() {
            self.mistake(node.line, "the status of a redirect is a number from 300 to 308");
        }
        status
    }

    /// Variables are between percent signs; nothing between them is a percent sign.
    pub(super) fn pattern(&mut self, node: &Node) -> Option<Pattern> {
        let string = self.string(node)?;
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut pieces = string.split('%');
        literal.push_str(pieces.next().unwrap_or(""));
        while let Some(name) = pieces.next() {
            let Some(after) = pieces.next() else {
                let what = format!("a variable without its second percent sign: {}", shown(string));
                self.mistake(node.line, &what);
                return None;
            };
            if name.is_empty() {
                literal.push('%');
            } else {
                let name = self.name(node.line, name)?;
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Variable(name));
            }
            literal.push_str(after);
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Some(Pattern(parts))
    }

    /// A text whose constant parts are checked.
    fn checked(&mut self, node: &Node, fine: fn(&str) -> bool, what: &str) -> Option<Pattern> {
        let pattern = self.pattern(node)?;
        let bad = |part: &Part| matches!(part, Part::Text(text) if !fine(text));
        if pattern.0.iter().any(bad) {
            self.mistake(node.line, what);
            return None;
        }
        Some(pattern)
    }

    pub(super) fn value(&mut self, node: &Node) -> Option<Pattern> {
        self.checked(node, is_value, "a control character, which cannot be sent")
    }

    pub(super) fn header(&mut self, node: &Node) -> Option<Pattern> {
        let what = "not the name of a header";
        let pattern = self.checked(node, |text| text.bytes().all(is_token_byte), what)?;
        match pattern.0.as_slice() {
            [] => self.mistake(node.line, what),
            [Part::Text(name)] if !is_header(name) => {
                self.mistake(node.line, "a header that only the server itself can set");
            }
            _ => return Some(pattern),
        }
        None
    }

    pub(super) fn url(&mut self, node: &Node) -> Option<Pattern> {
        let pattern = self.value(node)?;
        if pattern.0.is_empty() {
            self.mistake(node.line, "a URL is expected, not an empty string");
            return None;
        }
        Some(pattern)
    }

    pub(super) fn rewrite(&mut self, node: &Node) -> Option<Command> {
        let url = self.url(node)?;
        if matches!(url.0.first(), Some(Part::Text(text)) if !text.starts_with('/')) {
            self.mistake(node.line, "a rewritten URL begins with a slash");
            return None;
        }
        Some(Command::Rewrite(url))
    }
}
