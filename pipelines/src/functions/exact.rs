//! Aggregates of floats that have no order: `sum`, `avg`, `var_samp`, `var_pop`, `stddev_samp`, `stddev_pop`.
//!
//! The result is the same bit for bit however the rows are cut into batches, epochs and lanes, since what is kept are exact
//! sums ([`total`]) that are rounded when they are read:
//!
//! - `sum` is the float nearest to the true sum, ties to even.
//! - `avg` is that sum divided by the number of values as a float. It is infinite when the sum is, as in IEEE arithmetic.
//! - `var_samp` and `var_pop` are the floats nearest to the true variance, and `stddev_samp` and `stddev_pop` the square roots
//!   of these. Nothing is lost by cancellation, and none is below zero.
//!
//! Infinities and NaN count as in IEEE arithmetic: `+inf` and `-inf` make NaN, in either order. A sum is -0.0 only when every
//! value was.
//!
//! Each takes the name of DataFusion's own and hands everything but floats to it. Its sums of integers wrap around at 64
//! bits, which has no order either.

mod spread;
mod total;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Float64Array, Int64Array, ListArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, exec_datafusion_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::stddev::{Stddev, StddevPop};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::functions_aggregate::variance::{VariancePopulation, VarianceSample};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};

use spread::variance;
use total::{Squares, Total};

/// The aggregates, each under the names that DataFusion has for it: register them over its own.
pub(crate) fn exact_aggregates() -> Vec<AggregateUDF> {
    vec![
        exact(Statistic::Sum, Sum::new()),
        exact(Statistic::Avg, Avg::new()),
        exact(Statistic::Variance { sample: true }, VarianceSample::new()),
        exact(Statistic::Variance { sample: false }, VariancePopulation::new()),
        exact(Statistic::Deviation { sample: true }, Stddev::new()),
        exact(Statistic::Deviation { sample: false }, StddevPop::new()),
    ]
}

fn exact<I: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash>(statistic: Statistic, own: I) -> AggregateUDF {
    AggregateUDF::new_from_impl(Exact { statistic, own })
}

/// What is told of the values of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Statistic {
    Sum,
    Avg,
    Variance { sample: bool },
    Deviation { sample: bool },
}

/// An aggregate that is exact over floats, and DataFusion's own over everything else.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact<I> {
    statistic: Statistic,
    own: I,
}

impl<I: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash> AggregateUDFImpl for Exact<I> {
    fn name(&self) -> &str {
        self.own.name()
    }

    fn aliases(&self) -> &[String] {
        self.own.aliases()
    }

