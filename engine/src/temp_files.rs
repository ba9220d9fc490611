//! What SQLite's temporary files take on disk: sorts, ephemeral tables, statement journals, VACUUM's copy. SQLite has no
//! limit for them, so the VFS shim (`sqlite3/vfs.rs`) counts them here, and the largest user fails when they are too many.

#![cfg_attr(windows, allow(clippy::missing_const_for_thread_local, reason = "they are const; it is mistaken"))]

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::ffi;

use super::error::{Error, Kind};

/// The part of the limit by which others may pass it until the largest user has noticed that it must end: one sixteenth.
const OVERSHOOT: u64 = 16;

/// The temporary files of all connections of a database, with their limit.
#[derive(Clone, Debug)]
pub struct TempFiles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit_bytes: u64,
    total_bytes: AtomicU64,
    users: Mutex<Vec<Weak<TempUser>>>,
}

/// The temporary files of one connection. Some outlive the statement that made them: a statement journal ends with the
/// transaction.
#[derive(Debug)]
pub(super) struct TempUser {
    shared: Arc<Shared>,
    bytes: AtomicU64,
    /// It was the largest when the limit was reached.
    is_marked: AtomicBool,
    /// A statement that was begun last has been stopped for it.
    has_failed: AtomicBool,
}

/// A client's statement at work on this thread, until this is dropped.
pub(super) struct TempUse<'u> {
    user: &'u TempUser,
}

/// One temporary file's part. Dropping it gives the bytes back.
#[derive(Debug, Default)]
pub(super) struct TempFile {
    bytes: u64,
    /// Whose the bytes are; `None` for a file that only the daemon's own statements have written.
    user: Option<Arc<TempUser>>,
}

struct Running {
    user: Arc<TempUser>,
    /// How a write of it fails.
    refusal: i32,
}

thread_local! {
    /// The client's statement that runs on this thread. Without one, the daemon's own statements are at work.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

impl TempFiles {
    /// No files yet, and no more than this ever.
    #[must_use]
    pub fn limited_to(limit_bytes: u64) -> Self {
        Self(Arc::new(Shared { limit_bytes, total_bytes: AtomicU64::new(0), users: Mutex::default() }))
    }

    /// Another connection.
    pub(super) fn user(&self) -> Arc<TempUser> {
        let shared = Arc::clone(&self.0);
        let user = TempUser {
            shared,
            bytes: AtomicU64::new(0),
            is_marked: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
        };
        let user = Arc::new(user);
        let mut users = self.0.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|user| user.strong_count() > 0);
        users.push(Arc::downgrade(&user));
        user
    }

    /// What all of them take now.
    #[cfg(test)]
    pub(super) fn total_bytes(&self) -> u64 {
        self.0.total_bytes.load(Ordering::Relaxed)
    }
}

/// Whether the client's statement on this thread must end because of its temporary files.
pub(super) fn is_over() -> bool {
    RUNNING.with_borrow(|running| running.as_ref().is_some_and(|running| running.user.must_end()))
}

