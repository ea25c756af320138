//! Text in one spelling, with the way back to where each character stood.
//!
//! Full-width forms become half-width, letters small, traditional characters simplified, Chinese signs their plain ones, runs
//! of one sign a single one, runs of white space one blank, none at the ends; what cannot be seen goes. It is what the
//! function `text_normalise` of SQL does, and the simplified characters besides. Knows nothing of what the text means.

use std::sync::OnceLock;

/// A text in one spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Normal {
    /// The text.
    pub text: String,
    /// Its characters.
    pub chars: Vec<char>,
    /// For each of its characters the character of the original that it came from, counted in Unicode characters.
    pub origin: Vec<u32>,
    /// For each of its characters its first byte in `text`, and behind the last one the length.
    pub bytes: Vec<u32>,
    /// Characters of the original that were read.
    pub original_chars: usize,
}

impl Normal {
    /// Reads a text.
    ///
    /// ```
    /// let normal = text::Normal::of("１２號　積水！！！");
    /// assert_eq!(normal.text, "12号 积水!");
    /// assert_eq!(normal.original(4, 6), (4, 6));
    /// ```
    pub fn of(text: &str) -> Normal {
        let mut normal = Normal::default();
        normal.read(text, usize::MAX);
        normal
    }

    /// Reads the first `chars_max` characters of a text into memory that is there already.
    pub fn read(&mut self, text: &str, chars_max: usize) {
        self.text.clear();
        self.chars.clear();
        self.origin.clear();
        self.bytes.clear();
        self.original_chars = 0;
        for (at, c) in text.chars().take(chars_max).enumerate() {
            self.original_chars = at + 1;
            if c.is_ascii() || is_han(c) {
                let c = if c.is_ascii() { ascii(c) } else { simplified(c) };
                self.push(c, at);
            } else {
                for c in plain(c).to_lowercase().map(plain) {
                    self.push(simplified(c), at);
                }
            }
        }
        if self.chars.last() == Some(&' ') {
            self.chars.pop();
            self.origin.pop();
            self.bytes.pop();
            self.text.pop();
        }
        self.bytes.push(self.text.len() as u32);
    }

    fn push(&mut self, c: char, at: usize) {
        let last = self.chars.last().copied();
        let blank = c == ' ' && last.is_none_or(|last| last == ' ');
        let again = c.is_ascii_punctuation() && last == Some(c);
        if blank || again || is_invisible(c) {
            return;
        }
        self.bytes.push(self.text.len() as u32);
        self.origin.push(at as u32);
        self.chars.push(c);
        self.text.push(c);
    }

    /// The characters of the original that `start..end` of the normal characters came from.
    pub fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let place = |at: usize| self.origin.get(at).map_or(self.original_chars, |place| *place as usize);
        let first = place(start);
        let behind = if end > start { place(end - 1) + 1 } else { first };
        (first, behind.clamp(first, self.original_chars.max(first)))
    }

    /// The number of the character that begins at, or holds, this byte of `text`.
    pub fn char_at(&self, byte: usize) -> usize {
        match self.bytes.binary_search(&(byte as u32)) {
            Ok(at) => at,
            Err(at) => at.saturating_sub(1),
        }
    }

    /// The normal text of `start..end` of its characters.
    pub fn slice(&self, start: usize, end: usize) -> &str {
        let last = self.bytes.len().saturating_sub(1);
        let byte = |at: usize| self.bytes.get(at.min(last)).map_or(0, |byte| *byte as usize);
        self.text.get(byte(start)..byte(end.max(start))).unwrap_or_default()
    }
}

/// A text in one spelling, without the way back.
pub fn normalise(text: &str) -> String {
    Normal::of(text).text
}

fn ascii(c: char) -> char {
    if c.is_ascii_whitespace() || c == '\u{b}' { ' ' } else { c.to_ascii_lowercase() }
}

