//! The functions that the dialect adds to DataFusion's: windows, milli units and evidence; [`exact`] sums of floats, and
//! [`json`].
//!
//! All are pure: the same arguments give the same result on every run and every machine.

mod exact;
mod json;
mod slice;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int32Builder, Int64Array, Int64Builder, ListArray,
    StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::chunk::timestamp_type;
use crate::sql::window_call;

pub(crate) use slice::Slice;

/// Makes the functions known to a session.
pub(crate) fn register(session: &SessionContext) {
    for name in window_call::NAMES {
        session.register_udf(ScalarUDF::new_from_impl(WindowFunction::new(name)));
    }
    session.register_udf(ScalarUDF::new_from_impl(Milli::new()));
    session.register_udf(ScalarUDF::new_from_impl(Evidence::new()));
    exact::exact_aggregates().into_iter().for_each(|exact| session.register_udaf(exact));
    json::register(&mut session.state_ref().write() as &mut SessionState).expect("the functions have names of their own");
    session.register_udaf(AggregateUDF::new_from_impl(PositionAt::new(Extreme::Max)));
    session.register_udaf(AggregateUDF::new_from_impl(PositionAt::new(Extreme::Min)));
}

/// The type of a window: `{start, end}`.
pub fn window_type() -> DataType {
    DataType::Struct(window_fields())
}

/// The type of a position: `{topic, partition, offset}`.
pub fn position_type() -> DataType {
    DataType::Struct(position_fields())
}

fn window_fields() -> Fields {
    Fields::from(vec![Field::new("start", timestamp_type(), true), Field::new("end", timestamp_type(), true)])
}

pub(crate) fn position_fields() -> Fields {
    Fields::from(vec![
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
    ])
}

/// The start of the window of `width_us` that holds `time_us`, also before 1970.
pub fn window_start(time_us: i64, width_us: i64) -> i64 {
    time_us.saturating_sub(time_us.rem_euclid(width_us))
}

/// The width of a window in microseconds, from the interval that was written.
pub(crate) fn width_us(interval: &ScalarValue) -> std::result::Result<i64, String> {
    let us = match interval {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months == 0 => {
            i64::from(value.days).checked_mul(86_400_000_000).and_then(|days| days.checked_add(value.nanoseconds / 1_000))
        }
        ScalarValue::IntervalDayTime(Some(value)) => i64::from(value.days)
            .checked_mul(86_400_000_000)
            .and_then(|days| days.checked_add(i64::from(value.milliseconds) * 1_000)),
        ScalarValue::DurationMicrosecond(Some(us)) => Some(*us),
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(_) => {
            return Err("months have no fixed length: write days".into());
        }
        other => return Err(format!("{other} is not a constant interval: write interval '1 minute'")),
    };
    match us {
        Some(us) if us > 0 => Ok(us),
        _ => Err("a window must be longer than zero".into()),
    }
}

/// `tumble`, `hop` and `session`: the window that holds a row. The planner takes each call apart; none is ever invoked.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowFunction {
    name: &'static str,
    signature: Signature,
}

impl WindowFunction {
    fn new(name: &'static str) -> WindowFunction {
        WindowFunction { name, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let intervals = match arguments {
            [DataType::Timestamp(_, _), intervals @ ..] => intervals,
            intervals => intervals,
        };
        let intervals = match intervals {
            // Where the months of a session begin and end.
            [intervals @ .., DataType::Utf8 | DataType::Utf8View] if self.name == "session" => intervals,
            intervals => intervals,
        };
        // A constant text is an interval, too; the planner looks at it.
        match intervals.iter().find(|argument| !matches!(argument, DataType::Interval(_) | DataType::Utf8)) {
            None => Ok(window_type()),
            Some(other) => plan_err!("{} takes intervals, as in {}(INTERVAL '1 minute'), not {other}", self.name, self.name),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} stands in GROUP BY, or in a SELECT whose rows wait for their window", self.name)
    }
}

/// Windows by their starts and ends.
pub(crate) fn windows_of(starts: &[i64], ends: &[i64]) -> ArrayRef {
    let times = |times: &[i64]| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")) };
    Arc::new(StructArray::new(window_fields(), vec![times(starts), times(ends)], None))
}

/// The start of a window as a plain column, which groups faster than a struct. The planner puts it in; no one writes it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowStart {
    signature: Signature,
    width_us: i64,
    /// Taken off the time first: a window's end belongs to the longer window that it lies in, not to the next.
    back_us: i64,
}

impl WindowStart {
    pub(crate) fn udf(width_us: i64, back_us: i64) -> Arc<ScalarUDF> {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(WindowStart { signature, width_us, back_us }))
    }
}

impl ScalarUDFImpl for WindowStart {
    fn name(&self) -> &str {
        "__window_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(timestamp_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = cast(&args.args[0].to_array(args.number_rows)?, &timestamp_type())?;
        let start: TimestampMicrosecondArray =
            time.as_primitive::<TimestampMicrosecondType>().unary(|time| window_start(time - self.back_us, self.width_us));
        Ok(ColumnarValue::Array(Arc::new(start.with_timezone("UTC"))))
    }
}

