//! Grammars in GBNF, the notation of llama.cpp: compiled here, so that a wrong one is refused with its line before
//! anything starts, and walked here, so that none can stop the engine.
//!
//! Understood: `name ::= ...`, `|`, literals, `[classes]` with ranges and `^`, `.`, groups, `*`, `+`, `?`, `{m}`, `{m,}`,
//! `{m,n}` and `#` comments. Characters are compiled into bytes, for tokens may end in the middle of one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex_syntax::utf8::Utf8Sequences;
use thiserror::Error;

use super::{ByteSet, Constraint};
use crate::limits;

/// Why a grammar does not compile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrammarError {
    /// What stands at a place cannot stand there.
    #[error("line {line}: {what}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A rule is used that there is none of.
    #[error("there is no rule {0}: write `{0} ::= ...`")]
    Unknown(String),
    /// A rule begins with itself, so a walk through it would not end.
    #[error("rule {0} begins with itself: put something before it, or use `*`")]
    LeftRecursion(String),
    /// A rule has no end.
    #[error("rule {0} never ends: give it an alternative without itself")]
    Endless(String),
    /// The grammar is too large.
    #[error("the grammar has more than {0}: make it smaller")]
    TooLarge(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Bytes(u8, u8),
    Rule(u32),
}

#[derive(Debug, Default)]
struct Rules {
    /// For each rule its alternatives.
    alternatives: Vec<Vec<Vec<Symbol>>>,
    names: Vec<String>,
    by_name: BTreeMap<String, u32>,
    symbols: usize,
}

/// A compiled grammar.
#[derive(Clone)]
pub struct Gbnf {
    text: Arc<str>,
    rules: Arc<Rules>,
    root: u32,
}

impl std::fmt::Debug for Gbnf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its text says it all; the compiled rules would fill pages.
        f.debug_tuple("Gbnf").field(&self.text).finish()
    }
}

impl Gbnf {
    /// Compiles a grammar whose first rule to be read is `root`.
    pub fn compile(text: &str) -> Result<Self, GrammarError> {
        if text.len() > limits::GRAMMAR_BYTES_MAX {
            return Err(GrammarError::TooLarge(format!("{} bytes", limits::GRAMMAR_BYTES_MAX)));
        }
        let mut parser = Parser { chars: text.chars().collect(), at: 0, rules: Rules::default(), defined: BTreeSet::new() };
        parser.grammar()?;
        let root = parser.rules.by_name.get("root").copied().filter(|it| parser.defined.contains(it));
        let root = root.ok_or_else(|| GrammarError::Unknown("root".to_owned()))?;
        if let Some(missing) = parser.rules.by_name.values().find(|it| !parser.defined.contains(it)) {
            return Err(GrammarError::Unknown(parser.rules.names[*missing as usize].clone()));
        }
        parser.rules.refuse_endless()?;
        parser.rules.refuse_left_recursion()?;
        Ok(Self { text: text.into(), rules: Arc::new(parser.rules), root })
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The machine at the beginning of an answer.
    pub fn walk(&self) -> Walk {
        let mut stacks = Vec::new();
        self.rules.open(vec![Place { rule: self.root, alternative: u32::MAX, symbol: 0 }], &mut stacks);
        Walk { rules: self.rules.clone(), stacks }
    }

    /// Whether a whole text is in the language.
    pub fn matches(&self, text: &str) -> bool {
        let mut walk = self.walk();
        walk.take(text.as_bytes()) && walk.may_end()
    }
}

/// A place in a rule. As the last of a stack: the symbol that is read next. Below: where to go on afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rule: u32,
    /// `u32::MAX` before one has been chosen.
    alternative: u32,
    symbol: u32,
}

type Stack = Vec<Place>;

impl Rules {
    fn symbol(&self, place: Place) -> Option<Symbol> {
        self.alternatives[place.rule as usize][place.alternative as usize].get(place.symbol as usize).copied()
    }

