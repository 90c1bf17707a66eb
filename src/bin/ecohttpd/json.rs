//! JSON (RFC 8259), read strictly; every value knows its line.

/// How deep arrays and objects may nest.
const DEPTH: usize = 64;

/// A value, and the line it begins in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) json: Json,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it is written, so that nothing is lost or rounded.
    Number(String),
    /// Without NUL, since such strings end up in C.
    String(String),
    Array(Vec<Node>),
    /// All members in their order, even where two have the same name.
    Object(Vec<(String, Node)>),
}

/// Reads one value, or says in which line there is a mistake.
pub(crate) fn parse(text: &[u8]) -> Result<Node, (u32, String)> {
    let text = std::str::from_utf8(text).map_err(|e| {
        let lines = text.iter().take(e.valid_up_to()).filter(|&&b| b == b'\n').count();
        (u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1), "not UTF-8".to_owned())
    })?;
    let mut parser = Parser { text, at: 0, line: 1 };
    let node = parser.value(DEPTH).and_then(|node| {
        parser.space();
        if parser.at == text.len() { Ok(node) } else { Err("more than one value") }
    });
    node.map_err(|why| (parser.line, why.to_owned()))
}

type Parsed<T> = Result<T, &'static str>;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes `byte` if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Line ends are here and nowhere else: a string has none unescaped.
    fn space(&mut self) {
        while let Some(b @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.line = self.line.saturating_add((b == b'\n').into());
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Parsed<Node> {
        self.space();
        let line = self.line;
        let json = match self.peek() {
            Some(b'"') => Json::String(self.string()?),
            Some(b'[') => Json::Array(self.array(depth)?),
            Some(b'{') => Json::Object(self.object(depth)?),
            Some(b'-' | b'0'..=b'9') => Json::Number(self.number()?),
            Some(_) => self.word()?,
            None => return Err("it ends where a value is expected"),
        };
        Ok(Node { line, json })
    }

    fn word(&mut self) -> Parsed<Json> {
        for (word, json) in
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                self.at += word.len();
                return Ok(json);
            }
        }
        Err("a value is expected")
    }

    fn array(&mut self, depth: usize) -> Parsed<Vec<Node>> {
        let depth = depth.checked_sub(1).ok_or("nested too deep")?;
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.takes(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.takes(b']') {
                return Ok(items);
            }
            if !self.takes(b',') {
                return Err("a comma or ']' is expected");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Vec<(String, Node)>> {
        let depth = depth.checked_sub(1).ok_or("nested too deep")?;
        let mut members = Vec::new();
        self.at += 1;
        self.space();
        if self.takes(b'}') {
            return Ok(members);
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err("a name in quotation marks is expected");
            }
            let name = self.string()?;
            self.space();
            if !self.takes(b':') {
                return Err("a colon is expected");
            }
            members.push((name, self.value(depth)?));
            self.space();
            if self.takes(b'}') {
                return Ok(members);
            }
            if !self.takes(b',') {
                return Err("a comma or '}' is expected");
            }
        }
    }

    /// Digits, of which there is at least one.
    fn digits(&mut self) -> Parsed<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err("a digit is expected") }
    }

    fn number(&mut self) -> Parsed<String> {
        let start = self.at;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _sign = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or("").to_owned())
    }

    fn string(&mut self) -> Parsed<String> {
        let mut string = String::new();
        self.at += 1;
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            string.push_str(self.text.get(start..self.at).unwrap_or(""));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                Some(_) => return Err("a control character in a string"),
                None => return Err("it ends within a string"),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        self.at += 1;
        let escaped = self.peek();
        self.at += 1;
        Ok(match escaped {
            Some(b @ (b'"' | b'\\' | b'/')) => b.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err("an unknown escape in a string"),
        })
    }

    fn unicode(&mut self) -> Parsed<char> {
        let mut code = self.hex()?;
        if (0xd800..0xdc00).contains(&code) && self.takes(b'\\') && self.takes(b'u') {
            let low = self.hex()?;
            code = match low {
                0xdc00..0xe000 => 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                _ => code,
            };
        }
        match char::from_u32(code) {
            Some('\0') => Err("a NUL in a string"),
            Some(c) => Ok(c),
            None => Err("half of a surrogate pair in a string"),
        }
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            code = code << 4 | digit.ok_or("four hexadecimal digits are expected after \\u")?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests;