/// A number in thousandths, rounded half away from zero; null when it is not finite or does not fit.
pub fn milli(value: f64) -> Option<i64> {
    let milli = (value * 1_000.0).round();
    // 2^63 is the first float that does not fit; comparing with i64::MAX would round up to it.
    (milli.is_finite() && milli.abs() < 9_223_372_036_854_775_808.0).then_some(milli as i64)
}

/// `milli(x)`: a measured value as an integer, so that sums do not depend on the order of adding.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Milli {
    signature: Signature,
}

impl Milli {
    fn new() -> Milli {
        let signature = TypeSignature::OneOf(vec![
            TypeSignature::Exact(vec![DataType::Int64]),
            TypeSignature::Exact(vec![DataType::Float64]),
        ]);
        Milli { signature: Signature::new(signature, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Milli {
    fn name(&self) -> &str {
        "milli"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = args.args[0].to_array(args.number_rows)?;
        let milli: Int64Array = match value.data_type() {
            DataType::Int64 => value.as_primitive::<Int64Type>().iter().map(|v| v?.checked_mul(1_000)).collect(),
            DataType::Float64 => milli_of(value.as_primitive::<Float64Type>()),
            other => return exec_err!("milli takes a number, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(milli)))
    }
}

fn milli_of(values: &Float64Array) -> Int64Array {
    values.iter().map(|value| milli(value?)).collect()
}

/// `evidence(position, ...)`: the distinct positions in log order, nulls left out.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Evidence {
    signature: Signature,
}

impl Evidence {
    fn new() -> Evidence {
        Evidence { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Evidence {
    fn name(&self) -> &str {
        "evidence"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.iter().find(|argument| **argument != position_type()) {
            None => Ok(DataType::List(Arc::new(Field::new_list_field(position_type(), true)))),
            Some(other) => plan_err!("evidence takes positions, as position_at_max gives them, not {other}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let columns: Vec<Positions<'_>> = columns.iter().map(|column| Positions::of(column)).collect();
        let rows = columns.first().map_or(args.number_rows, |column| column.len());
        let mut out = PositionBuilder::default();
        let mut lengths = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut positions: Vec<(&str, i32, i64)> = columns.iter().filter_map(|column| column.get(row)).collect();
            positions.sort_unstable();
            positions.dedup();
            lengths.push(positions.len());
            positions.iter().for_each(|position| out.push(Some(*position)));
        }
        let item = Arc::new(Field::new_list_field(position_type(), true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(out.finish()), None);
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

struct Positions<'a> {
    nulls: Option<&'a NullBuffer>,
    topic: &'a arrow::array::StringArray,
    partition: &'a Int32Array,
    offset: &'a Int64Array,
}

impl<'a> Positions<'a> {
    fn of(array: &'a ArrayRef) -> Positions<'a> {
        let array = array.as_struct();
        Positions {
            nulls: array.nulls(),
            topic: array.column(0).as_string(),
            partition: array.column(1).as_primitive::<Int32Type>(),
            offset: array.column(2).as_primitive::<Int64Type>(),
        }
    }

    fn len(&self) -> usize {
        self.offset.len()
    }

    fn get(&self, row: usize) -> Option<(&'a str, i32, i64)> {
        let null = self.nulls.is_some_and(|nulls| nulls.is_null(row)) || self.offset.is_null(row);
        (!null).then(|| (self.topic.value(row), self.partition.value(row), self.offset.value(row)))
    }
}

#[derive(Default)]
struct PositionBuilder {
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    valid: Vec<bool>,
}

impl PositionBuilder {
    fn push(&mut self, position: Option<(&str, i32, i64)>) {
        self.topic.append_option(position.map(|position| position.0));
        self.partition.append_option(position.map(|position| position.1));
        self.offset.append_option(position.map(|position| position.2));
        self.valid.push(position.is_some());
    }

    fn finish(mut self) -> StructArray {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.topic.finish()), Arc::new(self.partition.finish()), Arc::new(self.offset.finish())];
        StructArray::new(position_fields(), columns, Some(NullBuffer::from(self.valid)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Extreme {
    Max,
    Min,
}

/// `position_at_max(value, position)` and `position_at_min`: where the extreme value of a group was read; among equal
/// values the first position in (topic, partition, offset) order.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PositionAt {
    signature: Signature,
    extreme: Extreme,
}

impl PositionAt {
    fn new(extreme: Extreme) -> PositionAt {
        PositionAt { signature: Signature::any(2, Volatility::Immutable), extreme }
    }
}

impl AggregateUDFImpl for PositionAt {
    fn name(&self) -> &str {
        match self.extreme {
            Extreme::Max => "position_at_max",
            Extreme::Min => "position_at_min",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Int64 | DataType::Int32 | DataType::Timestamp(_, _), position] if *position == position_type() => {
                Ok(position_type())
            }
            [value, position] => plan_err!(
                "{} takes an integer or a time and a position, not {value} and {position}: write milli(x) for a float",
                self.name()
            ),
            _ => plan_err!("{} takes a value and a position", self.name()),
        }
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(Best::new(self.extreme))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |suffix: &str, data_type| Arc::new(Field::new(format!("{}[{suffix}]", args.name), data_type, true));
        Ok(vec![
            field("value", DataType::Int64),
            field("topic", DataType::Utf8),
            field("partition", DataType::Int32),
            field("offset", DataType::Int64),
        ])
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Best::new(self.extreme)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

const NO_TOPIC: u32 = u32::MAX;

/// The best value of each group and where it was read, column by column.
struct Best {
    extreme: Extreme,
    topics: Vec<String>,
    topic_of: BTreeMap<String, u32>,
    values: Vec<i64>,
    topic: Vec<u32>,
    partition: Vec<i32>,
    offset: Vec<i64>,
}

impl Best {
    fn new(extreme: Extreme) -> Best {
        Best {
            extreme,
            topics: Vec::new(),
            topic_of: BTreeMap::new(),
            values: Vec::new(),
            topic: Vec::new(),
            partition: Vec::new(),
            offset: Vec::new(),
        }
    }

    fn grow(&mut self, groups: usize) {
        self.values.resize(groups, 0);
        self.topic.resize(groups, NO_TOPIC);
        self.partition.resize(groups, 0);
        self.offset.resize(groups, 0);
    }

    fn intern(&mut self, topic: &str) -> u32 {
        // A batch nearly always has one topic, so the last one that was seen is tried first.
        if let Some(last) = self.topics.last()
            && last == topic
        {
            return self.topics.len() as u32 - 1;
        }
        if let Some(known) = self.topic_of.get(topic) {
            return *known;
        }
        let new = self.topics.len() as u32;
        self.topics.push(topic.to_owned());
        self.topic_of.insert(topic.to_owned(), new);
        new
    }

    fn offer(&mut self, group: usize, value: i64, position: (&str, i32, i64)) {
        let (topic, partition, offset) = position;
        let held = self.topic[group];
        let better = held == NO_TOPIC
            || match (self.extreme, value.cmp(&self.values[group])) {
                (Extreme::Max, std::cmp::Ordering::Greater) | (Extreme::Min, std::cmp::Ordering::Less) => true,
                (_, std::cmp::Ordering::Equal) => {
                    let held = (self.topics[held as usize].as_str(), self.partition[group], self.offset[group]);
                    (topic, partition, offset) < held
                }
                (Extreme::Max, std::cmp::Ordering::Less) | (Extreme::Min, std::cmp::Ordering::Greater) => false,
            };
        if better {
            self.topic[group] = self.intern(topic);
            self.values[group] = value;
            self.partition[group] = partition;
            self.offset[group] = offset;
        }
    }

    fn offer_all(&mut self, values: &ArrayRef, positions: &Positions<'_>, groups: &[usize], keep: Option<&BooleanArray>) -> Result<()> {
        let values = cast(values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            let kept = keep.is_none_or(|keep| keep.is_valid(row) && keep.value(row));
            if let (true, true, Some(position)) = (kept, values.is_valid(row), positions.get(row)) {
                self.offer(*group, values.value(row), position);
            }
        }
        Ok(())
    }
}

impl GroupsAccumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.grow(total);
        self.offer_all(&values[0], &Positions::of(&values[1]), groups, filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let topic = emit_to.take_needed(&mut self.topic);
        let partition = emit_to.take_needed(&mut self.partition);
        let offset = emit_to.take_needed(&mut self.offset);
        emit_to.take_needed(&mut self.values);
        let mut out = PositionBuilder::default();
        for row in 0..topic.len() {
            let known = topic[row] != NO_TOPIC;
            out.push(known.then(|| (self.topics[topic[row] as usize].as_str(), partition[row], offset[row])));
        }
        Ok(Arc::new(out.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let topic = emit_to.take_needed(&mut self.topic);
        let valid = NullBuffer::from_iter(topic.iter().map(|topic| *topic != NO_TOPIC));
        let names = topic.iter().map(|topic| self.topics.get(*topic as usize).map(String::as_str));
        Ok(vec![
            Arc::new(Int64Array::new(emit_to.take_needed(&mut self.values).into(), Some(valid.clone()))),
            Arc::new(names.collect::<arrow::array::StringArray>()),
            Arc::new(Int32Array::new(emit_to.take_needed(&mut self.partition).into(), Some(valid.clone()))),
            Arc::new(Int64Array::new(emit_to.take_needed(&mut self.offset).into(), Some(valid))),
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let positions = Positions {
            nulls: None,
            topic: values[1].as_string(),
            partition: values[2].as_primitive::<Int32Type>(),
            offset: values[3].as_primitive::<Int64Type>(),
        };
        self.offer_all(&values[0], &positions, groups, None)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Best::new(self.extreme);
        let groups: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &groups, filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.values.capacity() * 24 + self.topics.iter().map(String::len).sum::<usize>()
    }
}

/// The same for a query without keys.
struct OneGroup(Best);

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneGroup")
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        self.0.state(EmitTo::All)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }
}
