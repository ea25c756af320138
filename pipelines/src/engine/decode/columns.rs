//! Columns in the making: cells of JSON go in, one for each row, Arrow arrays come out.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, Int64Builder, ListArray, NullBufferBuilder, StringBuilder,
    StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use super::scan::{Cell, Malformed, Scanner};
use super::time::{date, time_of_ms, time_us};
use super::is_json;

/// How many spellings of names are remembered.
const SEEN_MAX: usize = 64;
/// How long a remembered name can be, with what stands around it.
const BEFORE_BYTES_MAX: usize = 96;
/// What one text is thought to take.
const TEXT_BYTES: usize = 12;

/// The fields that are wanted of an object, and how names were written so far.
///
/// Objects of one stream nearly always have the same fields in the same order. So what stood before the next value in an
/// earlier object is compared first, and a name is looked up only when it was never seen.
#[derive(Debug)]
pub(super) struct Names {
    names: Vec<String>,
    seen: Vec<Seen>,
}

/// What stood before the value of one field: a comma, the name, a colon and the space among them.
#[derive(Debug)]
struct Seen {
    before: Box<[u8]>,
    /// Whether it stood before the first field, where there is no comma.
    first: bool,
    wanted: Option<usize>,
}

impl Seen {
    /// Steps over the name, if it is the next one.
    #[inline]
    fn taken(&self, scanner: &mut Scanner<'_>, first: bool) -> bool {
        self.first == first && scanner.take_all(&self.before)
    }
}

impl Names {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Names {
        Names { names: names.into_iter().collect(), seen: Vec::new() }
    }

    /// Reads an object into cells, one for each name; the last field of a name counts.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>, depth: usize, cells: &mut [Cell]) -> Result<(), Malformed> {
        scanner.open(depth)?;
        if scanner.take(b'}') {
            return Ok(());
        }
        let (mut next, mut first) = (0, true);
        loop {
            let wanted = match self.seen.get(next) {
                Some(seen) if seen.taken(scanner, first) => {
                    next += 1;
                    seen.wanted
                }
                _ if scanner.take(b'}') => return Ok(()),
                _ => self.name(scanner, first, &mut next)?,
            };
            scanner.space();
            match wanted {
                Some(index) => scanner.value(depth, &mut cells[index])?,
                None => scanner.skip(depth)?,
            }
            scanner.space();
            first = false;
        }
    }

    /// Reads a name that does not stand where it stood before; `next` is set to what is expected after it.
    #[cold]
    #[inline(never)]
    fn name(&mut self, scanner: &mut Scanner<'_>, first: bool, next: &mut usize) -> Result<Option<usize>, Malformed> {
        let from = (*next).min(self.seen.len());
        let order = (from..self.seen.len()).chain(0..from);
        if let Some(found) = { order }.find(|index| self.seen[*index].taken(scanner, first)) {
            *next = found + 1;
            return Ok(self.seen[found].wanted);
        }
        let start = scanner.at();
        if !first {
            scanner.expect(b',')?;
            scanner.space();
        }
        scanner.expect(b'"')?;
        let (mut name, mut scratch) = (Cell::NULL, String::new());
        scanner.string(&mut name)?;
        let wanted = name.string(scanner.text(), &mut scratch).and_then(|name| self.names.iter().position(|wanted| wanted == name));
        scanner.space();
        scanner.expect(b':')?;
        let before = scanner.since(start).as_bytes();
        if before.len() <= BEFORE_BYTES_MAX && self.seen.len() < SEEN_MAX {
            self.seen.push(Seen { before: before.into(), first, wanted });
        }
        *next = self.seen.len();
        Ok(wanted)
    }
}

/// A column in the making.
pub(super) enum Column {
    Text(StringBuilder, String),
    Json(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder, String),
    Date(Date32Builder, String),
    Struct(Structs),
    List(Box<Lists>),
}

/// A column of objects.
pub(super) struct Structs {
    fields: Fields,
    names: Names,
    columns: Vec<Column>,
    cells: Vec<Cell>,
    valid: NullBufferBuilder,
}

/// A column of arrays.
pub(super) struct Lists {
    item: FieldRef,
    items: Column,
    ends: Vec<i32>,
    count: i32,
    valid: NullBufferBuilder,
}

