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

/// One value, as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(Text<'a>),
    /// An array or an object with everything in it, already checked.
    Nested(&'a str),
}

/// A number with its digits already read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    pub(super) raw: &'a str,
    /// All digits before the exponent, when there are at most 19.
    digits: Option<u64>,
    /// The power of ten that they count.
    power: i32,
    negative: bool,
    /// Written with neither a point nor an exponent.
    whole: bool,
}

/// A string without its quotation marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a str,
    escaped: bool,
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

    /// The next value; `depth` arrays and objects are open around it.
    #[inline]
    pub(super) fn value(&mut self, depth: usize) -> Result<Cell<'a>, Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Cell::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Cell::Number),
            Some(b'{' | b'[') => {
                let start = self.at;
                self.skip(depth)?;
                Ok(Cell::Nested(self.since(start)))
            }
            Some(b't') => self.literal("true", Cell::Bool(true)),
            Some(b'f') => self.literal("false", Cell::Bool(false)),
            Some(b'n') => self.literal("null", Cell::Null),
            _ => Err(Malformed),
        }
    }

    fn literal(&mut self, word: &str, cell: Cell<'a>) -> Result<Cell<'a>, Malformed> {
        if self.take_all(word.as_bytes()) { Ok(cell) } else { Err(Malformed) }
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
            _ => self.value(depth).map(|_| ()),
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

    /// The string whose opening mark was just read.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let start = self.at;
        let escaped = self.string_end()?;
        Ok(Text { raw: &self.text[start..self.at - 1], escaped })
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
    fn number(&mut self) -> Result<Number<'a>, Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let negative = self.take(b'-');
        let first = self.at;
        let mut digits = 0;
        self.at = read_digits(bytes, first, &mut digits);
        let mut count = self.at - first;
        if count == 0 || (count > 1 && bytes[first] == b'0') {
            return Err(Malformed);
        }
        let (mut power, mut whole) = (0, true);
        if self.take(b'.') {
            let fraction = self.at;
            self.at = read_digits(bytes, fraction, &mut digits);
            if self.at == fraction {
                return Err(Malformed);
            }
            count += self.at - fraction;
            (power, whole) = (-((self.at - fraction).min(1 << 20) as i32), false);
        }
        if let Some(b'e' | b'E') = self.peek() {
            power += self.exponent()?;
            whole = false;
        }
        let digits = (count <= 19).then_some(digits);
        Ok(Number { raw: self.since(start), digits, power, negative, whole })
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

    #[inline]
    fn skip_number(&mut self) -> Result<(), Malformed> {
        self.number().map(|_| ())
    }
}

/// Reads digits on; what exceeds 64 bits is lost.
#[inline]
fn read_digits(bytes: &[u8], mut at: usize, digits: &mut u64) -> usize {
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        *digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    at
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

impl Number<'_> {
    /// The nearest float; nothing when it is infinite.
    #[inline]
    pub(super) fn float(&self) -> Option<f64> {
        // Digits and power are floats then, and one operation on two floats is rounded once.
        if let Some(digits) = self.digits
            && digits <= 1 << 53
            && let Some(ten) = TENS.get(self.power.unsigned_abs() as usize)
        {
            let magnitude = if self.power < 0 { digits as f64 / ten } else { digits as f64 * ten };
            return Some(if self.negative { -magnitude } else { magnitude });
        }
        self.raw.parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// A whole number; 12.0 is one, 12.5 is not. Written with a point or an exponent it has to be below 2^53.
    #[inline]
    pub(super) fn integer(&self) -> Option<i64> {
        if self.whole {
            let digits = self.digits?;
            return if self.negative { 0_i64.checked_sub_unsigned(digits) } else { i64::try_from(digits).ok() };
        }
        let value = self.float()?;
        (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value as i64)
    }
}

impl<'a> Text<'a> {
    /// The string that is meant; nothing when it has half of a surrogate pair. `scratch` holds it if it was escaped.
    #[inline]
    pub(super) fn read<'s>(&self, scratch: &'s mut String) -> Option<&'s str>
    where
        'a: 's,
    {
        if !self.escaped {
            return Some(self.raw);
        }
        scratch.clear();
        unescape(self.raw, scratch)?;
        Some(scratch)
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
