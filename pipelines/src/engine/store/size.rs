//! How large rows are, whatever they are slices of.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayData, AsArray, RecordBatch, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{ArrowNativeType, DataType};

/// Bytes of the rows themselves.
pub(super) fn own_bytes(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| own_bytes_of(&column.to_data())).sum()
}

fn own_bytes_of(data: &ArrayData) -> usize {
    let nulls = data.nulls().map_or(0, |_| data.len().div_ceil(8));
    let children = || data.child_data().iter().map(own_bytes_of).sum::<usize>();
    match data.data_type() {
        DataType::List(_) | DataType::Map(_, _) => nulls + items_bytes::<i32>(data),
        DataType::LargeList(_) => nulls + items_bytes::<i64>(data),
        DataType::Struct(_) | DataType::FixedSizeList(_, _) => nulls + children(),
        DataType::Utf8View => nulls + 16 * data.len() + make_array(data.clone()).as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => nulls + 16 * data.len() + make_array(data.clone()).as_binary_view().total_buffer_bytes_used(),
        _ => data.get_slice_memory_size().unwrap_or_else(|_| data.get_buffer_memory_size()),
    }
}

/// Bytes of the offsets of lists and of the items between the first and the last of them.
fn items_bytes<O: ArrowNativeType>(data: &ArrayData) -> usize {
    let offsets = &data.buffers()[0].typed_data::<O>()[data.offset()..];
    let items = match offsets.get(..=data.len()) {
        Some(offsets) => (offsets[0].as_usize(), offsets[data.len()].as_usize()),
        // Lists of no rows may come without offsets.
        None => (0, 0),
    };
    (data.len() + 1) * size_of::<O>() + own_bytes_of(&data.child_data()[0].slice(items.0, items.1 - items.0))
}

/// Bytes that stay allocated for as long as the rows do.
pub(super) fn held_bytes(rows: &RecordBatch) -> usize {
    let mut held = BTreeMap::new();
    for column in rows.columns() {
        note_buffers(&column.to_data(), &mut held);
    }
    held.values().sum()
}

fn note_buffers(data: &ArrayData, held: &mut BTreeMap<usize, usize>) {
    let mut note = |buffer: &Buffer| held.insert(buffer.data_ptr().as_ptr() as usize, buffer.capacity());
    data.buffers().iter().for_each(|buffer| _ = note(buffer));
    data.nulls().into_iter().for_each(|nulls| _ = note(nulls.buffer()));
    data.child_data().iter().for_each(|child| note_buffers(child, held));
}
