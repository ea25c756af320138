//! A function with a value for each group, as DataFusion sees it.
//!
//! Arroyo hands such a function whole columns. So the state is the values of each group, exactly as they came; two states
//! are merged by putting one behind the other. Before the function is called, the rows of a group are sorted by all
//! arguments in their order, so that the result depends on the rows and not on the order in which they arrived.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array, UInt64Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortColumn, concat, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use crate::error::Failure;
use crate::frame;
use crate::manifest::Manifest;
use crate::scalar::coerce;
use crate::udfs::Shared;

pub(crate) struct Aggregate {
    shared: Arc<Shared>,
    manifest: Arc<Manifest>,
    identity: String,
    signature: Signature,
}

impl Aggregate {
    pub(crate) fn new(shared: Arc<Shared>, manifest: Manifest) -> Self {
        let identity = manifest.identity();
        Self { shared, manifest: Arc::new(manifest), identity, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Groups> {
        if args.is_distinct {
            return plan_err!("{} takes rows, not distinct ones: make them distinct in a query below it", self.manifest.name);
        }
        Ok(Groups { shared: self.shared.clone(), manifest: self.manifest.clone(), chunks: Vec::new(), counts: Vec::new() })
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        &self.manifest.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.manifest.returns.sql.arrow())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&self.manifest, given)?;
        Ok(self.manifest.arguments.iter().map(|it| it.sql.arrow()).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(self.groups(&args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |it: &crate::Argument| Arc::new(Field::new_list(format!("{}[{}]", args.name, it.name), item(&it.sql.arrow()), true));
        Ok(self.manifest.arguments.iter().map(field).collect())
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn item(data_type: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type.clone(), true))
}

/// The values of all groups, as they came.
struct Groups {
    shared: Arc<Shared>,
    manifest: Arc<Manifest>,
    chunks: Vec<Chunk>,
    /// How many values each group has.
    counts: Vec<usize>,
}

/// Rows, and which group each belongs to.
struct Chunk {
    groups: UInt32Array,
    columns: Vec<ArrayRef>,
}

impl Groups {
    fn empty(&self) -> Groups {
        Groups { shared: self.shared.clone(), manifest: self.manifest.clone(), chunks: Vec::new(), counts: Vec::new() }
    }

    fn add(&mut self, groups: Vec<u32>, columns: Vec<ArrayRef>, total: usize) -> Result<()> {
        let most = self.shared.pool.limits().group_values_max;
        self.counts.resize(self.counts.len().max(total), 0);
        for group in &groups {
            self.counts[*group as usize] += 1;
            if self.counts[*group as usize] > most {
                return exec_err!("{} holds more than {most} values of one group: make the window shorter or the groups smaller", self.manifest.name);
            }
        }
        if !groups.is_empty() {
            self.chunks.push(Chunk { groups: groups.into(), columns });
        }
        Ok(())
    }

    /// Takes groups out: for each argument a list for each group, its rows sorted by all arguments.
    fn take(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let counts = emit_to.take_needed(&mut self.counts);
        let joined = join(std::mem::take(&mut self.chunks), &self.manifest)?;
        let inside = |row: &u32| (joined.groups.value(*row as usize) as usize) < counts.len();
        let (taken, left): (Vec<u32>, Vec<u32>) = (0..joined.groups.len() as u32).partition(inside);
        if !left.is_empty() {
            let rows = joined.rows(&left.into())?;
            let groups: UInt32Array = rows.groups.unary(|group| group - counts.len() as u32);
            self.chunks.push(Chunk { groups, columns: rows.columns });
        }
        let taken = joined.rows(&taken.into())?.sorted()?;
        let offsets = OffsetBuffer::<i32>::from_lengths(counts);
        let list = |column: ArrayRef| ListArray::try_new(item(column.data_type()), offsets.clone(), column, None);
        taken.columns.into_iter().map(|column| Ok(Arc::new(list(column)?) as ArrayRef)).collect()
    }

    /// Asks the function for the value of each group that has rows.
    fn call(&self, lists: Vec<ArrayRef>) -> Result<ArrayRef> {
        let first = lists[0].as_list::<i32>();
        let filled: Vec<u32> = (0..first.len()).filter(|group| first.value_length(*group) > 0).map(|group| group as u32).collect();
        if filled.is_empty() {
            return Ok(new_null_array(&self.manifest.returns.sql.arrow(), first.len()));
        }
        let mut places = vec![None; first.len()];
        for (place, group) in filled.iter().enumerate() {
            places[*group as usize] = Some(place as u64);
        }
        let filled = UInt32Array::from(filled);
        let lists = lists.iter().map(|list| take(list, &filled, None)).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        let called = self.shared.pool.call(&self.manifest, &frame::batch(lists)?);
        let called = called.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let failure = |(_, reason)| Failure { function: self.manifest.name.clone(), row: None, reason };
        self.shared.keep(called.failed.into_iter().map(failure));
        Ok(take(&called.values, &UInt64Array::from(places), None)?)
    }

    /// Arroyo takes NULLs out of each column by itself, which would put one row's values beside another's: here the row goes.
    fn kept(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Vec<u32> {
        let needed: Vec<&ArrayRef> = self.manifest.arguments.iter().zip(values).filter(|(it, _)| !it.nullable).map(|(_, column)| column).collect();
        let wanted = |row: usize| filter.is_none_or(|it| it.is_valid(row) && it.value(row)) && needed.iter().all(|it| it.is_valid(row));
        (0..values[0].len()).filter(|row| wanted(*row)).map(|row| row as u32).collect()
    }
}

/// All chunks as one.
fn join(chunks: Vec<Chunk>, manifest: &Manifest) -> Result<Chunk> {
    if chunks.is_empty() {
        let columns = manifest.arguments.iter().map(|it| arrow::array::new_empty_array(&it.sql.arrow())).collect();
        return Ok(Chunk { groups: UInt32Array::from(Vec::<u32>::new()), columns });
    }
    let groups = chunks.iter().flat_map(|chunk| chunk.groups.values().iter().copied()).collect::<Vec<u32>>().into();
    let column = |index: usize| concat(&chunks.iter().map(|chunk| chunk.columns[index].as_ref()).collect::<Vec<_>>());
    let columns = (0..manifest.arguments.len()).map(column).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    Ok(Chunk { groups, columns })
}

impl Chunk {
    fn rows(&self, rows: &UInt32Array) -> Result<Chunk> {
        let groups = take(&self.groups, rows, None)?.as_primitive::<arrow::datatypes::UInt32Type>().clone();
        let columns = self.columns.iter().map(|column| take(column, rows, None)).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        Ok(Chunk { groups, columns })
    }

    /// By group, then by each argument.
    fn sorted(&self) -> Result<Chunk> {
        let groups: ArrayRef = Arc::new(self.groups.clone());
        let by = |values: &ArrayRef| SortColumn { values: values.clone(), options: None };
        let columns: Vec<SortColumn> = std::iter::once(&groups).chain(&self.columns).map(by).collect();
        self.rows(&lexsort_to_indices(&columns, None)?)
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let kept = self.kept(values, filter);
        let groups: Vec<u32> = kept.iter().map(|row| groups[*row as usize] as u32).collect();
        let all = kept.len() == values[0].len();
        let kept = UInt32Array::from(kept);
        let column = |values: &ArrayRef| if all { Ok(values.clone()) } else { take(values, &kept, None) };
        let columns = values.iter().map(column).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        self.add(groups, columns, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let lists = self.take(emit_to)?;
        self.call(lists)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.take(emit_to)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let lists: Vec<&ListArray> = states.iter().map(|state| state.as_list::<i32>()).collect();
        let (mut rows_groups, mut columns) = (Vec::new(), vec![Vec::new(); lists.len()]);
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| lists.iter().all(|list| list.is_valid(*row))) {
            let length = lists[0].value(row).len();
            rows_groups.extend(std::iter::repeat_n(*group as u32, length));
            for (column, list) in columns.iter_mut().zip(&lists) {
                let values = list.value(row);
                if values.len() != length {
                    return exec_err!("the state of {} has columns of different lengths", self.manifest.name);
                }
                column.push(values);
            }
        }
        if rows_groups.is_empty() {
            return self.add(Vec::new(), Vec::new(), total);
        }
        let joined = |pieces: &Vec<ArrayRef>| concat(&pieces.iter().map(|it| it.as_ref()).collect::<Vec<_>>());
        let columns = columns.iter().map(joined).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        self.add(rows_groups, columns, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = self.empty();
        each.update_batch(values, &(0..rows).collect::<Vec<usize>>(), filter, rows)?;
        each.take(EmitTo::All)
    }

    fn size(&self) -> usize {
        let chunk = |chunk: &Chunk| chunk.groups.get_array_memory_size() + chunk.columns.iter().map(|it| it.get_array_memory_size()).sum::<usize>();
        self.counts.capacity() * size_of::<usize>() + self.chunks.iter().map(chunk).sum::<usize>()
    }
}

/// The same for a query without keys.
struct OneGroup(Groups);

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.counts.resize(1, 0);
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.counts.resize(1, 0);
        self.0.state(EmitTo::All)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }
}

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OneGroup({})", self.0.manifest.name)
    }
}

impl std::fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aggregate({})", self.manifest.name)
    }
}

impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Aggregate {}

impl Hash for Aggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}