impl Column {
    pub(super) fn new(field: &Field, rows: usize) -> Column {
        let texts = || StringBuilder::with_capacity(rows, rows * TEXT_BYTES);
        match field.data_type() {
            DataType::Utf8 if is_json(field) => Column::Json(texts()),
            DataType::Utf8 => Column::Text(texts(), String::new()),
            DataType::Int32 => Column::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Column::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Column::Float(Float64Builder::with_capacity(rows)),
            DataType::Boolean => Column::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Timestamp(_, _) => Column::Time(TimestampMicrosecondBuilder::with_capacity(rows), String::new()),
            DataType::Date32 => Column::Date(Date32Builder::with_capacity(rows), String::new()),
            DataType::Struct(fields) => Column::Struct(Structs::new(fields, rows)),
            DataType::List(item) => Column::List(Box::new(Lists::new(item, rows))),
            other => unreachable!("tables declare no column of type {other}"),
        }
    }

    /// Appends a cell that was read from a text; one of another type is null.
    #[inline]
    pub(super) fn push(&mut self, cell: &Cell, text: &str) {
        match self {
            Column::Text(builder, scratch) => builder.append_option(cell.string(text, scratch)),
            Column::Json(builder) => builder.append_option(cell.json(text)),
            Column::Int32(builder) => builder.append_option(cell.integer(text).and_then(|value| i32::try_from(value).ok())),
            Column::Int64(builder) => builder.append_option(cell.integer(text)),
            Column::Float(builder) => builder.append_option(cell.float(text)),
            Column::Bool(builder) => builder.append_option(cell.boolean()),
            Column::Time(builder, scratch) => builder.append_option(match cell.integer(text) {
                Some(ms) => time_of_ms(ms),
                None => cell.string(text, scratch).and_then(time_us),
            }),
            Column::Date(builder, scratch) => builder.append_option(cell.string(text, scratch).and_then(date)),
            Column::Struct(structs) => structs.push(cell, text),
            Column::List(lists) => lists.push(cell, text),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Column::Text(mut builder, _) | Column::Json(mut builder) => Arc::new(builder.finish()),
            Column::Int32(mut builder) => Arc::new(builder.finish()),
            Column::Int64(mut builder) => Arc::new(builder.finish()),
            Column::Float(mut builder) => Arc::new(builder.finish()),
            Column::Bool(mut builder) => Arc::new(builder.finish()),
            Column::Time(mut builder, _) => Arc::new(builder.finish().with_timezone("UTC")),
            Column::Date(mut builder, _) => Arc::new(builder.finish()),
            Column::Struct(structs) => Arc::new(structs.finish()),
            Column::List(lists) => Arc::new(lists.finish()),
        }
    }
}

impl Structs {
    fn new(fields: &Fields, rows: usize) -> Structs {
        Structs {
            fields: fields.clone(),
            names: Names::new(fields.iter().map(|field| field.name().clone())),
            columns: fields.iter().map(|field| Column::new(field, rows)).collect(),
            cells: vec![Cell::NULL; fields.len()],
            valid: NullBufferBuilder::new(rows),
        }
    }

    fn push(&mut self, cell: &Cell, text: &str) {
        self.cells.fill(Cell::NULL);
        let object = cell.object(text);
        if let Some(object) = object {
            self.names.read(&mut Scanner::new(object), 1, &mut self.cells).expect("the object was read before, as a whole");
        }
        let text = object.unwrap_or_default();
        self.columns.iter_mut().zip(&self.cells).for_each(|(column, cell)| column.push(cell, text));
        self.valid.append(object.is_some());
    }

    fn finish(mut self) -> StructArray {
        let rows = self.valid.len();
        let columns = self.columns.into_iter().map(Column::finish).collect();
        StructArray::try_new_with_length(self.fields, columns, self.valid.finish(), rows).expect("columns are built from the fields, row by row")
    }
}

impl Lists {
    fn new(item: &FieldRef, rows: usize) -> Lists {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Lists { item: Arc::clone(item), items: Column::new(item, rows), ends, count: 0, valid: NullBufferBuilder::new(rows) }
    }

    fn push(&mut self, cell: &Cell, text: &str) {
        let array = cell.array(text);
        if let Some(text) = array {
            let each = |scanner: &mut Scanner<'_>| {
                let mut item = Cell::NULL;
                scanner.value(1, &mut item)?;
                self.items.push(&item, text);
                self.count = self.count.checked_add(1).expect("a batch has less than 2^31 bytes of text");
                Ok(())
            };
            Scanner::new(text).each_item(1, each).expect("the array was read before, as a whole");
        }
        self.ends.push(self.count);
        self.valid.append(array.is_some());
    }

    fn finish(mut self) -> ListArray {
        ListArray::new(self.item, OffsetBuffer::new(self.ends.into()), self.items.finish(), self.valid.finish())
    }
}
