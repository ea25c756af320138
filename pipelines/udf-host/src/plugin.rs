//! A shared object on `arroyo-udf-plugin`, mapped and called. The only module with `unsafe` code; it runs in workers only.
//!
//! The structures are those of `arroyo-udf-common` 0.2, all `repr(C)`; arrays cross as the Arrow C data interface. The
//! plugin frees the buffer of the arguments with its allocator, which in a shared object is the system's.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::path::Path;

use arrow::array::{Array, ArrayRef, make_array};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use async_ffi::FfiFuture;
use libloading::Library;

#[repr(C)]
struct FfiArraySchema(FFI_ArrowArray, FFI_ArrowSchema);

#[repr(C)]
struct FfiArrays {
    ptr: *mut FfiArraySchema,
    len: usize,
    capacity: usize,
    error: bool,
}

#[repr(C)]
#[expect(dead_code, reason = "made by the plugin")]
enum RunResult {
    Ok(FfiArraySchema),
    Err,
}

#[repr(C)]
#[expect(dead_code, reason = "made by the plugin")]
enum DrainResult {
    Data(FfiArrays),
    None,
    Error,
}

/// A plugin's runtime for async calls.
#[repr(C)]
#[derive(Clone, Copy)]
struct Handle {
    ptr: *mut c_void,
}

type Run = extern "C-unwind" fn(FfiArrays) -> RunResult;
type Start = extern "C-unwind" fn(bool, u64, u32) -> Handle;
type SendCall = extern "C-unwind" fn(Handle, u64, FfiArrays) -> FfiFuture<bool>;
type Drain = extern "C-unwind" fn(Handle) -> DrainResult;

/// A function that answers at once: scalar or aggregate.
pub(crate) struct SyncPlugin {
    run: Run,
}

/// A function that is waited for.
pub(crate) struct AsyncPlugin {
    start: Start,
    send: SendCall,
    drain: Drain,
}

/// A runtime of an async function. It is never stopped: a call that hangs in it would not let it end; the process does.
pub(crate) struct Runtime<'a> {
    plugin: &'a AsyncPlugin,
    handle: Handle,
}

/// What an async function has finished.
pub(crate) enum Drained {
    /// Numbers of calls and their values.
    Some(ArrayRef, ArrayRef),
    Nothing,
    /// Nothing will come any more.
    Broken,
}

impl SyncPlugin {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let library = map(path)?;
        // SAFETY: `__run` of arroyo-udf-plugin 0.2 has this type.
        let run = unsafe { symbol::<Run>(library, path, "__run")? };
        Ok(Self { run })
    }

    /// The function's values; `None` where it panicked.
    pub(crate) fn run(&self, arguments: &[ArrayRef]) -> Result<Option<ArrayRef>, String> {
        match (self.run)(FfiArrays::new(arguments)?) {
            RunResult::Ok(result) => import(result).map(Some),
            RunResult::Err => Ok(None),
        }
    }
}

impl AsyncPlugin {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let library = map(path)?;
        // SAFETY: these symbols of arroyo-udf-plugin 0.2 have these types.
        unsafe {
            Ok(Self {
                start: symbol::<Start>(library, path, "__start")?,
                send: symbol::<SendCall>(library, path, "__send")?,
                drain: symbol::<Drain>(library, path, "__drain_results")?,
            })
        }
    }

    /// Starts a thread of the plugin. `timeout_us` is the plugin's own: when it is over, the plugin breaks off everything.
    pub(crate) fn start(&self, timeout_us: u64, in_flight: u32) -> Runtime<'_> {
        Runtime { plugin: self, handle: (self.start)(false, timeout_us, in_flight) }
    }
}

