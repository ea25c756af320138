//! Whether bytes are UTF-8, and if not, what they look like. Everything in the log is UTF-8.

/// Bytes that are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUtf8 {
    /// Where the first wrong byte is, from 0.
    pub at: usize,
    /// The wrong byte.
    pub byte: u8,
    /// An encoding in which all of it would be text.
    pub looks_like: Option<&'static str>,
}

impl NotUtf8 {
    /// As a sentence's end, in English.
    pub fn en(&self) -> String {
        let guess = self.looks_like.map_or_else(String::new, |name| format!("; it looks like {name}, convert it to UTF-8"));
        format!("is not UTF-8: byte {} is 0x{:02X}{guess}", self.at, self.byte)
    }

    /// The same in Chinese.
    pub fn zh(&self) -> String {
        let guess = self.looks_like.map_or_else(String::new, |name| format!("；看起来是 {name} 编码，请转换为 UTF-8"));
        format!("不是 UTF-8：第 {} 个字节（从 0 起）是 0x{:02X}{guess}", self.at, self.byte)
    }
}

/// The text, or where it stops being text.
pub fn utf8(bytes: &[u8]) -> Result<&str, NotUtf8> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        NotUtf8 { at, byte: bytes.get(at).copied().unwrap_or_default(), looks_like: guess(bytes) }
    })
}

/// How much of a body is looked at for the guess.
const GUESS_BYTES_MAX: usize = 64 * 1024;

fn guess(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Some("UTF-16");
    }
    // Cutting could split the last character, so only a whole body is judged strictly.
    let (head, whole) = if bytes.len() > GUESS_BYTES_MAX { (&bytes[..GUESS_BYTES_MAX], false) } else { (bytes, true) };
    let reads_as = |encoding: &'static encoding_rs::Encoding| {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let mut text = String::with_capacity(head.len() * 3);
        let (result, _) = decoder.decode_to_string_without_replacement(head, &mut text, whole);
        !matches!(result, encoding_rs::DecoderResult::Malformed(..))
    };
    [("GBK", encoding_rs::GBK), ("Big5", encoding_rs::BIG5), ("Shift_JIS", encoding_rs::SHIFT_JIS)]
        .into_iter()
        .find(|(_, encoding)| reads_as(encoding))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gbk_is_recognised_and_the_first_wrong_byte_named() {
        let (gbk, _, _) = encoding_rs::GBK.encode("{\"text\":\"路灯不亮\"}");
        let wrong = utf8(&gbk).unwrap_err();
        assert_eq!((wrong.at, wrong.looks_like), (11, Some("GBK")));
        // 路 is C2 B7 in GBK, which happens to be UTF-8 for a middle dot; the next byte cannot be.
        assert!(wrong.en().contains("byte 11") && wrong.zh().contains("GBK"));
    }

    #[test]
    fn a_cut_character_is_named_too() {
        let text = "路灯".as_bytes();
        assert_eq!(utf8(&text[..5]).unwrap_err().at, 3);
        assert_eq!(utf8(text), Ok("路灯"));
    }
}