    fn signature(&self) -> &Signature {
        self.own.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.own.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_float(args.return_type()) {
            return self.own.accumulator(args);
        }
        if args.is_distinct {
            return Ok(Box::new(Distinct { statistic: self.statistic, values: BTreeSet::new() }));
        }
        Ok(match self.statistic {
            Statistic::Sum => Box::new(OneGroup(Groups::<Total>::new(self.statistic))),
            Statistic::Avg => Box::new(OneGroup(Groups::<Counted>::new(self.statistic))),
            Statistic::Variance { .. } | Statistic::Deviation { .. } => Box::new(OneGroup(Groups::<Squared>::new(self.statistic))),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_float(args.return_type()) {
            return self.own.state_fields(args);
        }
        let field = |what: &str, data_type| Arc::new(Field::new(format_state_name(args.name, what), data_type, true));
        let sum = || field("exact sum", DataType::Binary);
        let count = || field("count", DataType::Int64);
        Ok(match self.statistic {
            _ if args.is_distinct => vec![field("distinct", DataType::List(list_item()))],
            Statistic::Sum => vec![sum()],
            Statistic::Avg => vec![sum(), count()],
            Statistic::Variance { .. } | Statistic::Deviation { .. } => {
                vec![sum(), count(), field("exact sum of squares", DataType::Binary)]
            }
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        if is_float(args.return_type()) { !args.is_distinct } else { self.own.groups_accumulator_supported(args) }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_float(args.return_type()) {
            return self.own.create_groups_accumulator(args);
        }
        Ok(match self.statistic {
            Statistic::Sum => Box::new(Groups::<Total>::new(self.statistic)),
            Statistic::Avg => Box::new(Groups::<Counted>::new(self.statistic)),
            Statistic::Variance { .. } | Statistic::Deviation { .. } => Box::new(Groups::<Squared>::new(self.statistic)),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // Floats cannot be taken back out, since an infinity would have to be forgotten.
        if is_float(args.return_type()) { self.accumulator(args) } else { self.own.create_sliding_accumulator(args) }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.own.set_monotonicity(data_type)
    }
}

fn is_float(data_type: &DataType) -> bool {
    *data_type == DataType::Float64
}

fn list_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

/// What is kept of the values of one group.
trait Tally: Default + Send + 'static {
    fn add(&mut self, value: f64);

    /// The statistic; nothing when there are too few values.
    fn evaluate(&self, statistic: Statistic) -> Option<f64>;

    fn states(tallies: &[Self]) -> Vec<ArrayRef>;

    /// Adds the state in one row of the columns that `states` makes.
    fn merge(&mut self, states: &States<'_>, row: usize) -> std::result::Result<(), String>;

    fn heap_bytes(&self) -> usize;
}

/// The columns of states, as far as there are some.
struct States<'a> {
    sums: &'a BinaryArray,
    counts: Option<&'a Int64Array>,
    squares: Option<&'a BinaryArray>,
}

impl States<'_> {
    fn of(columns: &[ArrayRef]) -> States<'_> {
        States {
            sums: columns[0].as_binary(),
            counts: columns.get(1).map(|column| column.as_primitive::<Int64Type>()),
            squares: columns.get(2).map(|column| column.as_binary()),
        }
    }

    fn sum(&self, row: usize) -> &[u8] {
        bytes(self.sums, row)
    }

    fn squares(&self, row: usize) -> &[u8] {
        self.squares.map_or(&[], |squares| bytes(squares, row))
    }

    fn count(&self, row: usize) -> std::result::Result<u64, String> {
        let count = self.counts.filter(|counts| counts.is_valid(row)).map_or(0, |counts| counts.value(row));
        u64::try_from(count).map_err(|_| format!("the state of an exact average counts {count} values"))
    }
}

fn bytes(column: &BinaryArray, row: usize) -> &[u8] {
    if column.is_valid(row) { column.value(row) } else { &[] }
}

impl Tally for Total {
    #[inline]
    fn add(&mut self, value: f64) {
        Total::add(self, value);
    }

    fn evaluate(&self, _statistic: Statistic) -> Option<f64> {
        (!self.is_empty()).then(|| self.rounded())
    }

    fn states(tallies: &[Total]) -> Vec<ArrayRef> {
        vec![written(tallies, Total::write)]
    }

    fn merge(&mut self, states: &States<'_>, row: usize) -> std::result::Result<(), String> {
        Total::merge(self, states.sum(row))
    }

    fn heap_bytes(&self) -> usize {
        Total::heap_bytes(self)
    }
}

#[derive(Default)]
struct Counted {
    sum: Total,
    count: u64,
}

impl Tally for Counted {
    #[inline]
    fn add(&mut self, value: f64) {
        self.sum.add(value);
        self.count += 1;
    }

    fn evaluate(&self, _statistic: Statistic) -> Option<f64> {
        (self.count > 0).then(|| self.sum.rounded() / self.count as f64)
    }

    fn states(tallies: &[Counted]) -> Vec<ArrayRef> {
        vec![written(tallies, |tally, out| tally.sum.write(out)), counts(tallies.iter().map(|tally| tally.count))]
    }

    fn merge(&mut self, states: &States<'_>, row: usize) -> std::result::Result<(), String> {
        self.count = self.count.saturating_add(states.count(row)?);
        self.sum.merge(states.sum(row))
    }

    fn heap_bytes(&self) -> usize {
        self.sum.heap_bytes()
    }
}

#[derive(Default)]
struct Squared {
    counted: Counted,
    squares: Squares,
}

impl Tally for Squared {
    #[inline]
    fn add(&mut self, value: f64) {
        self.counted.add(value);
        self.squares.add(value);
    }

    fn evaluate(&self, statistic: Statistic) -> Option<f64> {
        let of = |sample| variance(self.counted.count, &self.counted.sum, &self.squares, sample);
        match statistic {
            Statistic::Sum | Statistic::Avg => self.counted.evaluate(statistic),
            Statistic::Variance { sample } => of(sample),
            Statistic::Deviation { sample } => of(sample).map(f64::sqrt),
        }
    }

    fn states(tallies: &[Squared]) -> Vec<ArrayRef> {
        vec![
            written(tallies, |tally, out| tally.counted.sum.write(out)),
            counts(tallies.iter().map(|tally| tally.counted.count)),
            written(tallies, |tally, out| tally.squares.write(out)),
        ]
    }

    fn merge(&mut self, states: &States<'_>, row: usize) -> std::result::Result<(), String> {
        self.counted.merge(states, row)?;
        self.squares.merge(states.squares(row))
    }

    fn heap_bytes(&self) -> usize {
        self.counted.heap_bytes() + self.squares.heap_bytes()
    }
}

fn written<T>(tallies: &[T], write: impl Fn(&T, &mut Vec<u8>)) -> ArrayRef {
    let mut column = BinaryBuilder::with_capacity(tallies.len(), tallies.len() * 12);
    let mut state = Vec::new();
    for tally in tallies {
        state.clear();
        write(tally, &mut state);
        column.append_value(&state);
    }
    Arc::new(column.finish())
}

fn counts(counts: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX)).collect::<Int64Array>())
}

