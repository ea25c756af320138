//! What a message says in short, in its own words: a title of what and where, and its best sentences.
//!
//! Sentences are chosen by the marks in them: places, times, words of the matter, of danger and of what is wanted.
//! Nothing is written that the text does not say, and what must not be shown is masked already in what is given.

/// A stretch that matters, in characters, and how much.
pub(crate) type Mark = (usize, usize, u8);

/// Characters of a Chinese title.
pub const TITLE_CHARS_MAX: usize = 30;
/// Words of an English title.
pub const TITLE_WORDS_MAX: usize = 12;
/// Sentences of a summary.
pub const SUMMARY_SENTENCES_MAX: usize = 3;
/// Characters of a summary, Chinese and English.
const SUMMARY_CHARS_MAX: [usize; 2] = [160, 400];

const GREETINGS: [&str; 20] = [
    "您好", "你好", "尊敬的", "领导好", "各位领导", "敬爱的", "谢谢", "感谢您", "此致", "敬礼", "hello", "hi ", "dear", "good morning", "good afternoon", "to whom", "thank", "regards", "sincerely", "谢谢",
];

/// Cuts into pieces at these signs; each piece is start and end without blanks around.
fn pieces(chars: &[char], is_end: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 0..=chars.len() {
        if at == chars.len() || is_end(at) {
            let mut from = start;
            let mut to = at;
            while from < to && (chars[from].is_whitespace() || chars[from].is_ascii_punctuation() && !matches!(chars[from], '"' | '(' | '*') || "，。、；：！？".contains(chars[from])) {
                from += 1;
            }
            while to > from && chars[to - 1].is_whitespace() {
                to -= 1;
            }
            if from < to {
                pieces.push((from, to));
            }
            start = at + 1;
        }
    }
    pieces
}

fn ends_sentence(chars: &[char], at: usize) -> bool {
    match chars[at] {
        '。' | '！' | '？' | '!' | '?' | '；' | ';' | '\n' | '…' => true,
        // St. 5 and 3.5 end nothing.
        '.' => {
            let short = at >= 2 && chars[at - 2..at].iter().all(char::is_ascii_alphabetic) && (at < 3 || !chars[at - 3].is_ascii_alphabetic());
            chars.get(at + 1).is_none_or(|next| next.is_whitespace()) && !(short && chars.get(at + 2).is_some_and(|c| c.is_lowercase() || c.is_ascii_digit()))
        }
        _ => false,
    }
}

fn ends_clause(chars: &[char], at: usize) -> bool {
    ends_sentence(chars, at) || matches!(chars[at], '，' | '：') || (matches!(chars[at], ',' | ':') && chars.get(at + 1).is_none_or(|next| !next.is_ascii_digit()))
}

fn weight(piece: (usize, usize), marks: &[Mark]) -> i32 {
    marks.iter().filter(|(start, end, _)| *start >= piece.0 && *end <= piece.1).map(|(_, _, weight)| i32::from(*weight)).sum()
}

fn is_greeting(chars: &[char], piece: (usize, usize)) -> bool {
    GREETINGS.iter().any(|greeting| {
        let mut beginning = chars[piece.0..piece.1].iter().take(16).flat_map(|c| c.to_lowercase());
        greeting.chars().all(|c| beginning.next() == Some(c))
    })
}

fn text(chars: &[char], piece: (usize, usize)) -> String {
    chars[piece.0..piece.1].iter().map(|c| if c.is_control() { ' ' } else { *c }).collect()
}

/// Title and summary of a text that is masked already.
pub(crate) fn title_and_summary(chars: &[char], zh: bool, marks: &[Mark], place: Option<(usize, usize)>) -> (String, String) {
    (title(chars, zh, marks, place), summary(chars, zh, marks))
}

fn title(chars: &[char], zh: bool, marks: &[Mark], place: Option<(usize, usize)>) -> String {
    let clauses = pieces(chars, |at| ends_clause(chars, at));
    let first_line = pieces(chars, |at| chars[at] == '\n').first().copied().unwrap_or_default();
    let mut best: Option<(i32, (usize, usize))> = None;
    for (index, clause) in clauses.iter().copied().enumerate().take(40) {
        let length = clause.1 - clause.0;
        let mut score = 10 * weight(clause, marks) - 3 * index.min(10) as i32;
        if clause == first_line {
            score += 60;
        }
        if is_greeting(chars, clause) {
            score -= 200;
        }
        if length < if zh { 4 } else { 10 } {
            score -= 80;
        }
        if best.is_none_or(|(other, _)| score > other) {
            best = Some((score, clause));
        }
    }
    let Some((_, clause)) = best else { return String::new() };
    let mut title = text(chars, clause);
    let has_place = place.is_none_or(|place| place.0 >= clause.0 && place.1 <= clause.1);
    if !has_place && let Some(place) = place {
        let name = text(chars, place);
        let fits = if zh { name.chars().count() + title.chars().count() <= TITLE_CHARS_MAX } else { name.split_whitespace().count() + title.split_whitespace().count() < TITLE_WORDS_MAX };
        if fits && !title.contains(&name) {
            title = if zh { format!("{name}{title}") } else { format!("{title}, {name}") };
        }
    }
    shorten(&title, zh)
}

fn shorten(title: &str, zh: bool) -> String {
    let title: String = if zh {
        title.chars().take(TITLE_CHARS_MAX).collect()
    } else {
        title.split_whitespace().take(TITLE_WORDS_MAX).collect::<Vec<_>>().join(" ").chars().take(120).collect()
    };
    title.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | '，' | '。' | '.' | ':' | '：' | ';' | '；' | '、')).to_owned()
}

fn summary(chars: &[char], zh: bool, marks: &[Mark]) -> String {
    let sentences = pieces(chars, |at| ends_sentence(chars, at));
    let limit = SUMMARY_CHARS_MAX[usize::from(!zh)];
    let mut ranked: Vec<(i32, usize)> = sentences
        .iter()
        .copied()
        .enumerate()
        .take(60)
        .map(|(index, sentence)| {
            let numbers = chars[sentence.0..sentence.1].iter().filter(|c| c.is_ascii_digit()).count().min(6) as i32;
            let long = ((sentence.1 - sentence.0) / if zh { 30 } else { 90 }) as i32;
            let score = 10 * weight(sentence, marks) / (2 + long) + numbers - 2 * index.min(12) as i32 - if is_greeting(chars, sentence) { 60 } else { 0 };
            (score, index)
        })
        .collect();
    ranked.sort_by_key(|(score, index)| (-score, *index));
    let mut taken: Vec<usize> = Vec::new();
    let mut length = 0;
    for (score, index) in ranked {
        let size = sentences[index].1 - sentences[index].0;
        if taken.len() == SUMMARY_SENTENCES_MAX || (!taken.is_empty() && (length + size > limit || score <= 0)) {
            continue;
        }
        length += size;
        taken.push(index);
    }
    taken.sort_unstable();
    let mut summary = String::new();
    for index in taken {
        let (start, end) = sentences[index];
        // With the sign that ended it.
        let end = if chars.get(end).is_some_and(|c| !c.is_whitespace()) { end + 1 } else { end };
        if !summary.is_empty() && !zh {
            summary.push(' ');
        } else if !summary.is_empty() && !summary.ends_with(|c| "。！？!?；;".contains(c)) {
            summary.push('。');
        }
        summary.push_str(&text(chars, (start, end)));
    }
    if summary.chars().count() > limit * 3 / 2 {
        summary = summary.chars().take(limit * 3 / 2).chain(['…']).collect();
    }
    summary
}
