use arroyo_udf_plugin::udf;

/// Text in one spelling, to compare and to count: full-width letters, digits and signs become half-width, letters small,
/// Chinese signs their plain ones, runs of one sign a single one, runs of white space one blank, none at the ends.
/// Normalising twice changes nothing more.
#[udf]
fn text_normalise(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars().map(plain).flat_map(char::to_lowercase).map(plain).filter(|c| !is_invisible(*c)) {
        let last = result.chars().next_back();
        let blank = c == ' ' && last.is_none_or(|last| last == ' ');
        let again = is_sign(c) && last == Some(c);
        if !blank && !again {
            result.push(c);
        }
    }
    result.truncate(result.trim_end().len());
    result
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{307}') || (c.is_control() && !c.is_whitespace())
}

/// One character in its plain form.
fn plain(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).expect("full-width forms have half-width ones"),
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
        _ if c.is_whitespace() => ' ',
        _ => c,
    }
}

fn is_sign(c: char) -> bool {
    c.is_ascii_punctuation()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(text_normalise(text), expected);
        assert_eq!(text_normalise(expected), expected, "twice is once");
    }

    #[test]
    fn width_case_signs_and_space() {
        check("ＡＢＣ１２３", "abc123");
        check("  路灯　不亮\t了\r\n", "路灯 不亮 了");
        check("救命！！！快来。。。。", "救命!快来.");
        check("怎么回事？！？！", "怎么回事?!?!");
        check("【紧急】水……很深——", "[紧急]水.很深-");
        check("“积水”", "\"积水\"");
        check("a\u{200b}b", "ab");
        check("", "");
        check("　", "");
    }

    #[test]
    fn doubled_letters_and_digits_stay() {
        check("看看 1100 号 ss", "看看 1100 号 ss");
    }

    #[test]
    fn twice_is_once_for_every_character() {
        for c in '\0'..=char::MAX {
            let once = text_normalise(&format!("a{c}{c} {c}b"));
            assert_eq!(text_normalise(&once), once, "{c:?}");
        }
    }

    #[test]
    fn letters_that_grow() {
        check("İstanbul", "istanbul");
    }
}
