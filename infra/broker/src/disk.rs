//! The disk as far as its space goes: a hook with which a test fills it and empties it again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Space that the broker may still write. Unlimited unless a test says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    left: Option<Arc<AtomicI64>>,
}

impl Disk {
    /// A disk with so many bytes left for segments.
    pub fn limited(bytes: i64) -> Self {
        Self { left: Some(Arc::new(AtomicI64::new(bytes))) }
    }

    /// Sets how many bytes are left from now on. Without effect on an unlimited disk.
    pub fn set_left(&self, bytes: i64) {
        if let Some(left) = &self.left {
            left.store(bytes, Ordering::SeqCst);
        }
    }

    /// Takes space, or answers as the operating system does when there is none.
    pub(crate) fn take(&self, bytes: usize) -> io::Result<()> {
        let Some(left) = &self.left else { return Ok(()) };
        let want = bytes as i64;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |have| (have >= want).then_some(have - want))
            .map(|_| ())
            .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
    }
}
