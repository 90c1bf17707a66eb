//! POSIX extended regular expressions (IEEE Std 1003.1, 9.4), of which only whether they match is asked.
//!
//! The C library's are not used because a binary that is linked statically pays 45 KB of flash for
//! them on MIPS, and these are 5. They are compiled to a small program whose threads all advance by
//! one byte together, so that the time is at most the length of the text times that of the program,
//! whatever the pattern. Beyond POSIX there are what musl has: `\d \s \w`, their opposites and
//! `\b \B \< \>`.

use std::fmt;

/// How many instructions a program may have. Repetitions multiply them.
const PROGRAM: usize = 8192;
/// How deep groups may be nested.
const DEPTH: usize = 32;
/// What a repetition may ask for at most (RE_DUP_MAX).
const REPEAT: usize = 255;

/// Whether a byte is one of some.
type Class = fn(u8) -> bool;

/// The bytes of a bracket expression, a bit each.
type Set = [u32; 8];

#[derive(Clone, Copy)]
enum Step {
    Byte(u8),
    Any,
    /// One of the sets.
    Set(u16),
    /// Here, and this far away.
    Split(i16),
    Jump(i16),
    Assert(Where),
    Match,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Start,
    End,
    WordEdge,
    NoWordEdge,
    WordStart,
    WordEnd,
}

/// A compiled pattern.
pub(crate) struct Regex {
    program: Box<[Step]>,
    sets: Box<[Set]>,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regex")
    }
}

impl Regex {
    /// Compiles `pattern`, or says why it cannot be.
    pub(crate) fn new(pattern: &[u8]) -> Result<Regex, &'static str> {
        let mut parser = Parser { rest: pattern, sets: Vec::new() };
        let mut program = parser.alternatives(0)?;
        if !parser.rest.is_empty() {
            return Err("a ) without its (");
        }
        program.push(Step::Match);
        fits(program.len())?;
        Ok(Regex { program: program.into(), sets: parser.sets.into() })
    }

    /// Whether it matches anywhere in `text`.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let mut now = Threads::new(self.program.len());
        let mut next = Threads::new(self.program.len());
        for at in 0..=text.len() {
            let byte = text.get(at).copied();
            // A match may begin anywhere.
            if self.follow(0, text, at, &mut now) {
                return true;
            }
            let Some(byte) = byte else { break };
            for i in 0..now.list.len() {
                let Some(&pc) = now.list.get(i) else { break };
                let goes_on = match self.program.get(usize::from(pc)) {
                    Some(Step::Byte(b)) => *b == byte,
                    Some(Step::Any) => true,
                    Some(Step::Set(set)) => {
                        self.sets.get(usize::from(*set)).is_some_and(|set| has(set, byte))
                    }
                    _ => false,
                };
                if goes_on && self.follow(pc + 1, text, at + 1, &mut next) {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut next);
            next.clear();
        }
        false
    }

    /// Adds the thread at `pc` and all that it leads to without a byte. Whether that is the end.
    fn follow(&self, pc: u16, text: &[u8], at: usize, threads: &mut Threads) -> bool {
        threads.stack.push(pc);
        while let Some(pc) = threads.stack.pop() {
            if !threads.add(pc) {
                continue;
            }
            match self.program.get(usize::from(pc)) {
                Some(Step::Match) => return true,
                Some(Step::Jump(by)) => threads.stack.push(pc.wrapping_add_signed(*by)),
                Some(Step::Split(by)) => {
                    threads.stack.push(pc.wrapping_add_signed(*by));
                    threads.stack.push(pc + 1);
                }
                Some(Step::Assert(place)) if holds(*place, text, at) => threads.stack.push(pc + 1),
                _ => {}
            }
        }
        false
    }
}

/// The places in the program where a match could go on.
struct Threads {
    list: Vec<u16>,
    /// Those that were there already, a bit each.
    seen: Vec<u32>,
    /// Those that are still to be followed.
    stack: Vec<u16>,
}

impl Threads {
    fn new(program: usize) -> Self {
        Threads { list: Vec::new(), seen: vec![0; program / 32 + 1], stack: Vec::new() }
    }

    /// Whether it is new.
    fn add(&mut self, pc: u16) -> bool {
        let bit = 1 << (pc % 32);
        match self.seen.get_mut(usize::from(pc / 32)) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => return false,
        }
        self.list.push(pc);
        true
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(0);
    }
}

fn has(set: &Set, byte: u8) -> bool {
    set.get(usize::from(byte / 32)).is_some_and(|word| word >> (byte % 32) & 1 == 1)
}

