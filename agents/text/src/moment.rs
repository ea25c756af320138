//! When it happened: 昨晚八点, 上周二, 2019年8月23日, three hours ago, last Tuesday at 8 pm.
//!
//! Times of a text relative to the moment at which it was written, by the same clock as that moment. What is said is a
//! start and how exact it is; a range (从8点到10点) has its end too. The past is meant where nothing else is said: a month
//! or weekday without a year or week is the last one. What recurs (每天晚上) is no moment. Knows no time zones, and of feasts only those of the
//! solar calendar (元旦, New Year's Eve).

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};
use serde::{Deserialize, Serialize};

use crate::normal::Normal;

/// How exact a moment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A part of a day: morning, night.
    Part,
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// A moment that a text tells; offsets count characters of the original text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Its first character.
    pub start: usize,
    /// Behind its last character.
    pub end: usize,
    /// When it begins, by the clock of the reference.
    pub at: NaiveDateTime,
    /// How exact that is.
    pub grain: Grain,
    /// When it ends, where a range is told.
    pub until: Option<NaiveDateTime>,
}

/// The part of a day: first hour, and the hours that "eight" is meant of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Dawn,
    Morning,
    Noon,
    Afternoon,
    Evening,
    Night,
}

impl Part {
    fn begins(self) -> u32 {
        match self {
            Part::Dawn => 0,
            Part::Morning => 7,
            Part::Noon => 12,
            Part::Afternoon => 14,
            Part::Evening => 18,
            Part::Night => 20,
        }
    }

    /// The hour of the day that an hour said in it means, and how many days later.
    fn hour(self, hour: u32) -> (u32, i64) {
        match (self, hour) {
            (Part::Evening | Part::Night, 12) => (0, 1),
            (Part::Evening | Part::Night, 1..=4) => (hour, 1),
            (Part::Afternoon | Part::Evening | Part::Night, 5..=11) | (Part::Afternoon, 1..=4) => (hour + 12, 0),
            (Part::Noon, 1..=3) => (hour + 12, 0),
            (Part::Dawn, 12) => (0, 0),
            _ => (hour, 0),
        }
    }
}

/// What a day is said by.
#[derive(Debug, Clone, Copy)]
enum Day {
    Exact(NaiveDate),
    /// Month and day: the last one.
    MonthDay(u32, u32),
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    day: Option<NaiveDate>,
    grain: Option<Grain>,
    part: Option<Part>,
    /// Hour, minute, second as said.
    clock: Option<(u32, Option<u32>, Option<u32>)>,
    /// An exact moment: 三小时前.
    exact: Option<(NaiveDateTime, Grain)>,
    /// Said with am or pm, or by 24 hours.
    sure: bool,
    relative: bool,
    /// The hour in Chinese figures.
    spoken: bool,
    /// 凌晨, which needs no day.
    dawn: bool,
}

struct Reader<'a> {
    chars: &'a [char],
    /// Where there is none, only what is said with its year counts.
    reference: Option<NaiveDateTime>,
}

/// The moments of a text, from left to right.
pub(crate) fn find(normal: &Normal, reference: Option<NaiveDateTime>, moments: &mut Vec<Moment>) {
    moments.clear();
    let reader = Reader { chars: &normal.chars, reference };
    let mut at = 0;
    while at < normal.chars.len() && moments.len() < MOMENTS_MAX {
        if !reader.may_begin(at) {
            at += 1;
            continue;
        }
        match reader.moment(at) {
            Some((end, at_moment, grain, until)) => {
                if !reader.recurs(at) {
                    let (start, behind) = normal.original(at, end);
                    moments.push(Moment { start, end: behind, at: at_moment, grain, until });
                }
                at = end.max(at + 1);
            }
            None => at = reader.skip(at),
        }
    }
}

/// The moment that a message is about, of those that it tells: the most exact, the first of several.
pub(crate) fn best(moments: &[Moment], reference: Option<NaiveDateTime>) -> Option<Moment> {
    let score = |moment: &Moment| {
        let exact = match moment.grain {
            Grain::Second | Grain::Minute => 5,
            Grain::Hour => 5,
            Grain::Part => 4,
            Grain::Day => 3,
            Grain::Week => 2,
            Grain::Month => 1,
            Grain::Year => 0,
        };
        let age = reference.map_or(0, |reference| (reference - moment.at).num_days());
        // What lies ahead, or years back, is seldom what a message is about.
        exact - if age < -1 { 3 } else { 0 } - if age > 400 { 2 } else { 0 }
    };
    let mut best: Option<(i64, Moment)> = None;
    for moment in moments {
        let score = score(moment);
        if best.as_ref().is_none_or(|(other, _)| score > *other) {
            best = Some((score, *moment));
        }
    }
    best.map(|(_, moment)| moment)
}

/// Moments of one text that are told.
const MOMENTS_MAX: usize = 64;

const WEEKDAYS_EN: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS_EN: [&str; 12] = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const NUMBERS_EN: [&str; 13] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

