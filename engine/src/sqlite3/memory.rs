//! SQLite's memory: an allocator that counts what a statement takes and, once that is too much or the statement must end,
//! refuses. SQLite then gives the statement up (SQLITE_NOMEM), whatever it is doing: it asks for memory where it asks for
//! nothing else, above all while it compiles, where neither the progress handler nor `sqlite3_interrupt` is looked at.
//!
//! Only a client's statement is ever refused, while its [`Allowance`] is on. The daemon's own are not: ROLLBACK must work.

#![cfg_attr(windows, allow(clippy::missing_const_for_thread_local, reason = "they are const; it is mistaken"))]

use std::time::{Duration, Instant};
use std::{
    alloc::{Layout, alloc, dealloc, realloc},
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    ptr::null_mut,
    sync::{
        OnceLock,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
};

use rusqlite::ffi;

use super::super::cancel::Watch;

/// Before each block lies its size. Sixteen bytes, so that blocks are aligned as `malloc` aligns them.
const HEADER_BYTES: usize = 16;

/// Allocations between two looks at the statement's watch: some µs.
const ALLOCATIONS_BETWEEN_LOOKS: u32 = 64;

/// Reads between two looks: from a disk, some milliseconds.
const READS_BETWEEN_LOOKS: u32 = 16;

/// A statement ends more gently by other means, which have this long. A read transaction outlives them, but no failed read.
pub(super) const GENTLE_TIME: Duration = Duration::from_millis(100);

/// Reads that are let alone after one was refused: SQLite reads to undo the statement, too.
pub(super) const READS_AFTER_REFUSAL: u32 = 4_096;

/// A statement that has taken less than this is not refused because all of them together have taken too much: point reads go
/// on beside those that have.
const SMALL_STATEMENT_BYTES: isize = 1 << 20;

/// Counters that threads share out among them, so that they do not fight over one cache line.
const SHARDS: usize = 16;

/// Why memory was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The statement has taken as much as one may.
    Statement,
    /// All statements together have taken as much as they may.
    Process,
    /// The statement must end: its watch has the reason.
    Interrupted,
}

/// What a client's statement may take. On from `begin` until it is dropped or paused. One at a time on a thread.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes: isize,
}

#[repr(align(64))]
struct Shard(AtomicIsize);

struct Local {
    is_on: Cell<bool>,
    /// Bytes that the statement may still take.
    left: Cell<isize>,
    /// Bytes of the allowance.
    bytes: Cell<isize>,
    until_look: Cell<u32>,
    reads_until_look: Cell<u32>,
    /// Since when the statement ought to have ended, as far as reads have seen.
    over_since: Cell<Option<Instant>>,
    refusal: Cell<Option<Refusal>>,
    shard: Cell<usize>,
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            is_on: Cell::new(false),
            left: Cell::new(0),
            bytes: Cell::new(0),
            until_look: Cell::new(ALLOCATIONS_BETWEEN_LOOKS),
            reads_until_look: Cell::new(READS_BETWEEN_LOOKS),
            over_since: Cell::new(None),
            refusal: Cell::new(None),
            shard: Cell::new(usize::MAX),
        }
    };
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

static USED: [Shard; SHARDS] = [const { Shard(AtomicIsize::new(0)) }; SHARDS];
static LIMIT_BYTES: AtomicUsize = AtomicUsize::new(usize::MAX);
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

/// Makes SQLite use this allocator. Before the first connection is opened; later calls change nothing. Returns SQLite's
/// code if it was in use already.
pub(crate) fn install() -> Result<(), c_int> {
    static INSTALLED: OnceLock<c_int> = OnceLock::new();
    let code = *INSTALLED.get_or_init(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(allocate),
            xFree: Some(free),
            xRealloc: Some(reallocate),
            xSize: Some(size),
            xRoundup: Some(round_up),
            xInit: Some(init),
            xShutdown: Some(shut_down),
            pAppData: null_mut(),
        };
        // SAFETY: SQLite copies the methods; they keep the contract of https://sqlite.org/c3ref/mem_methods.html. The call is
        // refused, not undefined, if SQLite is in use. rusqlite offers no safe way to sqlite3_config.
        #[allow(unsafe_code, reason = "sqlite3_config is not in rusqlite")]
        unsafe {
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods)
        }
    });
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