impl Runtime<'_> {
    /// Hands over the arguments of one call. The future says whether the runtime took them.
    pub(crate) fn send(&self, number: u64, arguments: &[ArrayRef]) -> Result<FfiFuture<bool>, String> {
        Ok((self.plugin.send)(self.handle, number, FfiArrays::new(arguments)?))
    }

    pub(crate) fn drain(&self) -> Result<Drained, String> {
        match (self.plugin.drain)(self.handle) {
            DrainResult::None => Ok(Drained::Nothing),
            DrainResult::Error => Ok(Drained::Broken),
            DrainResult::Data(arrays) => match &arrays.take()?[..] {
                [numbers, values] => Ok(Drained::Some(numbers.clone(), values.clone())),
                other => Err(format!("it gave {} arrays instead of two", other.len())),
            },
        }
    }
}

impl FfiArrays {
    /// Moves arrays into a buffer that the plugin will free.
    fn new(arrays: &[ArrayRef]) -> Result<Self, String> {
        assert!(!arrays.is_empty(), "a function has an argument");
        let exported = arrays.iter().map(|array| to_ffi(&array.to_data())).collect::<Result<Vec<_>, _>>();
        let exported = exported.map_err(|error| error.to_string())?;
        let layout = Layout::array::<FfiArraySchema>(arrays.len()).expect("a few arguments fit into memory");
        // SAFETY: the layout is not empty, since there is an argument.
        let ptr = unsafe { System.alloc(layout) }.cast::<FfiArraySchema>();
        assert!(!ptr.is_null(), "there is memory for a few arguments");
        for (index, (array, schema)) in exported.into_iter().enumerate() {
            // SAFETY: `index` lies inside the buffer, which is aligned and ours, and not yet initialised.
            unsafe { ptr.add(index).write(FfiArraySchema(array, schema)) };
        }
        Ok(Self { ptr, len: arrays.len(), capacity: arrays.len(), error: false })
    }

    /// Takes arrays out of a plugin's buffer and frees it.
    fn take(self) -> Result<Vec<ArrayRef>, String> {
        let mut arrays = Vec::with_capacity(self.len);
        for index in 0..self.len {
            // SAFETY: the plugin made the buffer from a Vec of `len` elements and gave it to us; each is moved out once.
            arrays.push(import(unsafe { self.ptr.add(index).read() }));
        }
        let layout = Layout::array::<FfiArraySchema>(self.capacity).map_err(|error| error.to_string())?;
        if layout.size() > 0 {
            // SAFETY: a Vec of this capacity, allocated by the plugin with the system's allocator, its elements moved out.
            unsafe { System.dealloc(self.ptr.cast(), layout) };
        }
        arrays.into_iter().collect()
    }
}

/// An array that a plugin gave us, checked: the plugin's memory is freed with it, so the plugin stays mapped for ever.
fn import(FfiArraySchema(array, schema): FfiArraySchema) -> Result<ArrayRef, String> {
    // SAFETY: a plugin exports its arrays by the Arrow C data interface and moves them to us.
    let data = unsafe { from_ffi(array, &schema) }.map_err(|error| error.to_string())?;
    data.validate_full().map_err(|error| error.to_string())?;
    Ok(make_array(data))
}

/// Maps a shared object and never unmaps it: its threads and its arrays may live as long as the process.
fn map(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: its constructors run now; that is what workers are for.
    let library = unsafe { Library::new(path) };
    let library = library.map_err(|error| format!("{} is no shared object for this machine: {error}; build it with udfs/build.sh", path.display()))?;
    Ok(Box::leak(Box::new(library)))
}

/// # Safety
/// The symbol must be a function of type `F`.
unsafe fn symbol<F: Copy>(library: &'static Library, path: &Path, name: &str) -> Result<F, String> {
    // SAFETY: the caller knows the type; the library stays mapped.
    let found = unsafe { library.get::<F>(name.as_bytes()) };
    let missing = |_| format!("{} has no symbol {name}: mark its function #[udf] (arroyo-udf-plugin 0.2) and say the right kind", path.display());
    found.map(|it| *it).map_err(missing)
}