impl TempUser {
    /// A client's statement begins. One that only reads fails as if it were interrupted, which leaves the transaction open;
    /// one that writes as on a full disk, because SQLite undoes an interrupted write with its whole transaction
    /// (<https://sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction").
    pub(super) fn begin(self: &Arc<Self>, is_readonly: bool) -> TempUse<'_> {
        self.has_failed.store(false, Ordering::Relaxed);
        if self.bytes.load(Ordering::Relaxed) == 0 {
            self.is_marked.store(false, Ordering::Relaxed);
        }
        let refusal = if is_readonly { ffi::SQLITE_INTERRUPT } else { ffi::SQLITE_FULL };
        RUNNING.set(Some(Running { user: Arc::clone(self), refusal }));
        TempUse { user: self }
    }

    /// Whether it was chosen to end, and still has what it was chosen for.
    fn must_end(&self) -> bool {
        let must_end = self.is_marked.load(Ordering::Relaxed) && self.bytes.load(Ordering::Relaxed) > 0;
        if must_end {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        must_end
    }

    /// Whether there is room for so many bytes more, which are counted then.
    fn may_grow(self: &Arc<Self>, bytes: u64) -> bool {
        if self.must_end() {
            return false;
        }
        let total = self.grow(bytes);
        let may = total <= self.shared.limit_bytes || self.shared.goes_on(self, total);
        if !may {
            self.shrink(bytes);
            self.has_failed.store(true, Ordering::Relaxed);
        }
        may
    }

    /// Counts so many bytes more. Returns the new total.
    fn grow(&self, bytes: u64) -> u64 {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.total_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn shrink(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.total_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Shared {
    /// Whether a user may go on though the limit is reached: the largest has to end, and it is another.
    fn goes_on(&self, user: &Arc<TempUser>, total: u64) -> bool {
        if total > self.limit_bytes.saturating_add(self.limit_bytes / OVERSHOOT) {
            return false;
        }
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let largest = users.iter().filter_map(Weak::upgrade).max_by_key(|user| user.bytes.load(Ordering::Relaxed));
        match largest {
            Some(largest) if !Arc::ptr_eq(&largest, user) => {
                largest.is_marked.store(true, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }
}

impl TempUse<'_> {
    /// The true reason of an error, if it is that the temporary files are too many.
    pub(super) fn explain(&self, error: Error) -> Error {
        // An error without a code is the sink's.
        if error.sqlite_code == 0 || !self.user.has_failed.load(Ordering::Relaxed) {
            return error;
        }
        Error::new(
            Kind::Exhausted,
            "TEMP_FILES_FULL",
            format!(
                "SQLite's temporary files (sorts, groupings, a copy for VACUUM, journals of large statements) have reached \
                 the {} bytes that all clients share (--max-temp-bytes), and this statement's were the largest; sort or \
                 change fewer rows at a time, add an index that has them in order, or start the daemon with a higher \
                 --max-temp-bytes",
                self.user.shared.limit_bytes
            ),
        )
    }
}

impl Drop for TempUse<'_> {
    fn drop(&mut self) {
        RUNNING.set(None);
    }
}

impl TempFile {
    /// The file is about to grow to this size; smaller sizes do not matter. The error is SQLite's code.
    pub(super) fn grow_to(&mut self, size_bytes: u64) -> Result<(), i32> {
        let Some(more) = size_bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        RUNNING.with_borrow(|running| {
            if let Some(Running { user, refusal }) = running {
                self.belongs_to(user);
                return if user.may_grow(more) { Ok(()) } else { Err(*refusal) };
            }
            if let Some(user) = &self.user {
                user.grow(more);
            }
            Ok(())
        })?;
        self.bytes = size_bytes;
        Ok(())
    }

    /// The file has this size now.
    pub(super) fn set_size(&mut self, size_bytes: u64) {
        if let Some(user) = &self.user {
            if size_bytes > self.bytes {
                user.grow(size_bytes - self.bytes);
            } else {
                user.shrink(self.bytes - size_bytes);
            }
        }
        self.bytes = size_bytes;
    }

    /// Whoever makes a file larger answers for all of it.
    fn belongs_to(&mut self, user: &Arc<TempUser>) {
        if self.user.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, user)) {
            return;
        }
        if let Some(owner) = self.user.replace(Arc::clone(user)) {
            owner.shrink(self.bytes);
        }
        user.grow(self.bytes);
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        self.set_size(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_600;

    fn run<T>(user: &Arc<TempUser>, is_readonly: bool, write: impl FnOnce() -> T) -> T {
        let _running = user.begin(is_readonly);
        write()
    }

    #[test]
    fn the_largest_user_is_refused_at_once_and_has_given_all_back_when_its_files_are_closed() {
        let files = TempFiles::limited_to(LIMIT);
        let user = files.user();
        let mut file = TempFile::default();
        for is_readonly in [true, false] {
            let running = user.begin(is_readonly);
            assert_eq!(file.grow_to(LIMIT), Ok(()));
            assert_eq!(file.grow_to(1), Ok(()), "a part that is written again");
            let refusal = if is_readonly { ffi::SQLITE_INTERRUPT } else { ffi::SQLITE_FULL };
            assert_eq!(file.grow_to(LIMIT + 1), Err(refusal));
            assert_eq!(running.explain(Error::of_code(refusal, "full")).reason, "TEMP_FILES_FULL");
            assert_eq!(files.total_bytes(), LIMIT);
            file.set_size(0);
            assert_eq!(files.total_bytes(), 0);
        }
        drop(file);
        let running = user.begin(true);
        assert_eq!(running.explain(Error::of_code(ffi::SQLITE_FULL, "full")).reason, "SQLITE_FULL");
    }

    #[test]
    fn the_largest_must_end_while_a_smaller_one_goes_on() {
        let files = TempFiles::limited_to(LIMIT);
        let (large, small) = (files.user(), files.user());
        let (mut large_file, mut small_file) = (TempFile::default(), TempFile::default());
        run(&large, true, || large_file.grow_to(1_000)).expect("room");
        run(&small, true, || small_file.grow_to(600)).expect("room");
        run(&small, true, || small_file.grow_to(601)).expect("room, at the cost of the largest");
        run(&large, true, || {
            assert!(is_over());
            large_file.grow_to(1_001).expect_err("no room");
        });
        run(&small, true, || assert!(!is_over()));
        drop(large_file);
        run(&small, true, || small_file.grow_to(LIMIT)).expect("all the room");
        run(&large, true, || assert!(!is_over(), "it has nothing any more"));
    }

    #[test]
    fn nobody_passes_the_limit_by_much_while_the_largest_does_not_notice() {
        let files = TempFiles::limited_to(LIMIT);
        let (large, small) = (files.user(), files.user());
        let (mut large_file, mut small_file) = (TempFile::default(), TempFile::default());
        run(&large, true, || large_file.grow_to(1_000)).expect("room");
        run(&small, true, || small_file.grow_to(600 + LIMIT / OVERSHOOT)).expect("room");
        run(&small, true, || small_file.grow_to(601 + LIMIT / OVERSHOOT)).expect_err("no room");
    }

    #[test]
    fn a_file_belongs_to_the_last_user_that_made_it_larger_and_the_daemon_is_never_refused() {
        let files = TempFiles::limited_to(LIMIT);
        let (first, second) = (files.user(), files.user());
        let mut file = TempFile::default();
        file.grow_to(100).expect("the daemon's own");
        assert_eq!(files.total_bytes(), 0);
        run(&first, true, || file.grow_to(200)).expect("room");
        assert_eq!((first.bytes.load(Ordering::Relaxed), files.total_bytes()), (200, 200));
        run(&second, true, || file.grow_to(300)).expect("room");
        assert_eq!((first.bytes.load(Ordering::Relaxed), second.bytes.load(Ordering::Relaxed)), (0, 300));
        file.grow_to(2 * LIMIT).expect("the daemon's own");
        assert_eq!(files.total_bytes(), 2 * LIMIT);
        drop(file);
        assert_eq!(files.total_bytes(), 0);
    }
}