/// How much all of SQLite may take before a statement that is not small is refused more.
pub(crate) fn set_limit(bytes: usize) {
    LIMIT_BYTES.store(bytes, Ordering::Relaxed);
}

/// What all of SQLite has taken, in bytes.
pub(crate) fn used_bytes() -> usize {
    usize::try_from(USED.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum::<isize>()).unwrap_or(0)
}

impl Allowance {
    /// From now on, what SQLite does on this thread may take so many bytes, and ends when the watch says so.
    pub(crate) fn begin(bytes: usize, watch: &Watch) -> Self {
        let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
        WATCH.with_borrow_mut(|of_thread| *of_thread = Some(watch.clone()));
        LOCAL.with(|local| {
            local.left.set(bytes);
            local.bytes.set(bytes);
            local.refusal.set(None);
            local.over_since.set(None);
            local.is_on.set(true);
        });
        Self { bytes }
    }

    /// Runs something that may always have memory.
    #[expect(clippy::unused_self, reason = "there is no pause without an allowance")]
    pub(crate) fn pause<T>(&self, run: impl FnOnce() -> T) -> T {
        LOCAL.with(|local| local.is_on.set(false));
        let outcome = run();
        LOCAL.with(|local| local.is_on.set(true));
        outcome
    }

    /// What was taken and not given back, in bytes.
    pub(crate) fn used_bytes(&self) -> usize {
        usize::try_from(self.bytes - LOCAL.with(|local| local.left.get())).unwrap_or(0)
    }

    /// Why memory was refused, if it was.
    #[expect(clippy::unused_self, reason = "the thread's, as long as this lives")]
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        LOCAL.with(|local| local.refusal.get())
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        LOCAL.with(|local| local.is_on.set(false));
        WATCH.with_borrow_mut(|of_thread| *of_thread = None);
    }
}

impl Local {
    /// Whether a block of this size may be taken.
    fn admits(&self, bytes: usize) -> bool {
        if !self.is_on.get() {
            return true;
        }
        // One refusal is enough to end the statement; to undo it, SQLite may need memory, too.
        let refusal = self.refusal_of(isize::try_from(bytes).unwrap_or(isize::MAX));
        if refusal.is_some() && self.refusal.get().is_none() {
            self.refusal.set(refusal);
        }
        refusal.is_none()
    }

    fn refusal_of(&self, bytes: isize) -> Option<Refusal> {
        if bytes > self.left.get() {
            return Some(Refusal::Statement);
        }
        let until_look = self.until_look.get();
        if until_look > 0 && bytes < SMALL_STATEMENT_BYTES {
            self.until_look.set(until_look - 1);
            return None;
        }
        self.until_look.set(ALLOCATIONS_BETWEEN_LOOKS);
        let taken = self.bytes.get() - self.left.get() + bytes;
        if taken > SMALL_STATEMENT_BYTES && used_bytes() > LIMIT_BYTES.load(Ordering::Relaxed) {
            return Some(Refusal::Process);
        }
        is_over().then_some(Refusal::Interrupted)
    }

    /// Whether the statement goes on though it ought to have ended long ago. Says so once for many reads.
    fn refuses_read(&self) -> bool {
        if !self.is_on.get() {
            return false;
        }
        let until_look = self.reads_until_look.get();
        if until_look > 0 {
            self.reads_until_look.set(until_look - 1);
            return false;
        }
        self.reads_until_look.set(READS_BETWEEN_LOOKS);
        if !is_over() {
            return false;
        }
        let Some(since) = self.over_since.get() else {
            self.over_since.set(Some(Instant::now()));
            return false;
        };
        if since.elapsed() < GENTLE_TIME {
            return false;
        }
        self.reads_until_look.set(READS_AFTER_REFUSAL);
        self.refusal.set(self.refusal.get().or(Some(Refusal::Interrupted)));
        true
    }