fn insert(set: &mut Set, byte: u8) {
    if let Some(word) = set.get_mut(usize::from(byte / 32)) {
        *word |= 1 << (byte % 32);
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn holds(place: Where, text: &[u8], at: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|b| is_word(*b));
    let (before, after) = (word(at.checked_sub(1)), word(Some(at)));
    match place {
        Where::Start => at == 0,
        Where::End => at == text.len(),
        Where::WordEdge => before != after,
        Where::NoWordEdge => before == after,
        Where::WordStart => !before && after,
        Where::WordEnd => before && !after,
    }
}

fn fits(program: usize) -> Result<(), &'static str> {
    if program > PROGRAM { Err("too large, with all of its repetitions") } else { Ok(()) }
}

/// How far that is; programs are short enough.
fn far(steps: usize) -> i16 {
    i16::try_from(steps).unwrap_or(i16::MAX)
}

/// Reads a pattern. What it makes jumps by distances, so that it can be copied.
struct Parser<'a> {
    rest: &'a [u8],
    sets: Vec<Set>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.rest.first() == Some(&byte);
        if is_there {
            self.next();
        }
        is_there
    }

    /// `a|b`
    fn alternatives(&mut self, depth: usize) -> Result<Vec<Step>, &'static str> {
        if depth > DEPTH {
            return Err("too many groups in each other");
        }
        let first = self.sequence(depth)?;
        if !self.eat(b'|') {
            return Ok(first);
        }
        // Those behind bring their own choice, which costs a level of its own.
        let mut branches = vec![first];
        loop {
            branches.push(self.sequence(depth)?);
            if !self.eat(b'|') {
                break;
            }
        }
        let mut all = branches.pop().unwrap_or_default();
        while let Some(branch) = branches.pop() {
            fits(branch.len() + all.len() + 2)?;
            let mut steps = vec![Step::Split(far(branch.len() + 2))];
            steps.extend(branch);
            steps.push(Step::Jump(far(all.len() + 1)));
            steps.append(&mut all);
            all = steps;
        }
        Ok(all)
    }

    /// `ab*c`
    fn sequence(&mut self, depth: usize) -> Result<Vec<Step>, &'static str> {
        let mut steps = Vec::new();
        loop {
            match self.rest.first() {
                None | Some(b'|') => return Ok(steps),
                Some(b')') if depth > 0 => return Ok(steps),
                Some(b')') => return Err("a ) without its ("),
                Some(b'*' | b'+' | b'?' | b'{') => return Err("nothing there to repeat"),
                _ => {}
            }
            let mut atom = self.atom(depth)?;
            while let Some((least, most)) = self.repetition()? {
                atom = repeat(&atom, least, most)?;
            }
            steps.append(&mut atom);
            fits(steps.len())?;
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Vec<Step>, &'static str> {
        let step = match self.next() {
            Some(b'(') => {
                let group = self.alternatives(depth + 1)?;
                return if self.eat(b')') { Ok(group) } else { Err("a ( without its )") };
            }
            Some(b'.') => Step::Any,
            Some(b'^') => Step::Assert(Where::Start),
            Some(b'$') => Step::Assert(Where::End),
            Some(b'[') => {
                let set = self.bracket()?;
                self.set(set)?
            }
            Some(b'\\') => self.escape()?,
            Some(byte) => Step::Byte(byte),
            None => return Ok(Vec::new()),
        };
        Ok(vec![step])
    }

    fn set(&mut self, set: Set) -> Result<Step, &'static str> {
        let index = match self.sets.iter().position(|other| *other == set) {
            Some(index) => index,
            None => {
                self.sets.push(set);
                self.sets.len() - 1
            }
        };
        u16::try_from(index).map(Step::Set).map_err(|_| "too many brackets")
    }

    fn escape(&mut self) -> Result<Step, &'static str> {
        let byte = self.next().ok_or("nothing behind the last \\")?;
        let control = |byte| Ok(Step::Byte(byte));
        match byte {
            b'<' => Ok(Step::Assert(Where::WordStart)),
            b'>' => Ok(Step::Assert(Where::WordEnd)),
            b'b' => Ok(Step::Assert(Where::WordEdge)),
            b'B' => Ok(Step::Assert(Where::NoWordEdge)),
            b't' => control(b'\t'),
            b'n' => control(b'\n'),
            b'r' => control(b'\r'),
            b'd' | b'D' | b's' | b'S' | b'w' | b'W' => {
                let class: Class = match byte.to_ascii_lowercase() {
                    b'd' => |b| b.is_ascii_digit(),
                    b's' => is_space,
                    _ => is_word,
                };
                self.set(all_of(|b| class(b) != byte.is_ascii_uppercase()))
            }
            // Whatever else it may mean elsewhere, nobody is to guess.
            b if b.is_ascii_alphanumeric() => Err("a \\ before a letter or digit that needs none"),
            b => Ok(Step::Byte(b)),
        }
    }

    /// What is between the brackets; the first of them has been read.
    fn bracket(&mut self) -> Result<Set, &'static str> {
        const OPEN: &str = "a [ without its ]";
        let negated = self.eat(b'^');
        let mut set = Set::default();
        let mut is_first = true;
        loop {
            let byte = self.next().ok_or(OPEN)?;
            if byte == b']' && !is_first {
                break;
            }
            is_first = false;
            if byte == b'[' && matches!(self.rest.first(), Some(b':')) {
                self.next();
                let class = self.class().ok_or("no class of characters has this name")?;
                (0..=255).filter(|b| class(*b)).for_each(|b| insert(&mut set, b));
                continue;
            }
            if byte == b'[' && matches!(self.rest.first(), Some(b'.' | b'=')) {
                return Err("there are no collating elements");
            }
            let last = match self.rest {
                // A - that is the last one stands for itself.
                [b'-', last, ..] if *last != b']' => {
                    let last = *last;
                    self.next();
                    self.next();
                    if last == b'[' && matches!(self.rest.first(), Some(b':' | b'.' | b'=')) {
                        return Err("a range ends with one character");
                    }
                    last
                }
                _ => byte,
            };
            if last < byte {
                return Err("a range that ends before it begins");
            }
            (byte..=last).for_each(|b| insert(&mut set, b));
        }
        if negated {
            set.iter_mut().for_each(|word| *word = !*word);
        }
        Ok(set)
    }

    /// `alpha:]`
    fn class(&mut self) -> Option<Class> {
        let end = self.rest.windows(2).position(|pair| pair == b":]")?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.get(2..)?;
        CLASSES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, class)| *class)
    }

    /// How often what was read last, if that is said: the least, and the most if there is one.
    fn repetition(&mut self) -> Result<Option<(usize, Option<usize>)>, &'static str> {
        const BRACE: &str = "a { without a number, or without its }";
        let found = match self.rest.first() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.next();
                let least = self.number()?;
                let most = match self.eat(b',') {
                    true => self.number()?,
                    false => least,
                };
                if self.rest.first() != Some(&b'}') || (least, most) == (None, None) {
                    return Err(BRACE);
                }
                (least.unwrap_or(0), most)
            }
            _ => return Ok(None),
        };
        self.next();
        match found {
            (least, Some(most)) if least > most => Err("fewer at most than at least"),
            found => Ok(Some(found)),
        }
    }

    fn number(&mut self) -> Result<Option<usize>, &'static str> {
        let mut number = None;
        while let Some(digit) = self.rest.first().filter(|b| b.is_ascii_digit()) {
            let value = number.unwrap_or(0) * 10 + usize::from(digit - b'0');
            if value > REPEAT {
                return Err("more than 255 repetitions");
            }
            number = Some(value);
            self.next();
        }
        Ok(number)
    }
}

