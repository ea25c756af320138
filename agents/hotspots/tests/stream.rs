//! The stream as its users see it: what is one matter and what is not, who raises it, and that nothing breaks it.

use hotspots::{Hotspots, Membership, Message, Options, Where};
use proptest::prelude::*;

const HOUR_US: i64 = 3_600_000_000;

fn say(hotspots: &mut Hotspots, number: i64, caller: &str, text: &str) -> Membership {
    let id = number.to_string();
    hotspots.observe(&Message { id: &id, caller, text, time_us: number * HOUR_US, ..Message::default() })
}

#[test]
fn one_matter_in_many_words_is_one_and_says_why() {
    let mut hotspots = Hotspots::default();
    let first = say(&mut hotspots, 1, "a", "清风新城旁边的混凝土搅拌站夜里轰鸣，无法入睡");
    let second = say(&mut hotspots, 2, "b", "A2区清风小区附近建了搅拌厂，噪音太大，请查处");
    assert_eq!(first.tie, None);
    assert_eq!(second.matter, first.matter);
    let tie = second.tie.unwrap();
    assert_eq!(tie.place, Where::SameSite("清风新城".into()));
    assert!(tie.words.iter().any(|word| word == "concrete plant"), "{tie:?}");
    assert!(tie.likeness >= tie.enough);
}

#[test]
fn another_place_or_another_matter_is_another() {
    let mut hotspots = Hotspots::default();
    let plant = say(&mut hotspots, 1, "a", "清风新城旁边的混凝土搅拌站夜里轰鸣，无法入睡").matter;
    assert_ne!(say(&mut hotspots, 2, "b", "明月花园旁边的混凝土搅拌站夜里轰鸣，无法入睡").matter, plant);
    assert_ne!(say(&mut hotspots, 3, "c", "清风新城的电梯又坏了，老人爬不了楼").matter, plant);
    assert_eq!(hotspots.matters().len(), 3);
}

#[test]
fn english_is_read_too() {
    let mut hotspots = Hotspots::default();
    let first = say(&mut hotspots, 1, "a", "Street lights are out on Maple Hill Road, it is dark at night").matter;
    assert_eq!(say(&mut hotspots, 2, "b", "no streetlights working along Maple Hill Road for two weeks").matter, first);
    assert_ne!(say(&mut hotspots, 3, "c", "Street lights are out on Oak Grove Avenue").matter, first);
    assert_ne!(say(&mut hotspots, 4, "d", "Garbage was not collected on Maple Hill Road").matter, first);
}

#[test]
fn an_issue_is_raised_once_and_before_the_eleventh_report() {
    let mut hotspots = Hotspots::default();
    let words = ["搅拌站噪音扰民", "搅拌厂太吵，睡不着", "搅拌站粉尘大", "混凝土搅拌站彻夜施工"];
    let raised: Vec<i64> = (1..=20).filter(|n| say(&mut hotspots, *n, &format!("caller {n}"), &format!("清风新城附近{}", words[*n as usize % 4])).raised.is_some()).collect();
    assert!(matches!(raised[..], [n] if n <= 10), "{raised:?}");
    let matter = hotspots.hottest(20 * HOUR_US, 1)[0].0;
    assert_eq!((matter.reports, matter.callers, matter.place()), (20, 20, "清风新城"));
}

#[test]
fn one_caller_raises_nothing_and_counts_once() {
    let mut hotspots = Hotspots::default();
    for n in 1..=30 {
        let membership = say(&mut hotspots, n, "the same", "清风新城附近搅拌站噪音扰民");
        assert_eq!((membership.raised, membership.new_caller), (None, n == 1));
    }
    let matter = hotspots.hottest(30 * HOUR_US, 1)[0].0;
    assert_eq!((matter.reports, matter.callers), (30, 1));
    assert_eq!(matter.repeat_callers(), [("the same", 30)]);
}

#[test]
fn what_is_silent_retires_and_is_told() {
    let mut hotspots = Hotspots::default();
    let old = say(&mut hotspots, 1, "a", "清风新城附近搅拌站噪音扰民").matter;
    let later = say(&mut hotspots, 24 * 61 + 2, "b", "清风新城附近搅拌站噪音扰民");
    assert_eq!(later.retired.iter().map(|matter| matter.id).collect::<Vec<_>>(), [old]);
    assert_ne!(later.matter, old);
}

#[test]
fn no_more_matters_live_than_allowed() {
    let mut hotspots = Hotspots::new(Options { matters_max: 5, ..Options::default() });
    let subjects = ["路灯不亮", "电梯困人", "流浪狗咬人", "自来水发黄", "油烟扰民", "积水严重", "垃圾成堆", "学校门口堵车"];
    let mut retired = 0;
    for (n, subject) in subjects.iter().enumerate() {
        retired += say(&mut hotspots, n as i64, "", &format!("{}号院{subject}", n + 1)).retired.len();
        assert!(hotspots.matters().len() <= 6);
    }
    assert!(retired >= 2, "{retired}");
}

#[test]
fn a_state_that_was_kept_goes_on_as_if_it_had_not() {
    let mut kept = Hotspots::default();
    let texts = ["清风新城附近搅拌站噪音扰民", "明月花园停水三天", "清风小区搅拌厂太吵", "和平路路灯不亮", "明月花园又没水了"];
    for (n, text) in texts.iter().enumerate() {
        say(&mut kept, n as i64, &format!("caller {n}"), text);
    }
    let mut back: Hotspots = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
    assert_eq!(back, kept);
    for (n, text) in texts.iter().enumerate() {
        let n = n as i64 + 10;
        assert_eq!(say(&mut back, n, "again", text), say(&mut kept, n, "again", text));
    }
    assert_eq!(back, kept);
}

#[test]
fn what_says_nothing_ties_nothing() {
    let mut hotspots = Hotspots::default();
    let huge = "清风新城搅拌站噪音。".repeat(100_000);
    for (n, text) in ["", " ", "\0\0", "😀😀😀", "！！！？？？", "12345", "您好，谢谢", ""].iter().enumerate() {
        assert_eq!(say(&mut hotspots, n as i64, "", text).tie, None, "{text:?}");
    }
    assert_eq!(say(&mut hotspots, 99, "", &huge).tie, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_breaks_it(messages in prop::collection::vec((".{0,40}|[清风明月新城花园路搅拌站噪音停水a2区 ]{0,30}", "[ab]?", any::<i64>(), any::<u64>()), 0..30)) {
        let (mut one, mut other) = (Hotspots::default(), Hotspots::default());
        for (text, caller, time_us, likes) in &messages {
            let message = Message { id: text, caller, title: text, text, place: caller, time_us: *time_us, likes: *likes };
            prop_assert_eq!(one.observe(&message), other.observe(&message));
        }
        let hottest = one.hottest(i64::MAX, 10);
        prop_assert!(hottest.iter().all(|(_, heat)| heat.is_finite()));
    }
}
