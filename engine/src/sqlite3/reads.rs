//! Reads of files, by which statements end that nothing else ends: DROP TABLE, DELETE of a whole table and the last step of
//! VACUUM are one operation each, need no memory and look at no flag, but read page after page. The functions by which
//! SQLite reads are replaced (<https://sqlite.org/c3ref/vfs.html>, `xSetSystemCall`): they do the same, but for a statement
//! that ought to have ended long ago they fail, as a disk might.

#![allow(unsafe_code, reason = "SQLite takes the functions as pointers")]

use std::{
    ffi::{c_int, c_void},
    mem::transmute,
};

use nix::{errno::Errno, libc};
use rusqlite::ffi;

use super::memory;

type Read = unsafe extern "C" fn(c_int, *mut c_void, usize) -> isize;
// SQLite's off_t has 64 bits wherever it reads so.
type Pread = unsafe extern "C" fn(c_int, *mut c_void, usize, i64) -> isize;

/// Lets SQLite read by the functions of this module.
pub(super) fn watch(vfs: *mut ffi::sqlite3_vfs) {
    // SAFETY: the VFS is a registered one, and each function has the type of the one that it replaces, as SQLite's source has
    // it (os_unix.c, aSyscall); that only their pointers' types differ is what sqlite3_syscall_ptr is for. Which of them SQLite
    // calls is decided where it is compiled.
    unsafe {
        let Some(set) = (*vfs).xSetSystemCall else { return };
        let pread = transmute::<Pread, unsafe extern "C" fn()>(pread);
        set(vfs, c"read".as_ptr(), Some(transmute::<Read, unsafe extern "C" fn()>(read)));
        set(vfs, c"pread".as_ptr(), Some(pread));
        set(vfs, c"pread64".as_ptr(), Some(pread));
    }
}

unsafe extern "C" fn read(file: c_int, bytes: *mut c_void, length: usize) -> isize {
    if memory::refuses_read() {
        return refused();
    }
    // SAFETY: the arguments are those that SQLite would call the system with.
    unsafe { libc::read(file, bytes, length) }
}

unsafe extern "C" fn pread(file: c_int, bytes: *mut c_void, length: usize, offset: i64) -> isize {
    #[allow(irrefutable_let_patterns, reason = "off_t has 32 bits on some systems of 32 bits")]
    let Ok(offset) = libc::off_t::try_from(offset) else { return refused() };
    if memory::refuses_read() {
        return refused();
    }
    // SAFETY: the arguments are those that SQLite would call the system with.
    unsafe { libc::pread(file, bytes, length, offset) }
}

fn refused() -> isize {
    Errno::ECANCELED.set(); // any but EINTR, after which SQLite tries again
    -1
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{
        super::super::cancel::{Cancel, Watch},
        memory::{Allowance, GENTLE_TIME, READS_AFTER_REFUSAL, Refusal, refuses_read},
    };

    #[test]
    fn a_read_is_refused_once_gentler_ways_had_their_time() {
        let (begin, watch) = (Instant::now(), Watch::default());
        watch.begin(&Cancel::at(Some(begin)), None);
        let allowance = Allowance::begin(usize::MAX, &watch);
        while !refuses_read() {}
        assert!(begin.elapsed() >= GENTLE_TIME);
        assert_eq!(allowance.refusal(), Some(Refusal::Interrupted));
        assert!((0..READS_AFTER_REFUSAL).all(|_| !refuses_read()), "SQLite cannot undo the statement");
        assert!(refuses_read(), "the statement could go on after all");
        drop(allowance);
        assert!((0..100 * READS_AFTER_REFUSAL).all(|_| !refuses_read()), "nothing runs that ought to have ended");
    }
}