    /// Replaces a stack by all that it can become before the next byte. An empty stack is an answer that may end.
    fn open(&self, stack: Stack, out: &mut Vec<Stack>) {
        let mut todo = vec![stack];
        let mut seen = BTreeSet::new();
        while let Some(mut stack) = todo.pop() {
            if out.len() >= limits::GRAMMAR_STACKS_MAX || !seen.insert(stack.clone()) {
                continue;
            }
            let Some(top) = stack.pop() else {
                out.push(stack);
                continue;
            };
            if top.alternative == u32::MAX {
                let count = self.alternatives[top.rule as usize].len() as u32;
                // Reversed, so that the first alternative is looked at first.
                for alternative in (0..count).rev() {
                    let mut chosen = stack.clone();
                    chosen.push(Place { alternative, ..top });
                    todo.push(chosen);
                }
                continue;
            }
            match self.symbol(top) {
                None => todo.push(stack),
                Some(Symbol::Bytes(..)) => {
                    stack.push(top);
                    if !out.contains(&stack) {
                        out.push(stack);
                    }
                }
                Some(Symbol::Rule(rule)) => {
                    let after = Place { symbol: top.symbol + 1, ..top };
                    // Nothing is kept of an alternative that is over: repetitions stay flat.
                    if self.symbol(after).is_some() {
                        stack.push(after);
                    }
                    stack.push(Place { rule, alternative: u32::MAX, symbol: 0 });
                    todo.push(stack);
                }
            }
        }
    }

