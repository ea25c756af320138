//! Reads JSON text value by value and checks its syntax on the way, also that of values which nobody wants.
//!
//! The grammar is that of RFC 8259 with at most [`DEPTH_MAX`] arrays and objects inside each other. What the grammar allows
//! but no column can hold, such as 1e400 or half of a surrogate pair, is no fault of the document: that value has no meaning,
//! the others keep theirs.

/// How many arrays and objects may be open at once.
pub(super) const DEPTH_MAX: usize = 127;

/// The text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// One value and where it stands in the text.
///
/// It is written in place and has no payload by kind: moving an enum with one through registers and back took longer than
/// all the reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    kind: Kind,
    start: usize,
    end: usize,
    /// All digits of a number before the exponent.
    digits: u64,
    /// The power of ten that the digits count.
    power: i32,
    negative: bool,
    /// There are more digits than were read.
    long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    /// A number written with neither a point nor an exponent.
    Whole,
    /// Any other number.
    Number,
    /// A string without escapes; its marks stand outside.
    Text,
    /// A string with escapes.
    Escaped,
    Object,
    Array,
}

impl Cell {
    /// What is missing.
    pub(super) const NULL: Cell = Cell { kind: Kind::Null, start: 0, end: 0, digits: 0, power: 0, negative: false, long: false };

    #[inline]
    fn set(&mut self, kind: Kind, start: usize, end: usize) {
        (self.kind, self.start, self.end) = (kind, start, end);
    }
}

/// Reads on from a place in the text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// All of it.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from a place up to where the scanner is.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether an object comes next.
    pub(super) fn at_object(&self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Steps over the byte, if it is the next one.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Steps over the bytes, if they are the next ones.
    #[inline]
    pub(super) fn take_all(&mut self, bytes: &[u8]) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(bytes);
        if found {
            self.at += bytes.len();
        }
        found
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The end of the text, but for space.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }

    /// Reads the next value; `depth` arrays and objects are open around it.
    #[inline]
    pub(super) fn value(&mut self, depth: usize, cell: &mut Cell) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string(cell)
            }
            Some(b'-' | b'0'..=b'9') => self.number(cell),
            Some(b'{') => self.nested(Kind::Object, depth, cell),
            Some(b'[') => self.nested(Kind::Array, depth, cell),
            Some(b't') => self.literal("true", Kind::True, cell),
            Some(b'f') => self.literal("false", Kind::False, cell),
            Some(b'n') => self.literal("null", Kind::Null, cell),
            _ => Err(Malformed),
        }
    }

    fn nested(&mut self, kind: Kind, depth: usize, cell: &mut Cell) -> Result<(), Malformed> {
        let start = self.at;
        self.skip(depth)?;
        cell.set(kind, start, self.at);
        Ok(())
    }

    fn literal(&mut self, word: &str, kind: Kind, cell: &mut Cell) -> Result<(), Malformed> {
        cell.set(kind, self.at, self.at + word.len());
        if self.take_all(word.as_bytes()) { Ok(()) } else { Err(Malformed) }
    }

    /// Steps over the next value.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string_end().map(|_| ())
            }
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            Some(b'{') => self.skip_object(depth + 1),
            Some(b'[') => self.skip_array(depth + 1),
            _ => self.value(depth, &mut { Cell::NULL }),
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), Malformed> {
        self.open(depth)?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            self.string_end()?;
            self.space();
            self.expect(b':')?;
            self.space();
            self.skip(depth)?;
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), Malformed> {
        self.each_item(depth, |scanner| scanner.skip(depth))
    }

    /// Reads an array; `item` reads one item of it.
    pub(super) fn each_item(
        &mut self,
        depth: usize,
        mut item: impl FnMut(&mut Scanner<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.open(depth)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Steps over the bracket that opens an array or an object, the `depth`th around each other.
    pub(super) fn open(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Steps over the comma after a value, or over the bracket that closes: then nothing follows.
    #[inline]
    pub(super) fn goes_on(&mut self, close: u8) -> Result<bool, Malformed> {
        self.space();
        if self.take(b',') {
            self.space();
            return Ok(true);
        }
        self.expect(close).map(|()| false)
    }

    /// Reads the string whose opening mark was just read.
    #[inline]
    pub(super) fn string(&mut self, cell: &mut Cell) -> Result<(), Malformed> {
        let start = self.at;
        let kind = if self.string_end()? { Kind::Escaped } else { Kind::Text };
        cell.set(kind, start, self.at - 1);
        Ok(())
    }

    /// Steps over the rest of a string and says whether there was an escape in it.
    #[inline]
    fn string_end(&mut self) -> Result<bool, Malformed> {
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            self.at = next_special(bytes, self.at).ok_or(Malformed)?;
            match bytes[self.at] {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return Err(Malformed),
            }
            escaped = true;
        }
        self.at += 1;
        Ok(escaped)
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if bytes.get(self.at + 2..self.at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => self.at += 6,
            _ => return Err(Malformed),
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self, cell: &mut Cell) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        cell.negative = self.take(b'-');
        let first = self.at;
        let (mut at, mut digits) = read_digits(bytes, first, 0);
        let mut count = at - first;
        if count == 0 || (count > 1 && bytes[first] == b'0') {
            return Err(Malformed);
        }
        let (mut power, mut kind) = (0, Kind::Whole);
        if bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            (at, digits) = read_digits(bytes, fraction, digits);
            if at == fraction {
                return Err(Malformed);
            }
            count += at - fraction;
            (power, kind) = (-((at - fraction).min(1 << 20) as i32), Kind::Number);
        }
        self.at = at;
        if let Some(b'e' | b'E') = self.peek() {
            power += self.exponent()?;
            kind = Kind::Number;
        }
        (cell.digits, cell.power, cell.long) = (digits, power, count > 19);
        cell.set(kind, start, self.at);
        Ok(())
    }

    /// An exponent with its letter. One beyond a million stays at a million: the number is 0 or infinite.
    fn exponent(&mut self) -> Result<i32, Malformed> {
        self.at += 1;
        let negative = self.take(b'-');
        if !negative {
            self.take(b'+');
        }
        let start = self.at;
        let mut exponent = 0_i32;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            exponent = (exponent * 10 + i32::from(digit - b'0')).min(1_000_000);
            self.at += 1;
        }
        if self.at == start {
            return Err(Malformed);
        }
        Ok(if negative { -exponent } else { exponent })
    }

    fn skip_number(&mut self) -> Result<(), Malformed> {
        self.number(&mut { Cell::NULL })
    }
}

