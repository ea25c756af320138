//! Trainings on small made-up rows: the same bytes from the same rows, no damage unseen, abstention where nothing is known.

use learn::{BytesError, Example, Input, Model, Options, Scratch, TrainError, train};
use proptest::prelude::*;

const KINDS: [(&str, [&str; 3]); 3] = [
    ("light", ["路灯不亮", "路灯坏了", "street light out"]),
    ("cover", ["井盖丢失", "井盖破损", "manhole cover missing"]),
    ("noise", ["夜间施工噪音", "广场舞太吵", "loud music at night"]),
];

fn with_rows<T>(count: usize, then: impl FnOnce(&[Example]) -> T) -> T {
    let rows: Vec<([String; 1], &str)> = (0..count)
        .map(|at| {
            let (label, texts) = KINDS[at % 3];
            ([format!("{} {} {}", texts[at / 3 % 3], texts[at / 9 % 3], at % 17)], label)
        })
        .collect();
    let texts: Vec<[&str; 1]> = rows.iter().map(|(texts, _)| [texts[0].as_str()]).collect();
    let examples: Vec<Example> = rows.iter().zip(&texts).map(|((_, label), texts)| Example { input: Input { texts, fields: &[], time_us: None }, label }).collect();
    then(&examples)
}

fn model() -> Model {
    with_rows(300, |examples| train(examples, &Options::default(), &mut |_| {}).unwrap().0)
}

fn input<'a>(texts: &'a [&'a str]) -> Input<'a> {
    Input { texts, fields: &[], time_us: None }
}

#[test]
fn the_same_rows_and_seed_give_the_same_bytes() {
    let (first, second) = (model(), model());
    assert_eq!(first.to_bytes(), second.to_bytes());
    assert_eq!(first.digest(), second.digest());
    let other = with_rows(300, |examples| train(examples, &Options { seed: 2, ..Options::default() }, &mut |_| {}).unwrap().0);
    assert_ne!(first.digest(), other.digest());
}

#[test]
fn a_model_read_back_answers_alike() {
    let model = model();
    let read = Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(read, model);
    let mut scratch = Scratch::default();
    for text in ["路灯 不亮", "井盖破损", "loud music"] {
        assert_eq!(read.predict(&input(&[text]), &mut scratch), model.predict(&input(&[text]), &mut Scratch::default()));
    }
}

#[test]
fn known_matters_are_accepted_and_strange_ones_are_not() {
    let model = model();
    let mut scratch = Scratch::default();
    let answer = model.predict(&input(&["门口路灯坏了"]), &mut scratch);
    assert_eq!(answer.ranked[0].0, "light");
    assert!((answer.ranked.iter().map(|ranked| ranked.1).sum::<f32>() - 1.0).abs() < 1e-3);
    assert!(model.predict(&input(&["路灯不亮"]), &mut scratch).accepted);
    for strange in ["", "\0", "🦀🦀", "ਪੰਜਾਬੀ ਲਿਖਤ"] {
        assert!(!model.predict(&input(&[strange]), &mut scratch).accepted, "{strange:?}");
    }
    assert!(model.explain(&input(&["路灯不亮"]), "light", 5, &mut scratch).iter().any(|reason| reason.what.contains("灯")));
}

#[test]
fn what_cannot_be_learnt_is_said() {
    let none = |examples: &[Example]| train(examples, &Options::default(), &mut |_| {}).unwrap_err();
    assert_eq!(none(&[]), TrainError::NoRows);
    let row = |label| Example { input: input(&["a text"]), label };
    assert_eq!(none(&[row("a"), row("a")]), TrainError::OneLabel { label: "a".to_owned(), rows: 2 });
    assert_eq!(none(&[row("a"), row("")]), TrainError::Label { row: 2, bytes: 0 });
    assert_eq!(none(&[Example { input: input(&[""]), label: "a" }, Example { input: input(&[]), label: "b" }]), TrainError::NoFeatures);
}

#[test]
fn a_label_seen_once_is_told() {
    with_rows(60, |examples| {
        let mut examples = examples.to_vec();
        examples.push(Example { input: input(&["只有一次"]), label: "once" });
        let (_, report) = train(&examples, &Options::default(), &mut |_| {}).unwrap();
        assert_eq!(report.rare, [("once".to_owned(), 1)]);
    });
}

#[test]
fn damage_anywhere_is_seen() {
    let bytes = model().to_bytes();
    for at in (0..bytes.len()).step_by(997) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Model::from_bytes(&damaged).is_err(), "byte {at}");
        assert!(Model::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(Model::from_bytes(b"no model"), Err(BytesError::NotAModel));
}

#[test]
fn a_megabyte_is_no_matter() {
    let long = "路灯不亮。".repeat(70_000);
    assert_eq!(model().predict(&input(&[&long]), &mut Scratch::default()).ranked[0].0, "light");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_input_has_an_answer(texts in prop::collection::vec(any::<String>(), 0..4), name in any::<String>(), value in any::<String>(), time_us in any::<Option<i64>>()) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let model = with_rows(30, |examples| train(examples, &Options::default(), &mut |_| {}).unwrap().0);
        let input = Input { texts: &texts, fields: &[(&name, &value)], time_us };
        let answer = model.predict(&input, &mut Scratch::default());
        prop_assert_eq!(answer.ranked.len(), 3);
        prop_assert!(answer.ranked.iter().all(|ranked| ranked.1.is_finite()));
    }
}