    fn refuse_endless(&self) -> Result<(), GrammarError> {
        let mut ends = vec![false; self.alternatives.len()];
        loop {
            let mut changed = false;
            for (rule, alternatives) in self.alternatives.iter().enumerate() {
                let end = |it: &Symbol| match it {
                    Symbol::Bytes(..) => true,
                    Symbol::Rule(rule) => ends[*rule as usize],
                };
                if !ends[rule] && alternatives.iter().any(|it| it.iter().all(end)) {
                    ends[rule] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        match ends.iter().position(|it| !it) {
            Some(rule) => Err(GrammarError::Endless(self.names[rule].clone())),
            None => Ok(()),
        }
    }

    fn refuse_left_recursion(&self) -> Result<(), GrammarError> {
        let mut empty = vec![false; self.alternatives.len()];
        let may_be_empty = |empty: &[bool], it: &Symbol| matches!(it, Symbol::Rule(rule) if empty[*rule as usize]);
        while let Some(rule) = (0..empty.len())
            .find(|rule| !empty[*rule] && self.alternatives[*rule].iter().any(|it| it.iter().all(|it| may_be_empty(&empty, it))))
        {
            empty[rule] = true;
        }
        // 0: not looked at, 1: begun, 2: done. A rule that is met while it is begun begins with itself.
        let mut state = vec![0_u8; self.alternatives.len()];
        for start in 0..self.alternatives.len() {
            let mut stack = vec![(start, false)];
            while let Some((rule, leave)) = stack.pop() {
                if leave {
                    state[rule] = 2;
                    continue;
                }
                match state[rule] {
                    0 => {}
                    1 => return Err(GrammarError::LeftRecursion(self.names[rule].clone())),
                    _ => continue,
                }
                state[rule] = 1;
                stack.push((rule, true));
                for alternative in &self.alternatives[rule] {
                    for symbol in alternative {
                        if let Symbol::Rule(next) = symbol {
                            if state[*next as usize] == 1 {
                                return Err(GrammarError::LeftRecursion(self.names[*next as usize].clone()));
                            }
                            stack.push((*next as usize, false));
                        }
                        if !may_be_empty(&empty, symbol) {
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A grammar that has read part of an answer.
#[derive(Debug, Clone)]
pub struct Walk {
    rules: Arc<Rules>,
    stacks: Vec<Stack>,
}

impl Walk {
    fn read(&mut self, byte: u8) -> bool {
        let mut next = Vec::new();
        for stack in &self.stacks {
            let Some(top) = stack.last() else { continue };
            let Some(Symbol::Bytes(from, to)) = self.rules.symbol(*top) else { continue };
            if (from..=to).contains(&byte) {
                let mut stack = stack.clone();
                let top = stack.last_mut().expect("looked at above");
                top.symbol += 1;
                self.rules.open(stack, &mut next);
            }
        }
        next.sort_unstable();
        next.dedup();
        self.stacks = next;
        !self.stacks.is_empty()
    }
}

impl Constraint for Walk {
    fn next(&self) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        for top in self.stacks.iter().filter_map(|it| it.last()) {
            if let Some(Symbol::Bytes(from, to)) = self.rules.symbol(*top) {
                set.insert_range(from, to);
            }
        }
        set
    }

    fn may_end(&self) -> bool {
        self.stacks.iter().any(Vec::is_empty)
    }

    fn allows(&self, bytes: &[u8]) -> bool {
        self.clone().take(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        let before = self.stacks.clone();
        let taken = bytes.iter().all(|it| self.read(*it));
        if !taken {
            self.stacks = before;
        }
        taken
    }

    fn forced(&self) -> &[u8] {
        &[]
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    rules: Rules,
    defined: BTreeSet<u32>,
}

impl Parser {
    fn grammar(&mut self) -> Result<(), GrammarError> {
        loop {
            self.space(true);
            if self.at == self.chars.len() {
                return Ok(());
            }
            let name = self.name().ok_or_else(|| self.wrong("a rule begins with its name: `name ::= ...`"))?;
            self.space(false);
            if !self.eat_all("::=") {
                return Err(self.wrong(&format!("`::=` follows the name {name}")));
            }
            self.space(true);
            let rule = self.rule(&name);
            if !self.defined.insert(rule) {
                return Err(self.wrong(&format!("{name} is there twice: join the two with `|`")));
            }
            let alternatives = self.alternatives(false)?;
            self.rules.alternatives[rule as usize] = alternatives;
            if !matches!(self.peek(), None | Some('\n')) {
                return Err(self.wrong("a rule ends with its line; put alternatives of several lines into ( )"));
            }
        }
    }

    fn alternatives(&mut self, nested: bool) -> Result<Vec<Vec<Symbol>>, GrammarError> {
        let mut all = vec![self.sequence(nested)?];
        while self.peek() == Some('|') {
            self.at += 1;
            self.space(true);
            all.push(self.sequence(nested)?);
        }
        Ok(all)
    }

    fn sequence(&mut self, nested: bool) -> Result<Vec<Symbol>, GrammarError> {
        let mut sequence = Vec::new();
        loop {
            let Some(c) = self.peek() else { return Ok(sequence) };
            let item = match c {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.at += 1;
                    self.ranges(&[('\0', char::MAX)])?
                }
                '(' => {
                    self.at += 1;
                    self.space(true);
                    let inner = self.alternatives(true)?;
                    if self.peek() != Some(')') {
                        return Err(self.wrong("a group ends with `)`"));
                    }
                    self.at += 1;
                    vec![self.fresh(inner)?]
                }
                _ => match self.name() {
                    Some(name) => vec![Symbol::Rule(self.rule(&name))],
                    None => return Ok(sequence),
                },
            };
            let item = self.repeated(item)?;
            self.count(item.len())?;
            sequence.extend(item);
            self.space(nested);
        }
    }

    fn repeated(&mut self, item: Vec<Symbol>) -> Result<Vec<Symbol>, GrammarError> {
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.at += 1;
                let least = self.number()?;
                let most = if self.peek() == Some(',') {
                    self.at += 1;
                    if self.peek() == Some('}') { None } else { Some(self.number()?) }
                } else {
                    Some(least)
                };
                if self.peek() != Some('}') || most.is_some_and(|it| it < least) {
                    return Err(self.wrong("a repetition is `{m}`, `{m,}` or `{m,n}` with m not above n"));
                }
                (least, most)
            }
            _ => return Ok(item),
        };
        self.at += 1;
        self.count(item.len() * (least.max(most.unwrap_or(0)) as usize + 1))?;
        // One symbol stands for the item, so that each further repetition costs one.
        let item = if item.len() == 1 { item[0] } else { self.fresh(vec![item])? };
        let mut out = vec![item; least as usize];
        match most {
            None => {
                let rule = self.empty_rule();
                self.rules.alternatives[rule as usize] = vec![vec![item, Symbol::Rule(rule)], vec![]];
                out.push(Symbol::Rule(rule));
            }
            Some(most) => {
                // x{0,3} is (x (x (x)?)?)?
                let mut rest = None;
                for _ in least..most {
                    let taken = [Some(item), rest].into_iter().flatten().collect();
                    rest = Some(self.fresh(vec![taken, vec![]])?);
                }
                out.extend(rest);
            }
        }
        Ok(out)
    }

    fn literal(&mut self) -> Result<Vec<Symbol>, GrammarError> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.wrong("a literal ends with `\"` on its line")),
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(_) => {
                    let c = self.char()?;
                    let mut buffer = [0; 4];
                    out.extend(c.encode_utf8(&mut buffer).bytes().map(|it| Symbol::Bytes(it, it)));
                }
            }
        }
    }

    fn class(&mut self) -> Result<Vec<Symbol>, GrammarError> {
        self.at += 1;
        let negated = self.peek() == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.wrong("a class ends with `]` on its line")),
                Some(']') => break,
                Some(_) => {
                    let from = self.char()?;
                    let mut to = from;
                    if self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|it| *it != ']') {
                        self.at += 1;
                        to = self.char()?;
                    }
                    if to < from {
                        return Err(self.wrong("a range goes from the lower character to the higher"));
                    }
                    ranges.push((from, to));
                }
            }
        }
        self.at += 1;
        let ranges = if negated { complement(ranges) } else { ranges };
        if ranges.is_empty() {
            return Err(self.wrong("a class holds at least one character"));
        }
        self.ranges(&ranges)
    }