/// Reads digits on; what exceeds 64 bits is lost. Tells where they end.
#[inline]
fn read_digits(bytes: &[u8], mut at: usize, mut digits: u64) -> (usize, u64) {
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (at, digits)
}

const ONES: u64 = u64::MAX / 255;
const TOPS: u64 = ONES << 7;

/// Where the next quotation mark, backslash or control character stands.
#[inline]
fn next_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        // A byte of `below(x, n)` has its top bit set when that byte of x is less than n. Only above the first such byte
        // there may be wrong ones, and only the first counts.
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
        let found = (below(word ^ (ONES * b'"' as u64), 1) | below(word ^ (ONES * b'\\' as u64), 1) | below(word, 0x20)) & TOPS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).map(|found| at + found)
}

/// The powers of ten that are floats.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

// What a cell means, beside the text that it was read from; nothing when it is of another type.
impl Cell {
    /// The nearest float to a number; nothing when that is infinite.
    #[inline]
    pub(super) fn float(&self, text: &str) -> Option<f64> {
        if !matches!(self.kind, Kind::Whole | Kind::Number) {
            return None;
        }
        // Digits and power are floats then, and one operation on two floats is rounded once.
        if !self.long
            && self.digits <= 1 << 53
            && let Some(ten) = TENS.get(self.power.unsigned_abs() as usize)
        {
            let magnitude = if self.power < 0 { self.digits as f64 / ten } else { self.digits as f64 * ten };
            return Some(if self.negative { -magnitude } else { magnitude });
        }
        text[self.start..self.end].parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// A whole number; 12.0 is one, 12.5 is not. Written with a point or an exponent it has to be below 2^53.
    #[inline]
    pub(super) fn integer(&self, text: &str) -> Option<i64> {
        match self.kind {
            Kind::Whole if self.long => None,
            Kind::Whole if self.negative => 0_i64.checked_sub_unsigned(self.digits),
            Kind::Whole => i64::try_from(self.digits).ok(),
            _ => {
                let value = self.float(text)?;
                (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value as i64)
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// A string; nothing when it has half of a surrogate pair. `scratch` holds it if it was escaped.
    #[inline]
    pub(super) fn string<'s>(&self, text: &'s str, scratch: &'s mut String) -> Option<&'s str> {
        match self.kind {
            Kind::Text => Some(&text[self.start..self.end]),
            Kind::Escaped => {
                scratch.clear();
                unescape(&text[self.start..self.end], scratch)?;
                Some(scratch)
            }
            _ => None,
        }
    }

    /// An object with everything in it.
    pub(super) fn object<'a>(&self, text: &'a str) -> Option<&'a str> {
        (self.kind == Kind::Object).then(|| &text[self.start..self.end])
    }

    /// An array with everything in it.
    pub(super) fn array<'a>(&self, text: &'a str) -> Option<&'a str> {
        (self.kind == Kind::Array).then(|| &text[self.start..self.end])
    }

    /// Anything but `null`, as it was written.
    pub(super) fn json<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self.kind {
            Kind::Null => None,
            Kind::Text | Kind::Escaped => Some(&text[self.start - 1..=self.end]),
            _ => Some(&text[self.start..self.end]),
        }
    }
}

/// Resolves the escapes of a string that was scanned; nothing when half of a surrogate pair stands alone.
fn unescape(mut raw: &str, out: &mut String) -> Option<()> {
    while let Some(at) = raw.find('\\') {
        out.push_str(&raw[..at]);
        let letter = *raw.as_bytes().get(at + 1)?;
        raw = &raw[at + 2..];
        out.push(match letter {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => code_point(&mut raw)?,
            other => char::from(other),
        });
    }
    out.push_str(raw);
    Some(())
}

/// The character of `\u....`, or of two of them, after the first `\u`.
fn code_point(raw: &mut &str) -> Option<char> {
    let first = hex(raw)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    *raw = raw.strip_prefix("\\u")?;
    let second = hex(raw)?.checked_sub(0xdc00).filter(|second| *second < 0x400)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second)
}

fn hex(raw: &mut &str) -> Option<u32> {
    let (four, rest) = raw.split_at_checked(4)?;
    *raw = rest;
    u32::from_str_radix(four, 16).ok()
}
