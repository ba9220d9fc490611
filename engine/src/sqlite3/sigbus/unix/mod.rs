//! What happens when a mapped file is truncated by another program: an access to a page that the file does not have any more
//! raises SIGBUS, whose default is to end the process.
//!
//! A page of a database file, which only connections that read map, is replaced by one of zeros: the thread goes on, and
//! every answer from then on is an error ([`check`]) until the daemon has ended. A page of a `-shm` is not: with a
//! wrong index of the write-ahead log SQLite could overwrite commits, so the thread stops and the daemon ends at once,
//! as in a crash. An access to anything else is what it was without this handler.

#![allow(unsafe_code, reason = "a signal's handler, and the functions that SQLite maps files with")]

mod mappings;

use std::{
    ffi::{c_int, c_void},
    io::{self, Read as _},
    os::fd::IntoRawFd as _,
    panic::catch_unwind,
    ptr,
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    thread,
};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};
use rusqlite::ffi;
use tokio::sync::watch;

use crate::error::{Error, Kind};
use mappings::{Mapped, Range};

/// Whether a page of a mapped database file was missing.
static HAS_STRUCK: AtomicBool = AtomicBool::new(false);

/// The same, for those who wait for it.
static STRUCK: LazyLock<watch::Sender<bool>> = LazyLock::new(watch::Sender::default);

/// What SIGBUS did before.
static PREVIOUS: OnceLock<SigAction> = OnceLock::new();

/// The pipe by which the handler tells the thread that may do what a handler may not.
static NEWS: AtomicI32 = AtomicI32::new(-1);

/// What is to be done before the process is ended.
static FLUSH_LOG: OnceLock<fn()> = OnceLock::new();

const FILE: u8 = b'f';
const SHARED_MEMORY: u8 = b's';

/// The error of every request once a mapped page was missing.
pub(crate) fn check() -> Result<(), Error> {
    if HAS_STRUCK.load(Ordering::Relaxed) { Err(truncated()) } else { Ok(()) }
}

/// Waits until [`check`] fails, and returns its error.
pub(crate) async fn struck() -> Error {
    if check().is_ok() {
        // The sender is never dropped.
        let _ = STRUCK.subscribe().wait_for(|has_struck| *has_struck).await;
    }
    truncated()
}

/// Has this called before the process is ended; the first one counts.
pub(crate) fn flush_before_exit(flush_log: fn()) {
    let _ = FLUSH_LOG.set(flush_log);
}

fn truncated() -> Error {
    Error::new(
        Kind::DataLoss,
        "DATABASE_TRUNCATED",
        "the database file was truncated by another program, or the disk could not read it, while the daemon had it open: \
         nothing that is read from it can be trusted, so the daemon ends; see what is left of the file, and restore a backup \
         if it is not whole",
    )
}

/// Installs the handler. SQLite must not have mapped a file yet.
pub(crate) fn install(vfs: *mut ffi::sqlite3_vfs) {
    mappings::watch(vfs);
    let outcome = io::pipe().and_then(|(mut news, told)| {
        thread::Builder::new().name("sigbus".into()).spawn(move || {
            let mut what = [0];
            while news.read_exact(&mut what).is_ok() {
                let [what] = what;
                if what == FILE {
                    STRUCK.send_replace(true);
                } else {
                    end();
                }
            }
        })?;
        NEWS.store(told.into_raw_fd(), Ordering::Release);
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(on_sigbus), flags, SigSet::empty());
        // SAFETY: the handler uses nothing but atomics and system calls that a handler may use. The previous action, that of
        // Rust's runtime, is kept: it is put back for accesses that are not SQLite's.
        let previous = unsafe { sigaction(Signal::SIGBUS, &action) }?;
        let _ = PREVIOUS.set(previous);
        Ok(())
    });
    if let Err(error) = outcome {
        tracing::warn!(%error, "nothing watches for the database file being truncated: it would end the daemon by SIGBUS");
    }
}

/// Ends the daemon as a crash would: what SQLite would do on the way could overwrite commits.
fn end() -> ! {
    // A log that cannot be written must not keep it from ending.
    let _ = catch_unwind(|| {
        tracing::error!(
            "the -shm file of the database was truncated by another program while the daemon had it open (DATABASE_TRUNCATED); \
             the daemon ends without touching the database again: the next start recovers every commit from the write-ahead log"
        );
        if let Some(flush_log) = FLUSH_LOG.get() {
            flush_log();
        }
    });
    std::process::exit(1)
}

extern "C" fn on_sigbus(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the system hands a handler with SA_SIGINFO a valid siginfo_t, and for SIGBUS it has an address.
    let address = unsafe { (*info).si_addr() }.addr();
    match mappings::find(address) {
        Some((Mapped::File, range)) if fill_with_zeros(range.rest_from_page_of(address)) => {
            HAS_STRUCK.store(true, Ordering::Relaxed);
            tell(FILE);
        }
        Some((Mapped::SharedMemory, _)) => {
            tell(SHARED_MEMORY);
            loop {
                // SAFETY: it waits for a signal, and does nothing else. This thread never runs on.
                unsafe { libc::pause() };
            }
        }
        // The access is made again, and then is what it was before there was this handler.
        _ => match PREVIOUS.get() {
            // SAFETY: that action was the process's own.
            Some(previous) => drop(unsafe { sigaction(Signal::SIGBUS, previous) }),
            // SAFETY: the default action is always valid.
            None => drop(unsafe {
                let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
                sigaction(Signal::SIGBUS, &default)
            }),
        },
    }
}

/// Puts pages of zeros in the place of a mapping's rest: a file that lacks one page lacks all behind it.
fn fill_with_zeros(range: Range) -> bool {
    let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    let address = ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the pages belong to a mapping of SQLite's that it only reads from, and stay readable. It knows no other
    // contents of them than the file's, which are not there any more. mmap is a mere system call.
    unsafe { libc::mmap(address, range.end - range.start, protection, flags, -1, 0) != libc::MAP_FAILED }
}

fn tell(what: u8) {
    // SAFETY: the byte lives until the call returns, and write is a function that a handler may call.
    unsafe { libc::write(NEWS.load(Ordering::Acquire), (&raw const what).cast(), 1) };
}