    /// One character of several ranges, as bytes.
    fn ranges(&mut self, ranges: &[(char, char)]) -> Result<Vec<Symbol>, GrammarError> {
        let mut alternatives = Vec::new();
        for (from, to) in ranges {
            for sequence in Utf8Sequences::new(*from, *to) {
                alternatives.push(sequence.as_slice().iter().map(|it| Symbol::Bytes(it.start, it.end)).collect::<Vec<_>>());
            }
        }
        if let [only] = alternatives.as_slice() {
            return Ok(only.clone());
        }
        Ok(vec![self.fresh(alternatives)?])
    }

    fn char(&mut self) -> Result<char, GrammarError> {
        let c = self.peek().ok_or_else(|| self.wrong("a character is missing"))?;
        self.at += 1;
        if c != '\\' {
            return Ok(c);
        }
        let escaped = self.peek().ok_or_else(|| self.wrong("something follows `\\`"))?;
        self.at += 1;
        let digits = match escaped {
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            '\\' | '"' | '[' | ']' | '-' | '^' => return Ok(escaped),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(self.wrong("after `\\` stand n, r, t, x, u, U, \\, \", [, ], - or ^")),
        };
        let text: String = self.chars[self.at..].iter().take(digits).collect();
        let code = u32::from_str_radix(&text, 16).ok().filter(|_| text.chars().count() == digits);
        let c = code.and_then(char::from_u32).ok_or_else(|| self.wrong(&format!("`\\{escaped}` has {digits} hexadecimal digits of a character")))?;
        self.at += digits;
        Ok(c)
    }

    fn number(&mut self) -> Result<u32, GrammarError> {
        let from = self.at;
        while self.peek().is_some_and(|it| it.is_ascii_digit()) {
            self.at += 1;
        }
        let text: String = self.chars[from..self.at].iter().collect();
        let number = text.parse().ok().filter(|it| *it as usize <= limits::GRAMMAR_SYMBOLS_MAX);
        number.ok_or_else(|| self.wrong(&format!("a number up to {} stands here", limits::GRAMMAR_SYMBOLS_MAX)))
    }