    /// Counts bytes that were taken or, if negative, given back.
    fn count(&self, bytes: isize) {
        if self.is_on.get() {
            self.left.set(self.left.get().saturating_sub(bytes));
        }
        if self.shard.get() == usize::MAX {
            self.shard.set(NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        USED[self.shard.get()].0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Whether the thread's statement must end.
fn is_over() -> bool {
    WATCH.with(|watch| watch.try_borrow().is_ok_and(|watch| watch.as_ref().is_some_and(Watch::look)))
}

/// Whether a read of a file is to fail, so that the thread's statement ends.
#[cfg_attr(windows, expect(dead_code, reason = "SQLite reads by its own functions there"))]
pub(super) fn refuses_read() -> bool {
    LOCAL.try_with(Local::refuses_read).unwrap_or(false)
}

/// Whether the thread's statement may take the bytes; counts them if so. A thread that is ending has no statement any more.
fn take(bytes: usize) -> bool {
    let take = |local: &Local| {
        let admitted = local.admits(bytes);
        if admitted {
            local.count(bytes.cast_signed());
        }
        admitted
    };
    LOCAL.try_with(take).unwrap_or_else(|_| {
        USED[0].0.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
        true
    })
}

fn give_back(bytes: usize) {
    if LOCAL.try_with(|local| local.count(-bytes.cast_signed())).is_err() {
        USED[0].0.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
    }
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEADER_BYTES)?, HEADER_BYTES).ok()
}

/// Where the size of a block lies.
#[allow(unsafe_code, reason = "SQLite's interface to an allocator is made of pointers")]
unsafe fn header(block: *mut c_void) -> *mut usize {
    // SAFETY: the caller has the block from `allocate` or `reallocate`, so its header lies before it.
    unsafe { block.byte_sub(HEADER_BYTES).cast() }
}

#[allow(unsafe_code, reason = "SQLite's interface to an allocator is made of pointers")]
extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    let Ok(bytes) = usize::try_from(bytes) else { return null_mut() };
    let Some(layout) = layout(bytes) else { return null_mut() };
    if !take(bytes) {
        return null_mut();
    }
    // SAFETY: the layout is never empty, and it is aligned as the header has to be, which lies within it.
    unsafe {
        let begin = alloc(layout).cast::<c_void>();
        if begin.is_null() {
            give_back(bytes);
            return null_mut();
        }
        begin.cast::<usize>().write(bytes);
        begin.byte_add(HEADER_BYTES)
    }
}

#[allow(unsafe_code, reason = "SQLite's interface to an allocator is made of pointers")]
unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: SQLite gives back what `allocate` or `reallocate` gave it, so the block's size lies before it, and the layout is
    // that with which it was made.
    unsafe {
        let begin = header(block);
        let bytes = begin.read();
        if let Some(layout) = layout(bytes) {
            dealloc(begin.cast(), layout);
            give_back(bytes);
        }
    }
}

#[allow(unsafe_code, reason = "SQLite's interface to an allocator is made of pointers")]
unsafe extern "C" fn reallocate(block: *mut c_void, bytes: c_int) -> *mut c_void {
    if block.is_null() {
        return allocate(bytes);
    }
    let Ok(bytes) = usize::try_from(bytes) else { return null_mut() };
    // SAFETY: as in `free`; the new size with its header is a valid layout's, so realloc may be asked for it. If it fails the
    // old block stays as it is.
    unsafe {
        let begin = header(block);
        let before = begin.read();
        let (Some(old), Some(new)) = (layout(before), layout(bytes)) else { return null_mut() };
        if bytes > before && !take(bytes - before) {
            return null_mut();
        }
        let moved = realloc(begin.cast(), old, new.size()).cast::<c_void>();
        if moved.is_null() {
            give_back(bytes.saturating_sub(before));
            return null_mut();
        }
        if bytes < before {
            give_back(before - bytes);
        }
        moved.cast::<usize>().write(bytes);
        moved.byte_add(HEADER_BYTES)
    }
}

#[allow(unsafe_code, reason = "SQLite's interface to an allocator is made of pointers")]
unsafe extern "C" fn size(block: *mut c_void) -> c_int {
    if block.is_null() {
        return 0;
    }
    // SAFETY: as in `free`.
    let bytes = unsafe { header(block).read() };
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

extern "C" fn round_up(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

extern "C" fn init(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

extern "C" fn shut_down(_: *mut c_void) {}
