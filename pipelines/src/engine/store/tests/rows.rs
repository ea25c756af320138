//! Rows of all kinds, whole and as slices of others.

use arrow::array::{
    BinaryArray, BinaryViewArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, ListArray, NullArray,
    RecordBatchOptions, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use proptest::prelude::*;

use super::*;
use super::super::size;

fn every_kind(rows: usize) -> RecordBatch {
    let is_there = |row: &usize| row % 4 != 2;
    let text = |row: usize| format!("{row} and enough text that a view does not hold it itself");
    let numbers = || (0..rows).map(|row| is_there(&row).then_some(row as i64));
    let fields = vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)];
    let texts: ArrayRef = Arc::new(StringArray::from_iter((0..rows).map(|row| is_there(&row).then(|| text(row)))));
    let (parts, mask) = (vec![Arc::new(Int64Array::from_iter(numbers())) as ArrayRef, texts.clone()], (0..rows).map(|row| row % 5 != 1));
    let pair = StructArray::try_new(fields.into(), parts, Some(mask.collect::<Vec<bool>>().into())).expect("fields fit");
    let lists = (0..rows).map(|row| is_there(&row).then(|| (0..row % 4).map(move |item| Some((row * item) as f64))));
    let binary = (0..rows).map(|row| is_there(&row).then(|| vec![row as u8; row % 30]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", texts),
        ("pair", Arc::new(pair)),
        ("list", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))),
        ("time", Arc::new(TimestampMicrosecondArray::from_iter(numbers()).with_timezone("UTC"))),
        ("binary", Arc::new(BinaryArray::from_iter(binary.clone()))),
        ("flag", Arc::new(BooleanArray::from_iter((0..rows).map(|row| is_there(&row).then_some(row % 3 == 0))))),
        ("float", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64 / 3.0)))),
        ("decimal", Arc::new(Decimal128Array::from_iter(numbers().map(|number| number.map(i128::from))))),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter((0..rows.max(1)).map(|row| [row as u8; 5])).expect("five bytes").slice(0, rows))),
        ("text_view", Arc::new(StringViewArray::from_iter((0..rows).map(|row| is_there(&row).then(|| text(row)))))),
        ("binary_view", Arc::new(BinaryViewArray::from_iter(binary))),
        ("nothing", Arc::new(NullArray::new(rows))),
        ("list_of_one", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..rows).map(|row| Some([Some(row as i32)]))))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).expect("columns of one length")
}

/// What comes back after a commit and a reopening, and the bytes that were live.
fn through_disk(rows: RecordBatch) -> (RecordBatch, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open_on(folder.path(), "jam", WIDE, Box::new(Tape::endless())).expect("an empty store").store;
    let id = store.put(Tag { step: 3, key: -1 }, rows.clone()).expect("every kind can be stored");
    assert_eq!(store.get(id).expect("it is in memory"), rows);
    store.commit(b"here").expect("there is room");
    let opened = Store::open_on(folder.path(), "jam", WIDE, Box::new(Tape::endless())).expect("it was committed");
    let (store, mut content) = Content::of(opened).expect("it can be read");
    let (tag, back) = content.chunks.remove(&id).expect("it is there");
    assert_eq!(tag, Tag { step: 3, key: -1 });
    (back, store.live_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn slices_come_back_as_they_were(rows in 0usize..300, from in any::<prop::sample::Index>(), length in any::<prop::sample::Index>()) {
        let all = every_kind(rows);
        let from = from.index(rows + 1);
        let slice = all.slice(from, length.index(rows - from + 1));
        prop_assert_eq!(through_disk(slice.clone()).0, slice);
    }
}

#[test]
fn a_slice_takes_what_it_shows() {
    let all = every_kind(100_000);
    let (small, large) = (all.slice(70_000, 100), every_kind(100));
    let own = size::own_bytes(&small);
    assert!(own.abs_diff(size::own_bytes(&large)) < 1000, "{own} and {}", size::own_bytes(&large));
    assert!(size::held_bytes(&small) > 500 * own);
    let live = through_disk(small.clone()).1;
    assert!(live < 2 * own as u64 + 5000, "{live} bytes on disk for {own}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), "jam", WIDE).expect("an empty store").store;
    let id = store.put(Tag { step: 0, key: 0 }, small).expect("there is room");
    assert_eq!(store.memory_bytes(), own);
    let held = size::held_bytes(&store.get(id).expect("it is in memory"));
    assert!(held < 2 * own + 5000, "{held} bytes are held for {own}");
}

#[test]
fn rows_without_columns_are_counted() {
    let options = RecordBatchOptions::new().with_row_count(Some(5));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("no column is wrong");
    assert_eq!(through_disk(rows.clone()).0, rows);
}

#[test]
fn schemas_keep_their_metadata_and_stay_apart() {
    let meta = |value: &str| [("unit".to_owned(), value.to_owned())].into();
    let schema = |value| Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]).with_metadata(meta(value)));
    let rows = |value| RecordBatch::try_new(schema(value), vec![Arc::new(Int64Array::from(vec![1, 2]))]).expect("columns fit");
    assert_eq!(through_disk(rows("m")).0.schema(), schema("m"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), "jam", StoreLimits { memory_bytes: 0, ..WIDE }).expect("an empty store").store;
    let ids = ["m", "s", "m"].map(|value| store.put(Tag { step: 0, key: 0 }, rows(value)).expect("there is room"));
    assert_eq!(ids.map(|id| store.get(id).expect("it is on disk").schema()), [schema("m"), schema("s"), schema("m")]);
    assert_eq!(store.codecs.len(), 2);
}

#[test]
fn dictionaries_are_refused_before_anything_is_written() {
    let words: arrow::array::DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let rows = RecordBatch::try_from_iter([("word", Arc::new(words) as ArrayRef)]).expect("one column");
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), "jam", WIDE).expect("an empty store").store;
    let refused = store.put(Tag { step: 4, key: 0 }, rows);
    assert!(matches!(refused, Err(StoreError::Rows { step: 4, .. })), "{refused:?}");
    store.commit(b"here").expect("the store works on");
}
