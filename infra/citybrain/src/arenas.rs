//! How glibc keeps free memory.
//!
//! It gives each thread a heap of its own, up to eight for each core, and what an epoch frees in one of them serves no other:
//! with all jobs on, seven of eight bytes of the process were free memory of that kind. One heap for each core is enough.

#![allow(unsafe_code)]

/// Bounds the number of heaps. To be called before there are threads.
pub fn bound() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // M_ARENA_MAX of malloc.h.
        const ARENA_MAX: std::ffi::c_int = -8;
        unsafe extern "C" {
            fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: it takes two numbers and changes a setting of the allocator, which no other thread uses yet.
        // An answer of 0 means that the allocator knows no such setting: nothing is lost then.
        let _ = unsafe { mallopt(ARENA_MAX, std::ffi::c_int::try_from(cores).unwrap_or(std::ffi::c_int::MAX)) };
    }
}
