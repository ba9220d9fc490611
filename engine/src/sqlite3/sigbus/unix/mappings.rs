//! Where in memory SQLite has mapped files. SQLite lets the functions be replaced with which it calls the system
//! (<https://sqlite.org/c3ref/vfs.html>, `xSetSystemCall`): these do the same, and remember the addresses in a table that a
//! signal's handler can read.

use std::{
    ffi::{CStr, c_int, c_void},
    mem::transmute,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use nix::libc;
use rusqlite::ffi;

/// Mappings that are remembered at once: one a connection for short reads, one a sort, and one for 16 MiB of a write-ahead log.
const REMEMBERED: usize = 1_024;

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapped {
    /// A database file, or a temporary one; for reading only.
    File,
    /// A `-shm`, the index of a write-ahead log.
    SharedMemory,
}

/// Addresses, from the first to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A place in the table; free while its start is 0.
struct Place {
    start: AtomicUsize,
    end: AtomicUsize,
    is_shared_memory: AtomicBool,
}

static TABLE: [Place; REMEMBERED] = [const {
    Place { start: AtomicUsize::new(0), end: AtomicUsize::new(0), is_shared_memory: AtomicBool::new(false) }
}; REMEMBERED];

/// Held while the table is changed. Those who only look need no lock.
static CHANGE: Mutex<()> = Mutex::new(());

/// The size of a page, for the handler: 0 before the first mapping.
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

impl Range {
    fn new(start: *mut c_void, length: usize) -> Self {
        let start = start.expose_provenance();
        Self { start, end: start.saturating_add(length) }
    }

    /// The part that begins with the page of an address.
    pub(super) fn rest_from_page_of(self, address: usize) -> Self {
        let page = PAGE_BYTES.load(Ordering::Relaxed).max(1);
        Self { start: (address - address % page).max(self.start), end: self.end }
    }
}

/// What is mapped at an address, and from where to where. A handler may call this.
pub(super) fn find(address: usize) -> Option<(Mapped, Range)> {
    TABLE.iter().find_map(|place| {
        let range = Range { start: place.start.load(Ordering::Acquire), end: place.end.load(Ordering::Relaxed) };
        let mapped = if place.is_shared_memory.load(Ordering::Relaxed) { Mapped::SharedMemory } else { Mapped::File };
        (range.start != 0 && (range.start..range.end).contains(&address)).then_some((mapped, range))
    })
}

/// Lets SQLite map files by the functions of this module.
pub(super) fn watch(vfs: *mut ffi::sqlite3_vfs) {
    PAGE_BYTES.store(rustix::param::page_size(), Ordering::Relaxed);
    // SAFETY: the VFS is a registered one, and each function has the type of the one that it replaces, as SQLite's source has
    // it (os_unix.c, aSyscall); that only their pointers' types differ is what sqlite3_syscall_ptr is for.
    unsafe {
        let Some(set) = (*vfs).xSetSystemCall else { return };
        let replace = |name: &CStr, function| set(vfs, name.as_ptr(), Some(function));
        replace(c"mmap", transmute::<Mmap, unsafe extern "C" fn()>(mmap));
        replace(c"munmap", transmute::<Munmap, unsafe extern "C" fn()>(munmap));
        #[cfg(target_os = "linux")]
        replace(c"mremap", transmute::<Mremap, unsafe extern "C" fn()>(mremap));
    }
}

// SQLite's off_t has 64 bits wherever it maps files.
type Mmap = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;
type Munmap = unsafe extern "C" fn(*mut c_void, usize) -> c_int;
#[cfg(target_os = "linux")]
type Mremap = unsafe extern "C" fn(*mut c_void, usize, usize, c_int) -> *mut c_void;

unsafe extern "C" fn mmap(
    hint: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    #[allow(irrefutable_let_patterns, reason = "off_t has 32 bits on some systems of 32 bits")]
    let Ok(offset) = libc::off_t::try_from(offset) else { return libc::MAP_FAILED };
    // SAFETY: the arguments are those that SQLite would call the system with.
    let address = unsafe { libc::mmap(hint, length, protection, flags, file, offset) };
    if address != libc::MAP_FAILED {
        let mapped = if protection & libc::PROT_WRITE == 0 { Mapped::File } else { Mapped::SharedMemory };
        remember(mapped, Range::new(address, length));
    }
    address
}

unsafe extern "C" fn munmap(address: *mut c_void, length: usize) -> c_int {
    // First: another thread may get the same addresses as soon as they are free.
    forget(Range::new(address, length));
    // SAFETY: the arguments are those that SQLite would call the system with.
    unsafe { libc::munmap(address, length) }
}

/// Only ever a database file's: a `-shm` is mapped in parts, each of which stays where it is.
#[cfg(target_os = "linux")]
unsafe extern "C" fn mremap(address: *mut c_void, old: usize, new: usize, flags: c_int) -> *mut c_void {
    forget(Range::new(address, old));
    // SAFETY: the arguments are those that SQLite would call the system with.
    let moved = unsafe { libc::mremap(address, old, new, flags) };
    if moved == libc::MAP_FAILED {
        remember(Mapped::File, Range::new(address, old));
    } else {
        remember(Mapped::File, Range::new(moved, new));
    }
    moved
}

/// One that finds no place is not treated: an access to what it lacks ends the daemon, as it would without all this.
fn remember(mapped: Mapped, range: Range) {
    let _change = CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = TABLE.iter().find(|place| place.start.load(Ordering::Relaxed) == 0) {
        place.end.store(range.end, Ordering::Relaxed);
        place.is_shared_memory.store(mapped == Mapped::SharedMemory, Ordering::Relaxed);
        place.start.store(range.start, Ordering::Release);
    }
}

/// Forgets all that is mapped in a range. SQLite gives up whole mappings, or their ends.
fn forget(range: Range) {
    let _change = CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
    for place in &TABLE {
        let (start, end) = (place.start.load(Ordering::Relaxed), place.end.load(Ordering::Relaxed));
        if start == 0 || end <= range.start || range.end <= start {
            continue;
        }
        if start < range.start {
            place.end.store(range.start, Ordering::Relaxed);
        } else {
            place.start.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_is_found_until_it_is_given_up() {
        // Addresses that no mapping of another test can have: nothing is mapped in the first pages of memory.
        let [begin, middle, end] = [8, 12, 16];
        remember(Mapped::File, Range { start: begin, end });
        remember(Mapped::SharedMemory, Range { start: end, end: end + 4 });
        assert_eq!(find(begin), Some((Mapped::File, Range { start: begin, end })));
        assert_eq!(find(end - 1), Some((Mapped::File, Range { start: begin, end })));
        assert_eq!(find(end), Some((Mapped::SharedMemory, Range { start: end, end: end + 4 })));
        assert_eq!(find(begin - 1), None);
        forget(Range { start: middle, end });
        assert_eq!(find(middle), None);
        assert_eq!(find(begin), Some((Mapped::File, Range { start: begin, end: middle })));
        forget(Range { start: begin, end: middle });
        assert_eq!(find(begin), None);
        forget(Range { start: end, end: end + 4 });
        assert_eq!(find(end), None);
    }
}