/// The tallies of all groups.
struct Groups<T> {
    statistic: Statistic,
    tallies: Vec<T>,
}

impl<T: Tally> Groups<T> {
    fn new(statistic: Statistic) -> Groups<T> {
        Groups { statistic, tallies: Vec::new() }
    }

    fn grow(&mut self, groups: usize) {
        self.tallies.resize_with(groups.max(self.tallies.len()), T::default);
    }
}

impl<T: Tally> GroupsAccumulator for Groups<T> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.grow(total);
        let tallies = self.tallies.as_mut_slice();
        for_each(values[0].as_primitive::<Float64Type>(), filter, |row, value| tallies[groups[row]].add(value));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.tallies);
        Ok(Arc::new(taken.iter().map(|tally| tally.evaluate(self.statistic)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(T::states(&emit_to.take_needed(&mut self.tallies)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let states = States::of(values);
        for (row, group) in groups.iter().enumerate() {
            self.tallies[*group].merge(&states, row).map_err(|told| exec_datafusion_err!("{told}"))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each: Vec<T> = Vec::new();
        each.resize_with(values[0].len(), T::default);
        for_each(values[0].as_primitive::<Float64Type>(), filter, |row, value| each[row].add(value));
        Ok(T::states(&each))
    }

    fn size(&self) -> usize {
        self.tallies.capacity() * size_of::<T>() + self.tallies.iter().map(T::heap_bytes).sum::<usize>()
    }
}

/// Every value that is there and that the filter lets through, with its row.
#[inline]
fn for_each(values: &Float64Array, filter: Option<&BooleanArray>, mut take: impl FnMut(usize, f64)) {
    let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().clone());
    let kept = filter.map(|filter| filter.nulls().map_or_else(|| filter.values().clone(), |nulls| filter.values() & nulls.inner()));
    let rows = match (nulls, kept) {
        (None, None) => return values.values().iter().enumerate().for_each(|(row, value)| take(row, *value)),
        (Some(rows), None) | (None, Some(rows)) => rows,
        (Some(nulls), Some(kept)) => &nulls & &kept,
    };
    rows.set_indices().for_each(|row| take(row, values.value(row)));
}

/// The same for a query without keys.
struct OneGroup<T>(Groups<T>);

impl<T> fmt::Debug for OneGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneGroup({:?})", self.0.statistic)
    }
}

impl<T: Tally + Sync> Accumulator for OneGroup<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.grow(1);
        let tally = &mut self.0.tallies[0];
        for_each(values[0].as_primitive::<Float64Type>(), None, |_, value| tally.add(value));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        Ok(ScalarValue::Float64(self.0.tallies[0].evaluate(self.0.statistic)))
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        T::states(&self.0.tallies[..1]).iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }
}

/// The distinct values of a group, in the order of their bits; 0.0 and -0.0 are one value, and so are all NaNs.
#[derive(Debug)]
struct Distinct {
    statistic: Statistic,
    values: BTreeSet<u64>,
}

impl Distinct {
    fn insert(&mut self, values: &ArrayRef) {
        let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
        for_each(values.as_primitive::<Float64Type>(), None, |_, value| {
            self.values.insert(bits(value));
        });
    }

    fn each(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().map(|bits| f64::from_bits(*bits))
    }

    fn evaluated<T: Tally>(&self) -> Option<f64> {
        let mut tally = T::default();
        self.each().for_each(|value| tally.add(value));
        tally.evaluate(self.statistic)
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.insert(&values[0]);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(match self.statistic {
            Statistic::Sum => self.evaluated::<Total>(),
            Statistic::Avg => self.evaluated::<Counted>(),
            Statistic::Variance { .. } | Statistic::Deviation { .. } => self.evaluated::<Squared>(),
        }))
    }

    fn size(&self) -> usize {
        size_of::<Distinct>() + self.values.len() * 2 * size_of::<u64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: ArrayRef = Arc::new(self.each().collect::<Float64Array>());
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::new(list_item(), offsets, values, None)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().for_each(|values| self.insert(&values));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