impl Reader<'_> {
    fn at(&self, at: usize) -> char {
        self.chars.get(at).copied().unwrap_or('\0')
    }

    fn starts(&self, at: usize, word: &str) -> Option<usize> {
        let mut end = at;
        for c in word.chars() {
            if self.chars.get(end) != Some(&c) {
                return None;
            }
            end += 1;
        }
        let latin = |c: char| c.is_ascii_alphanumeric();
        let begins = !(latin(self.at(at)) && at > 0 && latin(self.chars[at - 1]));
        let ends = !(latin(self.chars[end - 1]) && latin(self.at(end)));
        (begins && ends).then_some(end)
    }

    fn any<T: Copy>(&self, at: usize, words: &[(&str, T)]) -> Option<(usize, T)> {
        // Most words are another's by their first character.
        let mut first = [0; 4];
        let first = self.at(at).encode_utf8(&mut first).as_bytes();
        words.iter().filter(|(word, _)| word.as_bytes().starts_with(first)).filter_map(|(word, value)| self.starts(at, word).map(|end| (end, *value))).max_by_key(|(end, _)| *end)
    }

    fn blank(&self, mut at: usize) -> usize {
        while matches!(self.at(at), ' ' | ',') {
            at += 1;
        }
        at
    }

    /// A cheap look, for most characters begin nothing.
    fn may_begin(&self, at: usize) -> bool {
        let c = self.chars[at];
        let before = if at > 0 { self.chars[at - 1] } else { ' ' };
        match c {
            '0'..='9' => !before.is_ascii_alphanumeric() && !matches!(before, '.' | '-' | '/'),
            'a'..='z' => !before.is_ascii_alphanumeric() && matches!(c, 'y' | 't' | 'l' | 'o' | 'a' | 'h' | 'n' | 'm' | 'j' | 'f' | 's' | 'd' | 'e' | 'w' | 'b' | 'i' | 'p' | 'c' | 'q'),
            // Of the others most are common in other words, which the next character tells.
            '昨' | '今' | '周' | '星' | '礼' | '一' | '二' | '两' | '三' | '四' | '五' | '六' | '七' | '八' | '九' | '十' | '零' | '几' | '数' | '早' | '晚' => true,
            _ => {
                let next = self.at(at + 1);
                match c {
                    '前' => matches!(next, '天' | '日' | '晚' | '儿' | '几' | '两' | '段' | '年'),
                    '大' => matches!(next, '前' | '约' | '概'),
                    '明' => matches!(next, '天' | '日' | '早' | '晚'),
                    '上' => matches!(next, '周' | '上' | '个' | '星' | '礼' | '月' | '一' | '午'),
                    '本' => matches!(next, '周' | '星' | '年' | '月'),
                    '这' => matches!(next, '周' | '个' | '礼'),
                    '当' => matches!(next, '天' | '月'),
                    '后' => next == '天',
                    '去' => next == '年',
                    '半' => matches!(next, '小' | '个' | '夜'),
                    '凌' | '清' => matches!(next, '晨' | '早'),
                    '中' | '下' => next == '午',
                    '午' => next == '后',
                    '傍' => next == '晚',
                    '夜' => matches!(next, '间' | '里'),
                    '深' => next == '夜',
                    '刚' => matches!(next, '才' | '刚'),
                    '元' => next == '旦',
                    '劳' => next == '动',
                    '国' => next == '庆',
                    '圣' => next == '诞',
                    '平' => next == '安',
                    '跨' => next == '年',
                    _ => false,
                }
            }
        }
    }

    /// Behind what cannot be a part of a moment.
    fn skip(&self, at: usize) -> usize {
        let mut end = at + 1;
        if self.chars[at].is_ascii_alphanumeric() {
            while self.at(end).is_ascii_alphanumeric() {
                end += 1;
            }
        }
        end
    }

    /// 每天晚上, 每周三, every night: it happens again and again.
    fn recurs(&self, at: usize) -> bool {
        let before: String = self.chars[at.saturating_sub(8)..at].iter().collect();
        let before = before.trim_end();
        ["每", "每天", "每日", "天天", "每逢", "每到", "每个", "每年", "every", "each"].iter().any(|word| before.ends_with(word))
    }

    /// A number in digits or Chinese ones, up to 99.
    fn number(&self, at: usize) -> Option<(usize, u32)> {
        let mut end = at;
        let mut value = 0u32;
        while let Some(digit) = self.at(end).to_digit(10) {
            value = value.saturating_mul(10).saturating_add(digit);
            end += 1;
            if end - at > 4 {
                return None;
            }
        }
        if end > at {
            return Some((end, value));
        }
        let unit = |c: char| match c {
            '零' => Some(0),
            '一' => Some(1),
            '二' | '两' => Some(2),
            '三' => Some(3),
            '四' => Some(4),
            '五' => Some(5),
            '六' => Some(6),
            '七' => Some(7),
            '八' => Some(8),
            '九' => Some(9),
            _ => None,
        };
        let mut value = None;
        if let Some(first) = unit(self.at(end)) {
            value = Some(first);
            end += 1;
        }
        if self.at(end) == '十' {
            value = Some(value.unwrap_or(1) * 10);
            end += 1;
            if let Some(last) = unit(self.at(end)) {
                value = value.map(|value| value + last);
                end += 1;
            }
        }
        value.map(|value| (end, value))
    }

    /// 二零一九, 2019.
    fn year(&self, at: usize) -> Option<(usize, i32)> {
        let mut value = 0i32;
        for step in 0..4 {
            let digit = match self.at(at + step) {
                c @ '0'..='9' => c as i32 - '0' as i32,
                c => "零一二三四五六七八九".chars().position(|digit| digit == c)? as i32,
            };
            value = value * 10 + digit;
        }
        let after = self.at(at + 4);
        (!after.is_ascii_digit() && (1900..2200).contains(&value)).then_some((at + 4, value))
    }

    fn today(&self) -> Option<NaiveDate> {
        self.reference.map(|reference| reference.date())
    }

    fn back(&self, days: i64) -> Option<NaiveDate> {
        self.today()?.checked_sub_signed(Duration::try_days(days)?)
    }

    fn moment(&self, at: usize) -> Option<(usize, NaiveDateTime, Grain, Option<NaiveDateTime>)> {
        let mut said = Said::default();
        let mut end = at;
        // A day and a time of day, in either order, perhaps with words between.
        for _ in 0..5 {
            let from = self.joint(end, end > at);
            match self.piece(from, &mut said) {
                Some(next) => end = next,
                None => break,
            }
        }
        if end == at {
            return None;
        }
        let (moment, grain) = self.resolve(&said)?;
        let until = self.until(end, &said, moment);
        let (end, until) = until.map_or((end, None), |(end, until)| (end, Some(until)));
        Some((end, moment, grain, until))
    }

    /// Behind what may stand between two pieces.
    fn joint(&self, at: usize, inside: bool) -> usize {
        if !inside {
            return at;
        }
        for joint in [" at around ", " at about ", " at ", ", at ", " around ", " about ", " on ", " in the ", ", ", "的", "大约", "大概", "约", " the ", " "] {
            let matched = joint.chars().enumerate().all(|(step, c)| self.at(at + step) == c);
            if matched {
                return at + joint.chars().count();
            }
        }
        if self.at(at) == '(' && matches!(self.at(at + 1), '周' | '星') {
            return at + 1;
        }
        at
    }

    fn piece(&self, at: usize, said: &mut Said) -> Option<usize> {
        if said.exact.is_some() || at >= self.chars.len() {
            return None;
        }
        if said.day.is_none() && said.clock.is_none() && said.part.is_none()
            && let Some((end, exact)) = self.ago(at)
        {
            match exact {
                (moment, grain @ (Grain::Second | Grain::Minute | Grain::Hour)) => said.exact = Some((moment, grain)),
                (moment, grain) => (said.day, said.grain, said.relative) = (Some(moment.date()), Some(grain), true),
            }
            return Some(end);
        }
        if said.day.is_none()
            && let Some((end, day, grain, part)) = self.day(at)
        {
            said.day = Some(day);
            said.grain = Some(grain);
            said.part = said.part.or(part);
            return Some(end);
        }
        // 昨天(周三): the day is known already.
        if said.day.is_some()
            && said.grain == Some(Grain::Day)
            && let Some((end, _, _, _)) = self.weekday(at)
        {
            return Some(if self.at(end) == ')' { end + 1 } else { end });
        }
        if said.clock.is_none()
            && let Some((end, clock, part, sure)) = self.clock(at, said.day.is_some() || said.part.is_some())
        {
            said.clock = Some(clock);
            said.spoken = !self.chars[at].is_ascii();
            said.part = part.or(said.part);
            said.sure = sure;
            return Some(end);
        }
        if said.part.is_none()
            && let Some((end, part)) = self.part(at)
        {
            said.part = Some(part);
            said.dawn = self.starts(at, "凌晨").is_some();
            return Some(end);
        }
        None
    }

    fn resolve(&self, said: &Said) -> Option<(NaiveDateTime, Grain)> {
        if let Some(exact) = said.exact {
            return Some(exact);
        }
        let day = match said.day {
            Some(day) => day,
            None => self.today()?,
        };
        let grain = said.grain.unwrap_or(Grain::Day);
        if grain > Grain::Day {
            return (said.clock.is_none()).then_some((day.and_time(NaiveTime::MIN), grain));
        }
        let Some((hour, minute, second)) = said.clock else {
            let Some(part) = said.part else { return Some((day.and_time(NaiveTime::MIN), Grain::Day)) };
            // 晚上 alone says which day only with the day; 凌晨 is today's.
            let moment = day.and_hms_opt(part.begins(), 0, 0)?;
            let known = said.day.is_some() || part == Part::Dawn && said.dawn;
            return known.then_some((moment, Grain::Part));
        };
        let (hour, later) = match said.part {
            Some(part) if !said.sure => part.hour(hour),
            _ if hour == 24 => (0, 1),
            _ => (hour, 0),
        };
        // 两点五十, said in the afternoon, is that of the afternoon.
        let after_noon = said.spoken && !said.sure && said.part.is_none() && said.day.is_none() && (1..=6).contains(&hour);
        let hour = if after_noon && self.reference.is_some_and(|reference| (hour + 12, minute.unwrap_or(0)) <= (reference.hour(), reference.minute())) { hour + 12 } else { hour };
        let time = NaiveTime::from_hms_opt(hour, minute.unwrap_or(0), second.unwrap_or(0))?;
        let mut moment = day.checked_add_signed(Duration::try_days(later)?)?.and_time(time);
        if said.day.is_none() && self.reference.is_some_and(|reference| moment > reference) {
            moment = moment.checked_sub_signed(Duration::try_days(1)?)?;
        }
        let grain = match (minute, second) {
            (_, Some(_)) => Grain::Second,
            (Some(_), None) => Grain::Minute,
            (None, None) => Grain::Hour,
        };
        Some((moment, grain))
    }

    /// 到10点, 至15:30, to 5 pm.
    fn until(&self, at: usize, said: &Said, from: NaiveDateTime) -> Option<(usize, NaiveDateTime)> {
        said.clock?;
        let (behind, ()) = self.any(at, &[("到", ()), ("至", ()), ("-", ()), ("~", ()), (" - ", ()), (" to ", ()), (" until ", ()), ("一直到", ())])?;
        let mut part = said.part;
        let mut behind = behind;
        if let Some((end, other)) = self.part(behind) {
            part = Some(other);
            behind = end;
        }
        let (end, (hour, minute, second), own, sure) = self.clock(behind, true)?;
        let (hour, later) = match own.or(part) {
            Some(part) if !sure => part.hour(hour),
            _ if hour == 24 => (0, 1),
            _ => (hour, 0),
        };
        let time = NaiveTime::from_hms_opt(hour, minute.unwrap_or(0), second.unwrap_or(0))?;
        let mut until = from.date().checked_add_signed(Duration::try_days(later)?)?.and_time(time);
        if until < from {
            until = until.checked_add_signed(Duration::try_days(1)?)?;
        }
        Some((end, until))
    }

    fn part(&self, at: usize) -> Option<(usize, Part)> {
        self.any(
            at,
            &[
                ("凌晨", Part::Dawn),
                ("早上", Part::Morning),
                ("早晨", Part::Morning),
                ("清晨", Part::Dawn),
                ("清早", Part::Morning),
                ("上午", Part::Morning),
                ("中午", Part::Noon),
                ("正午", Part::Noon),
                ("下午", Part::Afternoon),
                ("午后", Part::Afternoon),
                ("傍晚", Part::Evening),
                ("晚上", Part::Night),
                ("晚间", Part::Night),
                ("夜间", Part::Night),
                ("夜里", Part::Night),
                ("深夜", Part::Night),
                ("半夜", Part::Night),
                ("晚", Part::Night),
                ("早", Part::Morning),
                ("morning", Part::Morning),
                ("afternoon", Part::Afternoon),
                ("evening", Part::Evening),
                ("night", Part::Night),
                ("in the morning", Part::Morning),
                ("in the afternoon", Part::Afternoon),
                ("in the evening", Part::Evening),
            ],
        )
    }

    /// Hour, minute and second as said, the part of the day where it says so, and whether the hour is sure.
    #[allow(clippy::type_complexity)]
    fn clock(&self, at: usize, joined: bool) -> Option<(usize, (u32, Option<u32>, Option<u32>), Option<Part>, bool)> {
        for (word, hour) in [("noon", 12), ("midday", 12), ("midnight", 0)] {
            if let Some(end) = self.starts(at, word) {
                return Some((end, (hour, None, None), None, true));
            }
        }
        let at = self.any(at, &[("at ", ()), ("around ", ()), ("about ", ())]).map_or(at, |(end, ())| end);
        let (mut end, hour) = self.number(at).or_else(|| self.number_en(at))?;
        if hour > 24 {
            return None;
        }
        let spoken = !self.chars[at].is_ascii_digit();
        // 8:30, 08:30:15
        if self.at(end) == ':' && self.at(end + 1).is_ascii_digit() && self.at(end + 2).is_ascii_digit() {
            let (minutes, minute) = self.number(end + 1)?;
            let mut second = None;
            end = minutes;
            if self.at(end) == ':'
                && let Some((seconds, value)) = self.number(end + 1)
            {
                second = Some(value).filter(|value| *value < 60);
                end = seconds;
            }
            if minute >= 60 {
                return None;
            }
            let (end, half) = self.half(end);
            let (hour, sure) = twelve(hour, half)?;
            return Some((end, (hour, Some(minute), second), None, sure));
        }
        // 8点半, 八点二十分, 8时
        if let Some((behind, ())) = self.any(end, &[("点钟", ()), ("点", ()), ("时", ())]) {
            // 8时 is an hour, 8时间 is not; 三点 may be three points of a list.
            let is_list = matches!(self.at(behind), '建' | '要' | '意' | '问' | '原' | '诉' | '请' | '间' | ':');
            // Minutes make it a time: 两点五十, 三点半.
            let exact = matches!(self.at(behind), '半' | '钟') || self.number(behind).is_some_and(|(minutes, value)| (10..60).contains(&value) && (self.at(minutes) == '分' || minutes - behind >= 2));
            if is_list || (spoken && !joined && hour < 5 && self.at(end) == '点' && !exact) {
                return None;
            }
            end = behind;
            let mut minute = None;
            if let Some((behind, value)) = self.any(end, &[("半", 30), ("一刻", 15), ("三刻", 45), ("整", 0)]) {
                minute = (value > 0 || self.at(end) == '整').then_some(value);
                end = behind;
            } else if let Some((minutes, value)) = self.number(end)
                && value < 60
                && (self.at(minutes) == '分' || minutes - end >= 2)
            {
                minute = Some(value);
                end = if self.at(minutes) == '分' { minutes + 1 + usize::from(self.at(minutes + 1) == '钟') } else { minutes };
            }
            end = self.any(end, &[("左右", ()), ("许", ()), ("多", ())]).map_or(end, |(end, ())| end);
            return Some((end, (hour, minute, None), None, hour > 12));
        }
        // 8 pm, 8pm, 8 o'clock
        let (behind, half) = self.half(end);
        if half.is_some() {
            let (hour, sure) = twelve(hour, half)?;
            return Some((behind, (hour, None, None), None, sure));
        }
        let clock = self.starts(end, " o'clock").or_else(|| self.starts(end, "o'clock"))?;
        Some((clock, (hour, None, None), None, false))
    }

    /// am or pm.
    fn half(&self, at: usize) -> (usize, Option<bool>) {
        let from = self.blank(at);
        for (word, pm) in [("a.m", false), ("p.m", true), ("am", false), ("pm", true)] {
            let matched = word.chars().enumerate().all(|(step, c)| self.at(from + step) == c);
            let end = from + word.len();
            if matched && !self.at(end).is_ascii_alphanumeric() {
                return (if word.len() == 3 && self.at(end) == '.' { end + 1 } else { end }, Some(pm));
            }
        }
        (at, None)
    }

    fn number_en(&self, at: usize) -> Option<(usize, u32)> {
        if !self.at(at).is_ascii_lowercase() {
            return None;
        }
        let words = NUMBERS_EN.iter().enumerate().find_map(|(value, word)| self.starts(at, word).map(|end| (end, value as u32)));
        words.or_else(|| self.any(at, &[("a couple of", 2), ("a few", 3), ("several", 3), ("an", 1), ("a", 1)]))
    }

    /// 三天前, 2小时前, 半小时前, 3 days ago, an hour ago, 刚才.
    fn ago(&self, at: usize) -> Option<(usize, (NaiveDateTime, Grain))> {
        let reference = self.reference?;
        if let Some((end, ())) = self.any(at, &[("刚才", ()), ("刚刚", ()), ("just now", ()), ("right now", ()), ("a moment ago", ())]) {
            return Some((end, (reference, Grain::Hour)));
        }
        if let Some((end, minutes)) = self.any(at, &[("半个多小时前", 30), ("半个小时前", 30), ("半小时前", 30), ("half an hour ago", 30), ("a half hour ago", 30), ("一刻钟前", 15), ("一个半小时前", 90), ("两个半小时前", 150), ("quarter of an hour ago", 15), ("a quarter of an hour ago", 15), ("an hour and a half ago", 90)]) {
            return Some((end, (reference.checked_sub_signed(Duration::try_minutes(minutes)?)?, Grain::Minute)));
        }
        let from = self.any(at, &[("about ", ()), ("around ", ()), ("some ", ()), ("大约", ()), ("大概", ())]).map_or(at, |(end, ())| end);
        let (end, value, zh) = match self.number(from) {
            Some((end, value)) => (end, value, true),
            None => match self.any(from, &[("几", 3u32), ("数", 3)]) {
                Some((end, value)) => (end, value, true),
                None => {
                    let (end, value) = self.number_en(from)?;
                    (end, value, false)
                }
            },
        };
        let value = i64::from(value);
        #[derive(Clone, Copy)]
        enum Unit {
            Minutes(i64),
            Hours(i64),
            Days(i64),
            Months(u32),
        }
        let found = zh.then(|| {
            self.any(
                end,
                &[
                    ("分钟前", Unit::Minutes(1)), ("分钟以前", Unit::Minutes(1)), ("多分钟前", Unit::Minutes(1)), ("个小时前", Unit::Hours(1)), ("个多小时前", Unit::Hours(1)), ("小时前", Unit::Hours(1)), ("小时以前", Unit::Hours(1)), ("个钟头前", Unit::Hours(1)),
                    ("天前", Unit::Days(1)), ("天以前", Unit::Days(1)), ("日前", Unit::Days(1)), ("周前", Unit::Days(7)), ("个星期前", Unit::Days(7)), ("星期前", Unit::Days(7)), ("个月前", Unit::Months(1)), ("个月以前", Unit::Months(1)), ("年前", Unit::Months(12)), ("多天前", Unit::Days(1)),
                ],
            )
        });
        let (end, unit) = match found.flatten() {
            Some(found) => found,
            None => {
                let space = self.blank(end);
                let units: [(&str, Unit); 18] = [
                    ("minutes ago", Unit::Minutes(1)), ("minute ago", Unit::Minutes(1)), ("mins ago", Unit::Minutes(1)), ("min ago", Unit::Minutes(1)), ("hours ago", Unit::Hours(1)), ("hour ago", Unit::Hours(1)), ("hrs ago", Unit::Hours(1)),
                    ("days ago", Unit::Days(1)), ("day ago", Unit::Days(1)), ("weeks ago", Unit::Days(7)), ("week ago", Unit::Days(7)), ("months ago", Unit::Months(1)), ("month ago", Unit::Months(1)), ("years ago", Unit::Months(12)), ("year ago", Unit::Months(12)),
                    ("nights ago", Unit::Days(1)), ("hours before", Unit::Hours(1)), ("minutes before", Unit::Minutes(1)),
                ];
                self.any(space, &units)?
            }
        };
        let back = |duration: Option<Duration>| reference.checked_sub_signed(duration?);
        let moment = match unit {
            Unit::Minutes(each) => (back(Duration::try_minutes(value * each))?, Grain::Minute),
            Unit::Hours(each) => (back(Duration::try_hours(value * each))?, Grain::Hour),
            Unit::Days(each) => (back(Duration::try_days(value * each))?, Grain::Day),
            Unit::Months(each) => {
                let day = reference.date().checked_sub_months(chrono::Months::new(each.checked_mul(u32::try_from(value).ok()?)?))?;
                (day.and_time(reference.time()), if each == 12 { Grain::Year } else { Grain::Month })
            }
        };
        Some((end, moment))
    }

    #[allow(clippy::type_complexity)]
    fn day(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        // By the script, for all of them together are long to try.
        match self.at(at) {
            'a'..='z' => self.feast(at).or_else(|| self.weekday(at)).or_else(|| self.near_en(at)).or_else(|| self.calendar_en(at)),
            '0'..='9' => self.calendar_zh(at).or_else(|| self.iso(at)).or_else(|| self.calendar_en(at)),
            _ => self.feast(at).or_else(|| self.calendar_zh(at)).or_else(|| self.near_zh(at)).or_else(|| self.weekday(at)),
        }
    }

    fn dated(&self, day: Day) -> Option<NaiveDate> {
        match day {
            Day::Exact(day) => Some(day),
            Day::MonthDay(month, day) => {
                let today = self.today()?;
                let this = NaiveDate::from_ymd_opt(today.year(), month, day);
                // A few weeks ahead may be meant as such: 请在9月1日开学前.
                match this {
                    Some(this) if (this - today).num_days() <= 45 => Some(this),
                    _ => NaiveDate::from_ymd_opt(today.year() - 1, month, day),
                }
            }
        }
    }

    /// 2019年8月23日, 8月23号, 去年8月, 本月5号.
    #[allow(clippy::type_complexity)]
    fn calendar_zh(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let mut year = None;
        let mut end = at;
        if let Some((behind, value)) = self.year(at)
            && self.at(behind) == '年'
        {
            year = Some(value);
            end = behind + 1 + usize::from(self.at(behind + 1) == '的');
        } else if let Some((behind, back)) = self.any(at, &[("今年", 0), ("去年", 1), ("前年", 2), ("本年", 0)]) {
            year = Some(self.today()?.year() - back);
            end = behind + usize::from(self.at(behind) == '的');
        }
        let day_of = |from: usize| -> Option<(usize, u32)> {
            let (behind, day) = self.number(from)?;
            let behind = self.any(behind, &[("日", ()), ("号", ())])?.0;
            // 8号楼, 3号线: no day.
            let thing = matches!(self.at(behind), '楼' | '线' | '院' | '门' | '栋' | '地' | '厂' | '店' | '桥' | '井' | '口');
            (!thing && (1..=31).contains(&day)).then_some((behind, day))
        };
        if let Some((months, month)) = self.number(end)
            && (1..=12).contains(&month)
            && let Some((behind, ())) = self.any(months, &[("月份", ()), ("月", ())])
        {
            if let Some((behind, day)) = day_of(behind) {
                let day = match year {
                    Some(year) => Day::Exact(NaiveDate::from_ymd_opt(year, month, day)?),
                    None => Day::MonthDay(month, day),
                };
                return Some((behind, self.dated(day)?, Grain::Day, None));
            }
            let third = self.any(behind, &[("初", 1), ("上旬", 1), ("中旬", 11), ("下旬", 21), ("底", 25), ("末", 25)]);
            let (behind, first) = third.unwrap_or((behind, 1));
            let day = match year {
                Some(year) => Day::Exact(NaiveDate::from_ymd_opt(year, month, first)?),
                None => Day::MonthDay(month, first),
            };
            return Some((behind, self.dated(day)?, Grain::Month, None));
        }
        if let Some(year) = year
            && let Some((end, month)) = self.any(end, &[("春天", 3), ("春季", 3), ("夏天", 6), ("夏季", 6), ("秋天", 9), ("秋季", 9), ("冬天", 12), ("冬季", 12)])
        {
            return Some((end, NaiveDate::from_ymd_opt(year, month, 1)?, Grain::Month, None));
        }
        if let Some(year) = year {
            // 2019年 alone, and 去年底.
            let (end, month) = self.any(end, &[("年底", 12), ("底", 12), ("初", 1), ("年初", 1)]).unwrap_or((end, 1));
            return Some((end, NaiveDate::from_ymd_opt(year, month, 1)?, if month > 1 { Grain::Month } else { Grain::Year }, None));
        }
        let (behind, back) = self.any(at, &[("本月", 0), ("这个月", 0), ("当月", 0), ("上个月", 1), ("上月", 1)])?;
        let first = self.today()?.with_day(1)?.checked_sub_months(chrono::Months::new(back))?;
        if let Some((behind, day)) = day_of(behind + usize::from(self.at(behind) == '的')) {
            return Some((behind, first.with_day(day)?, Grain::Day, None));
        }
        let (behind, day) = self.any(behind, &[("初", 1), ("上旬", 1), ("中旬", 11), ("下旬", 21), ("底", 25), ("末", 25)]).unwrap_or((behind, 1));
        Some((behind, first.with_day(day)?, Grain::Month, None))
    }

    /// 元旦, 去年国庆, New Year's Eve: feasts of the solar calendar, the last one or that of the year said.
    #[allow(clippy::type_complexity)]
    fn feast(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let (from, back) = self.any(at, &[("今年", 0), ("去年", 1), ("前年", 2), ("on ", -1), ("last ", -1), ("this ", -1)]).unwrap_or((at, -1));
        let from = from + usize::from(self.at(from) == '的');
        let (end, (month, day)) = self.any(
            from,
            &[
                ("元旦", (1, 1)), ("元旦节", (1, 1)), ("元旦当天", (1, 1)), ("元旦那天", (1, 1)), ("劳动节", (5, 1)), ("五一节", (5, 1)), ("国庆", (10, 1)), ("国庆节", (10, 1)), ("圣诞", (12, 25)), ("圣诞节", (12, 25)), ("平安夜", (12, 24)), ("跨年夜", (12, 31)),
                ("new year's day", (1, 1)), ("new years day", (1, 1)), ("new year's eve", (12, 31)), ("new years eve", (12, 31)), ("christmas", (12, 25)), ("christmas day", (12, 25)), ("christmas eve", (12, 24)), ("halloween", (10, 31)), ("boxing day", (12, 26)),
            ],
        )?;
        // 国庆路, 元旦村: a name.
        if matches!(self.at(end), '路' | '街' | '巷' | '村' | '镇' | '乡' | '社' | '小' | '广' | '大' | '桥' | '酒' | '饭' | '店' | '超' | '新' | '花' | '公' | '学' | '园') {
            return None;
        }
        let date = if back >= 0 { NaiveDate::from_ymd_opt(self.today()?.year() - back, month, day)? } else { self.dated(Day::MonthDay(month, day))? };
        Some((end, date, Grain::Day, None))
    }

    /// 今天, 昨晚, 前天.
    #[allow(clippy::type_complexity)]
    fn near_zh(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let (end, (back, part)) = self.any(
            at,
            &[
                ("今天", (0, None)), ("今儿", (0, None)), ("今儿个", (0, None)), ("今日", (0, None)), ("今早", (0, Some(Part::Morning))), ("今晨", (0, Some(Part::Dawn))), ("今晚", (0, Some(Part::Night))), ("今夜", (0, Some(Part::Night))), ("今", (0, None)),
                ("昨天", (1, None)), ("昨儿", (1, None)), ("昨儿个", (1, None)), ("昨日", (1, None)), ("昨儿晚上", (1, Some(Part::Night))), ("昨个", (1, None)), ("昨晚", (1, Some(Part::Night))), ("昨夜", (1, Some(Part::Night))), ("昨晚上", (1, Some(Part::Night))), ("昨早", (1, Some(Part::Morning))), ("昨", (1, None)),
                ("前天", (2, None)), ("前儿", (2, None)), ("前日", (2, None)), ("前天夜里", (2, Some(Part::Night))), ("前晚", (2, Some(Part::Night))), ("前天晚上", (2, Some(Part::Night))), ("大前天", (3, None)),
                ("明天", (-1, None)), ("明日", (-1, None)), ("明早", (-1, Some(Part::Morning))), ("明晚", (-1, Some(Part::Night))), ("后天", (-2, None)), ("前几天", (3, None)), ("前两天", (2, None)), ("前段时间", (14, None)), ("当天", (0, None)),
            ],
        )?;
        // 今 and 昨 alone only before a part of the day: 至今, 昨非.
        if matches!(self.chars[end - 1], '今' | '昨') && self.part(end).is_none() {
            return None;
        }
        let grain = if back == 14 { Grain::Week } else { Grain::Day };
        Some((end, self.back(back)?, grain, part))
    }

    /// 上周二, 本周, 星期三, last Tuesday, on Tuesday.
    #[allow(clippy::type_complexity)]
    fn weekday(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let today = self.today()?;
        let monday = today.checked_sub_signed(Duration::try_days(i64::from(today.weekday().num_days_from_monday()))?)?;
        const WEEKS: [(&str, i64); 16] = [
            ("上上周", 2), ("上上星期", 2), ("上上个星期", 2), ("上周", 1), ("上个星期", 1), ("上星期", 1), ("上个礼拜", 1), ("上礼拜", 1), ("本周", 0), ("这周", 0), ("这个星期", 0), ("本星期", 0), ("上一周", 1), ("上个周", 1), ("这个周", 0), ("这礼拜", 0),
        ];
        let zh = self.any(at, &WEEKS).map(|(end, back)| (end, Some(back))).or_else(|| self.any(at, &[("周", ()), ("星期", ()), ("礼拜", ())]).map(|(end, ())| (end, None)));
        if let Some((behind, back)) = zh {
            let day = match self.at(behind) {
                '一' => Some(0),
                '二' => Some(1),
                '三' => Some(2),
                '四' => Some(3),
                '五' => Some(4),
                '六' => Some(5),
                '日' | '天' | '末' => Some(if self.at(behind) == '末' { 5 } else { 6 }),
                _ => None,
            };
            return match (back, day) {
                (Some(back), Some(day)) => Some((behind + 1, monday.checked_add_signed(Duration::try_days(day - 7 * back)?)?, Grain::Day, None)),
                (Some(back), None) => Some((behind, monday.checked_sub_signed(Duration::try_days(7 * back)?)?, Grain::Week, None)),
                // 周一至周五 are all weeks.
                // 周末 alone is any.
                (None, Some(_)) if self.at(behind) == '末' => None,
                (None, Some(day)) if !matches!(self.at(behind + 1), '至' | '到' | '-' | '~' | '年' | '边') => {
                    let mut date = monday.checked_add_signed(Duration::try_days(day)?)?;
                    if date > today {
                        date = date.checked_sub_signed(Duration::try_days(7)?)?;
                    }
                    Some((behind + 1, date, Grain::Day, None))
                }
                (None, _) => None,
            };
        }
        if !self.at(at).is_ascii_lowercase() {
            return None;
        }
        let (from, strict) = self.any(at, &[("last ", true), ("on ", false), ("this ", false), ("this past ", true), ("past ", true)]).unwrap_or((at, false));
        let (end, day) = WEEKDAYS_EN.iter().enumerate().find_map(|(day, name)| self.starts(from, name).map(|end| (end, day as i64)))?;
        // Mondays and weekdays come every week; "by Friday" is ahead.
        let weekday = Weekday::try_from(day as u8).ok()?;
        let mut date = today;
        if strict {
            date = date.pred_opt()?;
        }
        while date.weekday() != weekday {
            date = date.pred_opt()?;
        }
        Some((end, date, Grain::Day, None))
    }

    /// 2019-08-23, 2019/8/23, 2019.8.23, 8/23/2019.
    #[allow(clippy::type_complexity)]
    fn iso(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let (first, a) = self.number(at).filter(|_| self.at(at).is_ascii_digit())?;
        let sign = self.at(first);
        if !matches!(sign, '-' | '/' | '.') {
            return None;
        }
        let (second, b) = self.number(first + 1).filter(|_| self.at(first + 1).is_ascii_digit())?;
        if self.at(second) != sign {
            return None;
        }
        let (mut end, c) = self.number(second + 1).filter(|_| self.at(second + 1).is_ascii_digit())?;
        if self.at(end).is_ascii_digit() {
            return None;
        }
        let date = if first - at == 4 {
            NaiveDate::from_ymd_opt(a as i32, b, c)?
        } else if end - second == 5 && sign != '-' {
            NaiveDate::from_ymd_opt(c as i32, a, b).or_else(|| NaiveDate::from_ymd_opt(c as i32, b, a))?
        } else {
            return None;
        };
        if self.at(end) == 't' && self.at(end + 1).is_ascii_digit() {
            end += 1;
        }
        (1900..2200).contains(&date.year()).then_some((end, date, Grain::Day, None))
    }

    #[allow(clippy::type_complexity)]
    fn near_en(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let (end, (back, grain, part)) = self.any(
            at,
            &[
                ("today", (0, Grain::Day, None)), ("tonight", (0, Grain::Day, Some(Part::Night))), ("this morning", (0, Grain::Day, Some(Part::Morning))), ("this afternoon", (0, Grain::Day, Some(Part::Afternoon))),
                ("this evening", (0, Grain::Day, Some(Part::Evening))), ("yesterday", (1, Grain::Day, None)), ("last night", (1, Grain::Day, Some(Part::Night))), ("last evening", (1, Grain::Day, Some(Part::Evening))),
                ("the day before yesterday", (2, Grain::Day, None)), ("day before yesterday", (2, Grain::Day, None)), ("tomorrow", (-1, Grain::Day, None)), ("the other day", (3, Grain::Day, None)),
                ("last week", (7, Grain::Week, None)), ("this week", (0, Grain::Week, None)), ("last month", (30, Grain::Month, None)), ("this month", (0, Grain::Month, None)), ("last year", (365, Grain::Year, None)),
            ],
        )?;
        let today = self.today()?;
        let date = match grain {
            Grain::Week => {
                let monday = today.checked_sub_signed(Duration::try_days(i64::from(today.weekday().num_days_from_monday()))?)?;
                monday.checked_sub_signed(Duration::try_days(back)?)?
            }
            Grain::Month => today.with_day(1)?.checked_sub_months(chrono::Months::new(u32::from(back > 0)))?,
            Grain::Year => NaiveDate::from_ymd_opt(today.year() - 1, 1, 1)?,
            _ => self.back(back)?,
        };
        Some((end, date, grain, part))
    }

    /// August 23, 2019; 23 August; Aug 23rd.
    #[allow(clippy::type_complexity)]
    fn calendar_en(&self, at: usize) -> Option<(usize, NaiveDate, Grain, Option<Part>)> {
        let month_at = |at: usize| {
            MONTHS_EN.iter().enumerate().find_map(|(index, name)| {
                let end = self.starts(at, name).or_else(|| self.starts(at, &name[..3]).map(|end| end + usize::from(self.at(end) == '.'))).or_else(|| (index == 8).then(|| self.starts(at, "sept")).flatten())?;
                Some((end, index as u32 + 1))
            })
        };
        let day_at = |at: usize| -> Option<(usize, u32)> {
            let (mut end, day) = self.number(at).filter(|_| self.at(at).is_ascii_digit())?;
            for suffix in ["st", "nd", "rd", "th"] {
                if self.at(end) == suffix.as_bytes()[0] as char && self.at(end + 1) == suffix.as_bytes()[1] as char {
                    end += 2;
                }
            }
            (!self.at(end).is_ascii_alphanumeric() && (1..=31).contains(&day)).then_some((end, day))
        };
        let start = at;
        let at = self.any(at, &[("on ", ()), ("since ", ())]).map_or(at, |(end, ())| end);
        // August 2019, in October: the month alone.
        if let Some((from, ())) = self.any(start, &[("in ", ()), ("since ", ()), ("last ", ()), ("back in ", ()), ("during ", ()), ("of ", ())]).or(Some((start, ())))
            && let Some((end, month)) = month_at(from)
            && day_at(self.blank(end)).is_none_or(|_| self.year(self.blank(end)).is_some())
        {
            let whole = self.at(end - 1) != '.' && end - from > 3;
            return match self.year(self.blank(end)) {
                Some((behind, year)) => Some((behind, NaiveDate::from_ymd_opt(year, month, 1)?, Grain::Month, None)),
                None if from > start && (whole || month == 5) => Some((end, self.dated(Day::MonthDay(month, 1))?, Grain::Month, None)),
                None => None,
            };
        }
        let (end, month, day) = if let Some((end, month)) = month_at(at) {
            let (end, day) = day_at(self.blank(end))?;
            (end, month, day)
        } else {
            let (end, day) = day_at(at)?;
            let from = self.starts(self.blank(end), "of").map_or(self.blank(end), |end| self.blank(end));
            let (end, month) = month_at(from)?;
            (end, month, day)
        };
        if let Some((behind, year)) = self.year(self.blank(end)) {
            return Some((behind, NaiveDate::from_ymd_opt(year, month, day)?, Grain::Day, None));
        }
        Some((end, self.dated(Day::MonthDay(month, day))?, Grain::Day, None))
    }
}