/// Not seen: it only hides what is.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{307}') || (c.is_control() && !c.is_whitespace())
}

/// A character of the Chinese script.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}')
}

/// One character in its plain form.
fn plain(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '。' | '｡' => '.',
        '、' | '､' => ',',
        '“' | '”' | '「' | '」' | '『' | '』' => '"',
        '‘' | '’' => '\'',
        '【' | '〔' => '[',
        '】' | '〕' => ']',
        '《' => '<',
        '》' => '>',
        '—' | '–' | '‐' | '‑' | '―' => '-',
        '…' => '.',
        '〜' => '~',
        '〇' => '零',
        _ if c.is_whitespace() => ' ',
        _ => c,
    }
}

const HAN_FIRST: u32 = 0x3400;
const HAN_LAST: u32 = 0x9fff;

/// The simplified character of a traditional one; any other as it is. Character by character: what depends on its
/// neighbours (乾隆) matters to readers, not to matching, where both sides go the same way.
pub fn simplified(c: char) -> char {
    static TABLE: OnceLock<Vec<u16>> = OnceLock::new();
    let code = u32::from(c);
    if !(HAN_FIRST..=HAN_LAST).contains(&code) {
        return c;
    }
    let table = TABLE.get_or_init(|| {
        let once = |code: u32| {
            let converted = char::from_u32(code).and_then(|c| fast2s::convert(c.encode_utf8(&mut [0; 4])).chars().next()).map_or(code, u32::from);
            if (HAN_FIRST..=HAN_LAST).contains(&converted) { converted } else { code }
        };
        // Twice, where one leads to another that leads on.
        (HAN_FIRST..=HAN_LAST).map(|code| if once(once(code)) == code { code.min(once(code)) } else { once(once(code)) } as u16).collect()
    });
    char::from_u32(u32::from(table[(code - HAN_FIRST) as usize])).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(normalise(text), expected);
        assert_eq!(normalise(expected), expected, "twice is once");
    }

    #[test]
    fn width_case_signs_space_and_traditional_characters() {
        check("ＡＢＣ１２３", "abc123");
        check("  路灯　不亮\t了\r\n", "路灯 不亮 了");
        check("救命！！！快来。。。。", "救命!快来.");
        check("怎么回事？！？！", "怎么回事?!?!");
        check("【紧急】水……很深——", "[紧急]水.很深-");
        check("“积水”", "\"积水\"");
        check("a\u{200b}b\0", "ab");
        check("", "");
        check("　", "");
        check("人孔蓋破損，積水嚴重", "人孔盖破损,积水严重");
        check("İstanbul", "istanbul");
        check("看看 1100 号 ss", "看看 1100 号 ss");
    }

    #[test]
    fn twice_is_once_for_every_character() {
        for c in '\0'..=char::MAX {
            let once = normalise(&format!("a{c}{c} {c}b"));
            assert_eq!(normalise(&once), once, "{c:?}");
        }
    }

    #[test]
    fn the_way_back() {
        let normal = Normal::of("  ！！！李四　　 住１２號");
        assert_eq!(normal.text, "!李四 住12号");
        assert_eq!(normal.original(0, 1), (2, 3));
        assert_eq!(normal.original(1, 3), (5, 7));
        assert_eq!(normal.original(4, 8), (10, 14));
        assert_eq!(normal.slice(5, 8), "12号");
        assert_eq!(normal.char_at("!李四 住".len()), 5);
    }

    proptest! {
        #[test]
        fn twice_is_once_and_offsets_lie_inside(text in any::<String>()) {
            let normal = Normal::of(&text);
            prop_assert_eq!(&normalise(&normal.text), &normal.text);
            let count = text.chars().count();
            prop_assert_eq!(normal.original_chars, count);
            for start in 0..=normal.chars.len() {
                let (from, to) = normal.original(start, normal.chars.len());
                prop_assert!(from <= to && to <= count);
            }
        }
    }
}