    fn name(&mut self) -> Option<String> {
        let from = self.at;
        while self.peek().is_some_and(|it| it.is_ascii_alphanumeric() || it == '-' || it == '_') {
            self.at += 1;
        }
        (self.at > from).then(|| self.chars[from..self.at].iter().collect())
    }

    fn rule(&mut self, name: &str) -> u32 {
        if let Some(rule) = self.rules.by_name.get(name) {
            return *rule;
        }
        let rule = self.empty_rule();
        self.rules.names[rule as usize] = name.to_owned();
        self.rules.by_name.insert(name.to_owned(), rule);
        rule
    }

    fn empty_rule(&mut self) -> u32 {
        let rule = self.rules.alternatives.len() as u32;
        self.rules.alternatives.push(Vec::new());
        self.rules.names.push(format!("on line {}", self.line()));
        rule
    }

    fn fresh(&mut self, alternatives: Vec<Vec<Symbol>>) -> Result<Symbol, GrammarError> {
        self.count(alternatives.iter().map(|it| it.len() + 1).sum())?;
        let rule = self.empty_rule();
        self.rules.alternatives[rule as usize] = alternatives;
        Ok(Symbol::Rule(rule))
    }

    fn count(&mut self, symbols: usize) -> Result<(), GrammarError> {
        self.rules.symbols = self.rules.symbols.saturating_add(symbols);
        if self.rules.symbols > limits::GRAMMAR_SYMBOLS_MAX {
            return Err(GrammarError::TooLarge(format!("{} symbols", limits::GRAMMAR_SYMBOLS_MAX)));
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat_all(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(index, it)| self.chars.get(self.at + index) == Some(&it));
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn space(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '\n' if lines => self.at += 1,
                '#' => {
                    while self.peek().is_some_and(|it| it != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn line(&self) -> usize {
        1 + self.chars[..self.at.min(self.chars.len())].iter().filter(|it| **it == '\n').count()
    }

    fn wrong(&self, what: &str) -> GrammarError {
        GrammarError::Syntax { line: self.line(), what: what.to_owned() }
    }
}

/// All characters outside of these ranges.
fn complement(mut ranges: Vec<(char, char)>) -> Vec<(char, char)> {
    ranges.sort_unstable();
    let mut out = Vec::new();
    let mut from = 0_u32;
    for (low, high) in ranges {
        push_chars(&mut out, from, (low as u32).checked_sub(1));
        from = from.max(high as u32 + 1);
    }
    push_chars(&mut out, from, Some(char::MAX as u32));
    out
}

/// Adds a range of code points without the surrogates, which are no characters.
fn push_chars(out: &mut Vec<(char, char)>, from: u32, to: Option<u32>) {
    let Some(to) = to.filter(|it| *it >= from) else { return };
    for (from, to) in [(from, to.min(0xD7FF)), (from.max(0xE000), to)] {
        if let (Some(from), Some(to)) = (char::from_u32(from), char::from_u32(to)) {
            if from <= to {
                out.push((from, to));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(grammar: &str, good: &[&str], bad: &[&str]) {
        let grammar = Gbnf::compile(grammar).unwrap();
        for text in good {
            assert!(grammar.matches(text), "{text:?} is in {}", grammar.text());
        }
        for text in bad {
            assert!(!grammar.matches(text), "{text:?} is not in {}", grammar.text());
        }
    }

    #[test]
    fn what_a_grammar_says_is_what_it_takes() {
        check("root ::= \"a\" | \"bc\"", &["a", "bc"], &["", "b", "ab", "bcc"]);
        check("root ::= [a-c0]+", &["a", "c0b"], &["", "d"]);
        check("root ::= [^a-c]*", &["", "中d", "\u{10FFFF}"], &["a", "db"]);
        check("root ::= \"x\"{2,3} y?\ny ::= \"y\"", &["xx", "xxxy"], &["x", "xxxx", "yx"]);
        check("root ::= (\"a\" |\n \"b\") # or\n  \n", &["a", "b"], &["ab"]);
        check("root ::= \"路\" [一-龥]{1,}", &["路灯"], &["路", "路a"]);
        check("root ::= \"[\" (n (\",\" n)*)? \"]\"\nn ::= \"0\" | [1-9] [0-9]*", &["[]", "[0,12]"], &["[01]", "[1,]"]);
        check("root ::= \"(\" root \")\" | \"\"", &["", "(())"], &["(", "(()"]);
        check("root ::= \"\\x41\\u4e2d\\n\\\"\"", &["A中\n\""], &["A中"]);
        check("root ::= . .", &["中a"], &["中"]);
        check("root ::= a a\na ::= \"x\"?", &["", "x", "xx"], &["xxx"]);
    }

    #[test]
    fn a_wrong_grammar_is_refused_with_its_line() {
        let line = |text: &str| match Gbnf::compile(text) {
            Err(GrammarError::Syntax { line, .. }) => line,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(line("root ::= \"a"), 1);
        assert_eq!(line("root ::= \"a\"\nx = 1"), 2);
        assert_eq!(line("root ::= \"a\"\n\nroot ::= \"b\""), 3);
        assert_eq!(line("root ::= [b-a]"), 1);
        assert_eq!(line("root ::= []"), 1);
        assert_eq!(line("root ::= (\"a\""), 1);
        assert_eq!(line("root ::= \"a\"{3,2}"), 1);
        assert_eq!(line("root ::= \"\\q\""), 1);
        assert_eq!(line("root ::= \"a\" )"), 1);
    }

    #[test]
    fn a_grammar_that_cannot_be_walked_is_refused() {
        let error = |text: &str| Gbnf::compile(text).unwrap_err();
        assert_eq!(error(""), GrammarError::Unknown("root".into()));
        assert_eq!(error("root ::= x"), GrammarError::Unknown("x".into()));
        assert_eq!(error("root ::= root \"a\" | \"b\""), GrammarError::LeftRecursion("root".into()));
        assert_eq!(error("root ::= x \"a\" | \"b\"\nx ::= \"c\"? root"), GrammarError::LeftRecursion("root".into()));
        assert_eq!(error("root ::= \"a\" root"), GrammarError::Endless("root".into()));
        assert!(matches!(error("root ::= \"a\"{1,60000}"), GrammarError::Syntax { .. }));
        assert!(matches!(error("root ::= \"a\"{50000} \"b\"{50000}"), GrammarError::TooLarge(_)));
        assert!(matches!(error("root ::= (\"a\"*)*"), GrammarError::LeftRecursion(_)));
    }

    #[test]
    fn what_may_follow_is_what_is_allowed() {
        let grammar = Gbnf::compile("root ::= \"{\\\"n\\\":\" [0-9]{1,3} \"}\" | \"路\" [^灯]").unwrap();
        for text in ["{\"n\":123}", "路牌"] {
            let mut walk = grammar.walk();
            for byte in text.bytes() {
                let next = walk.next();
                for candidate in 0..=255 {
                    assert_eq!(next.has(candidate), walk.allows(&[candidate]));
                }
                assert!(walk.take(&[byte]));
            }
            assert!(walk.may_end());
        }
    }

    #[test]
    fn a_long_repetition_is_walked_without_growing() {
        let grammar = Gbnf::compile("root ::= [a-z]{0,200} \".\"").unwrap();
        let mut walk = grammar.walk();
        for _ in 0..200 {
            assert!(walk.take(b"x"));
            assert!(walk.stacks.len() <= 2 && walk.stacks.iter().all(|it| it.len() <= 3));
        }
        assert!(!walk.allows(b"x") && walk.take(b".") && walk.may_end());
    }
}