/// An hour said with am or pm.
fn twelve(hour: u32, half: Option<bool>) -> Option<(u32, bool)> {
    match half {
        None => Some((hour, hour > 12 || hour == 0)),
        Some(_) if hour > 12 || hour == 0 => Some((hour, true)),
        Some(false) => Some((hour % 12, true)),
        Some(true) => Some((hour % 12 + 12, true)),
    }
}

/// A moment as it is written by people and files, with or without an offset: the local clock and the offset in seconds.
///
/// ```
/// let (local, offset) = text::moment::parse("2019/8/23 11:05").unwrap();
/// assert_eq!((local.to_string().as_str(), offset), ("2019-08-23 11:05:00", None));
/// ```
pub fn parse(text: &str) -> Option<(NaiveDateTime, Option<i32>)> {
    let text = text.trim();
    if let Ok(moment) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some((moment.naive_local(), Some(moment.offset().local_minus_utc())));
    }
    let normal = Normal::of(text);
    let reader = Reader { chars: &normal.chars, reference: None };
    let mut said = Said::default();
    let (end, day, grain, _) = reader.calendar_zh(0).or_else(|| reader.iso(0)).or_else(|| reader.calendar_en(0))?;
    if grain != Grain::Day {
        return None;
    }
    said.day = Some(day);
    let from = reader.joint(end, true);
    let end = match reader.clock(from, true) {
        Some((end, clock, part, sure)) => {
            (said.clock, said.part, said.sure) = (Some(clock), part, sure);
            end
        }
        None => end,
    };
    let fraction: String = normal.chars[end.min(normal.chars.len())..].iter().collect();
    let fraction = fraction.trim();
    if !fraction.trim_start_matches('.').chars().all(|c| c.is_ascii_digit()) && fraction != "z" {
        return None;
    }
    let (moment, _) = reader.resolve(&said)?;
    Some((moment.with_nanosecond(0)?, (fraction == "z" || fraction.ends_with('z')).then_some(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    #[track_caller]
    fn check(text: &str, expected: &str, grain: Grain) {
        let mut moments = Vec::new();
        // A Wednesday.
        let reference = at("2019-08-28 10:30");
        find(&Normal::of(text), Some(reference), &mut moments);
        let found = best(&moments, Some(reference)).unwrap_or_else(|| panic!("nothing in {text}"));
        assert_eq!((found.at, found.grain), (at(expected), grain), "{text}");
    }

    #[test]
    fn chinese() {
        check("昨晚八点中山路积水", "2019-08-27 20:00", Grain::Hour);
        check("今天下午3点半停水", "2019-08-28 15:30", Grain::Minute);
        check("上周二开始没有暖气", "2019-08-20 00:00", Grain::Day);
        check("本月5号交的费", "2019-08-05 00:00", Grain::Day);
        check("2019年8月23日晚，小区停电", "2019-08-23 20:00", Grain::Part);
        check("前天有人在此倒垃圾", "2019-08-26 00:00", Grain::Day);
        check("三天前报修", "2019-08-25 00:00", Grain::Day);
        check("2019/8/23 11:05 路口事故", "2019-08-23 11:05", Grain::Minute);
        check("8月23日凌晨2点", "2019-08-23 02:00", Grain::Hour);
        check("昨晚12点还在施工", "2019-08-28 00:00", Grain::Hour);
        check("昨晚一点多", "2019-08-28 01:00", Grain::Hour);
        check("２０１９年８月１日上午９时３０分", "2019-08-01 09:30", Grain::Minute);
        check("二零一九年八月二十三日", "2019-08-23 00:00", Grain::Day);
        check("两个小时前", "2019-08-28 08:30", Grain::Hour);
        check("半小时前", "2019-08-28 10:00", Grain::Minute);
        check("去年12月", "2018-12-01 00:00", Grain::Month);
        check("12月30日", "2018-12-30 00:00", Grain::Day);
        check("周一早上7点", "2019-08-26 07:00", Grain::Hour);
        check("星期五晚上", "2019-08-23 20:00", Grain::Part);
        check("今早六点", "2019-08-28 06:00", Grain::Hour);
        check("中午12点", "2019-08-27 12:00", Grain::Hour);
        check("昨天(周二)下午两点二十", "2019-08-27 14:20", Grain::Minute);
        check("三点五十停的电", "2019-08-28 03:50", Grain::Minute);
        check("一刻钟前", "2019-08-28 10:15", Grain::Minute);
        check("昨儿有人砸车", "2019-08-27 00:00", Grain::Day);
        check("凌晨水管爆了", "2019-08-28 00:00", Grain::Part);
        check("元旦晚上停电", "2019-01-01 20:00", Grain::Part);
        check("去年国庆", "2018-10-01 00:00", Grain::Day);
        check("去年夏天开始", "2018-06-01 00:00", Grain::Month);
    }

    #[test]
    fn english() {
        check("last Tuesday the light went out", "2019-08-27 00:00", Grain::Day);
        check("Yesterday at 8 pm a tree fell", "2019-08-27 20:00", Grain::Hour);
        check("about 3 hours ago", "2019-08-28 07:30", Grain::Hour);
        check("an hour ago", "2019-08-28 09:30", Grain::Hour);
        check("On August 23, 2019 at 11:05 a.m.", "2019-08-23 11:05", Grain::Minute);
        check("Aug 23rd around 9pm", "2019-08-23 21:00", Grain::Hour);
        check("23 August", "2019-08-23 00:00", Grain::Day);
        check("last night at 11:30", "2019-08-27 23:30", Grain::Minute);
        check("this morning", "2019-08-28 07:00", Grain::Part);
        check("two weeks ago", "2019-08-14 00:00", Grain::Day);
        check("Monday at noon", "2019-08-26 12:00", Grain::Hour);
        check("8/23/2019 7:15 PM", "2019-08-23 19:15", Grain::Minute);
        check("2019-08-23T11:05:00", "2019-08-23 11:05", Grain::Second);
        check("broken since June 2018", "2018-06-01 00:00", Grain::Month);
        check("it went out in March", "2019-03-01 00:00", Grain::Month);
        check("on New Year's Eve the lights failed", "2018-12-31 00:00", Grain::Day);
    }

    #[test]
    fn ranges() {
        let mut moments = Vec::new();
        find(&Normal::of("昨晚8点到10点半一直施工"), Some(at("2019-08-28 10:30")), &mut moments);
        assert_eq!((moments[0].at, moments[0].until), (at("2019-08-27 20:00"), Some(at("2019-08-27 22:30"))));
    }

    #[test]
    fn what_is_no_moment() {
        for text in ["每天晚上10点", "8号楼3单元", "三点建议", "共12个月", "2019", "周末开放", "国庆路", "三点建议十条", "it may rain", "march on", "路灯3天不亮", "every night at 11 pm", "地铁2号线", "", "138.5.5.5", "may I ask", "the second time"] {
            let mut moments = Vec::new();
            find(&Normal::of(text), Some(at("2019-08-28 10:30")), &mut moments);
            assert!(moments.is_empty(), "{text}: {moments:?}");
        }
    }

    #[test]
    fn moments_of_files() {
        for (text, local, offset) in [
            ("2019/8/23 11:05:00", "2019-08-23 11:05", None),
            ("2019-08-23", "2019-08-23 00:00", None),
            ("2019-08-23T11:05:00+08:00", "2019-08-23 11:05", Some(28_800)),
            ("08/23/2019 11:05:00 AM", "2019-08-23 11:05", None),
            ("2019-08-23 11:05:00.000", "2019-08-23 11:05", None),
        ] {
            assert_eq!(parse(text), Some((at(local), offset)), "{text}");
        }
        for text in ["", "yesterday", "12", "2019-13-45", "abc"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