/// The classes of characters in brackets.
const CLASSES: [(&str, Class); 12] = [
    ("alnum", |b| b.is_ascii_alphanumeric()),
    ("alpha", |b| b.is_ascii_alphabetic()),
    ("blank", |b| matches!(b, b' ' | b'\t')),
    ("cntrl", |b| b.is_ascii_control()),
    ("digit", |b| b.is_ascii_digit()),
    ("graph", |b| b.is_ascii_graphic()),
    ("lower", |b| b.is_ascii_lowercase()),
    ("print", |b| matches!(b, b' '..=b'~')),
    ("punct", |b| b.is_ascii_punctuation()),
    ("space", is_space),
    ("upper", |b| b.is_ascii_uppercase()),
    ("xdigit", |b| b.is_ascii_hexdigit()),
];

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn all_of(class: impl Fn(u8) -> bool) -> Set {
    let mut set = Set::default();
    (0..=255).filter(|b| class(*b)).for_each(|b| insert(&mut set, b));
    set
}

/// `atom`, as often as that.
fn repeat(atom: &[Step], least: usize, most: Option<usize>) -> Result<Vec<Step>, &'static str> {
    fits((atom.len() + 2) * most.unwrap_or(least + 1))?;
    let mut steps = Vec::new();
    for _ in 0..least {
        steps.extend_from_slice(atom);
    }
    match most {
        None => {
            steps.push(Step::Split(far(atom.len() + 2)));
            steps.extend_from_slice(atom);
            steps.push(Step::Jump(-far(atom.len() + 1)));
        }
        Some(most) => {
            // Each of them may be the one after the last.
            for left in (1..=most - least).rev() {
                steps.push(Step::Split(far(left * (atom.len() + 1))));
                steps.extend_from_slice(atom);
            }
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests;
