//! The shim between SQLite and the operating system's files (<https://sqlite.org/vfs.html>). It hands everything through,
//! and lets the temporary files among them be counted (`temp_files`). Other files are the default VFS's own, as if
//! the shim were not there.

#![allow(unsafe_code, reason = "a VFS is a table of C functions")]

use std::{
    ffi::{CStr, c_int, c_void},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use rusqlite::ffi;

use super::{
    super::{error::Error, temp_files::TempFile},
    sigbus,
};

/// The name by which connections ask for it.
pub(crate) const NAME: &CStr = c"skylinedb";

/// How SQLite opens a file that it needs for a while only.
const TEMPORARY: c_int = ffi::SQLITE_OPEN_DELETEONCLOSE
    | ffi::SQLITE_OPEN_TEMP_DB
    | ffi::SQLITE_OPEN_TRANSIENT_DB
    | ffi::SQLITE_OPEN_SUBJOURNAL
    | ffi::SQLITE_OPEN_TEMP_JOURNAL;

/// The VFS below, which lives as long as the process.
static DEFAULT: AtomicPtr<ffi::sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

/// A temporary file. The default VFS's own file lies behind it in memory, [`INNER_OFFSET`] bytes from its beginning.
#[repr(C)]
struct CountedFile {
    /// What SQLite knows of it; it must come first.
    base: ffi::sqlite3_file,
    size: TempFile,
}

/// SQLite's memory, and so a file in it, is aligned to eight bytes.
const INNER_OFFSET: usize = size_of::<CountedFile>().next_multiple_of(8);

/// The functions of temporary files. Those for shared memory are missing: it belongs to a database with a write-ahead log.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

/// Makes SQLite know the shim, and watches for files that shrink while they are mapped; once a process.
pub(crate) fn register() -> Result<(), Error> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    match *REGISTERED.get_or_init(register_once) {
        ffi::SQLITE_OK => Ok(()),
        code => Err(Error::of_code(code, "SQLite does not take the daemon's VFS")),
    }
}

fn register_once() -> c_int {
    // SAFETY: a null name asks for the default VFS; SQLite initialises itself for the call.
    let default = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    // SAFETY: a VFS that SQLite has is valid and is not changed while it is registered, and nothing unregisters this one.
    let Some(found) = (unsafe { default.as_ref() }) else { return ffi::SQLITE_NOTFOUND };
    let Ok(offset) = c_int::try_from(INNER_OFFSET) else { return ffi::SQLITE_INTERNAL };
    DEFAULT.store(default, Ordering::Release);
    sigbus::install(default);
    #[cfg(unix)]
    super::reads::watch(default);
    // The default VFS's other functions take nothing from the struct that they are given but `pAppData` and `mxPathname`,
    // which are copied, so they may stay as they are.
    let shim = ffi::sqlite3_vfs {
        szOsFile: offset + found.szOsFile,
        pNext: ptr::null_mut(),
        zName: NAME.as_ptr(),
        xOpen: Some(open),
        ..*found
    };
    // SAFETY: the struct is leaked, as SQLite keeps it for ever; its name is a constant, and its functions are those of the
    // default VFS, but `open`, which keeps the contract of xOpen.
    unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(shim)), 0) }
}

/// The default VFS's file behind ours.
///
/// # Safety
/// The file must have `szOsFile` bytes of this VFS, as every file has that SQLite opens with it.
unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the file is as long as INNER_OFFSET and the default VFS's own file together.
    unsafe { file.byte_add(INNER_OFFSET) }
}

/// The functions of the default VFS's file behind ours.
///
/// # Safety
/// As [`inner`], and the file must be open.
unsafe fn inner_methods<'f>(file: *mut ffi::sqlite3_file) -> (*mut ffi::sqlite3_file, &'f ffi::sqlite3_io_methods) {
    // SAFETY: `open` has let ours be a file only after the one behind it was open, and an open file has functions, which are
    // constants of the default VFS.
    unsafe {
        let inner = inner(file);
        (inner, &*(*inner).pMethods)
    }
}

/// What is counted of a temporary file.
///
/// # Safety
/// The file must be an open one of ours, and of one thread at a time, as SQLite sees to.
unsafe fn counted<'f>(file: *mut ffi::sqlite3_file) -> &'f mut TempFile {
    // SAFETY: `open` has written a CountedFile there, and SQLite never calls two functions of one file at once.
    unsafe { &mut (*file.cast::<CountedFile>()).size }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let default = DEFAULT.load(Ordering::Acquire);
    // SAFETY: `register_once` has set it before SQLite could know this function. The arguments are SQLite's own: `file` has
    // room for `szOsFile` bytes, more than the default VFS needs, and enough for both files where there are two.
    unsafe {
        let Some(open) = (*default).xOpen else { return ffi::SQLITE_CANTOPEN };
        if flags & TEMPORARY == 0 {
            return open(default, name, file, flags, out_flags);
        }
        let inner = inner(file);
        (*file).pMethods = ptr::null();
        (*inner).pMethods = ptr::null();
        let code = open(default, name, inner, flags, out_flags);
        if code == ffi::SQLITE_OK {
            let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
            file.cast::<CountedFile>().write(CountedFile { base, size: TempFile::default() });
        } else if let Some(close) = (*inner).pMethods.as_ref().and_then(|methods| methods.xClose) {
            // SQLite would do so itself if it saw this file.
            close(inner);
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file that `open` has opened, once. What is counted ends with it.
    unsafe {
        let (inner, methods) = inner_methods(file);
        let code = methods.xClose.map_or(ffi::SQLITE_OK, |close| close(inner));
        ptr::drop_in_place(file.cast::<CountedFile>());
        code
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: the file is an open one of ours, and the arguments go on as they came.
    unsafe {
        if let Err(code) = counted(file).grow_to(unsigned(offset.saturating_add(i64::from(length)))) {
            return code;
        }
        let (inner, methods) = inner_methods(file);
        methods.xWrite.map_or(ffi::SQLITE_IOERR_WRITE, |write| write(inner, bytes, length, offset))
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: the file is an open one of ours.
    unsafe {
        let (inner, methods) = inner_methods(file);
        let code = methods.xTruncate.map_or(ffi::SQLITE_IOERR_TRUNCATE, |truncate| truncate(inner, size));
        look_at_size(file);
        code
    }
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the file is an open one of ours, and a size hint's argument is a 64-bit integer
    // (https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html).
    unsafe {
        let is_hint = operation == ffi::SQLITE_FCNTL_SIZE_HINT && !argument.is_null();
        if is_hint && let Err(code) = counted(file).grow_to(unsigned(*argument.cast::<ffi::sqlite3_int64>())) {
            return code;
        }
        let (inner, methods) = inner_methods(file);
        let code = methods.xFileControl.map_or(ffi::SQLITE_NOTFOUND, |control| control(inner, operation, argument));
        if is_hint {
            look_at_size(file);
        }
        code
    }
}

/// Counts what the file really takes.
///
/// # Safety
/// The file must be an open one of ours.
unsafe fn look_at_size(file: *mut ffi::sqlite3_file) {
    let mut size = 0;
    // SAFETY: as the caller has it, and the pointer is to a live integer.
    unsafe {
        if file_size(file, &raw mut size) == ffi::SQLITE_OK {
            counted(file).set_size(unsigned(size));
        }
    }
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    length: c_int,
    page: *mut *mut c_void,
) -> c_int {
    // SAFETY: the file is an open one of ours, and `page` is a place for a pointer. Without a function, there is no page.
    unsafe {
        let (inner, methods) = inner_methods(file);
        *page = ptr::null_mut();
        methods
            .xFetch
            .filter(|_| methods.iVersion >= 3)
            .map_or(ffi::SQLITE_OK, |fetch| fetch(inner, offset, length, page))
    }
}

unsafe extern "C" fn unfetch(file: *mut ffi::sqlite3_file, offset: ffi::sqlite3_int64, page: *mut c_void) -> c_int {
    // SAFETY: the file is an open one of ours, and the page, if there is one, came from `fetch`.
    unsafe {
        let (inner, methods) = inner_methods(file);
        methods
            .xUnfetch
            .filter(|_| methods.iVersion >= 3)
            .map_or(ffi::SQLITE_OK, |unfetch| unfetch(inner, offset, page))
    }
}

/// Functions that only hand their arguments on. The last value is for a file that has no such function.
macro_rules! handed_on {
    ($($name:ident, $method:ident, ($($argument:ident: $type:ty),*), $missing:expr;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> c_int {
            // SAFETY: the file is an open one of ours, and the arguments go on as they came.
            unsafe {
                let (inner, methods) = inner_methods(file);
                methods.$method.map_or($missing, |function| function(inner, $($argument),*))
            }
        }
    )*};
}

handed_on! {
    read, xRead, (bytes: *mut c_void, length: c_int, offset: ffi::sqlite3_int64), ffi::SQLITE_IOERR_READ;
    sync, xSync, (flags: c_int), ffi::SQLITE_OK;
    file_size, xFileSize, (size: *mut ffi::sqlite3_int64), ffi::SQLITE_IOERR_FSTAT;
    lock, xLock, (level: c_int), ffi::SQLITE_OK;
    unlock, xUnlock, (level: c_int), ffi::SQLITE_OK;
    check_reserved_lock, xCheckReservedLock, (is_locked: *mut c_int), ffi::SQLITE_OK;
    sector_size, xSectorSize, (), 0;
    device_characteristics, xDeviceCharacteristics, (), 0;
}

fn unsigned(size: ffi::sqlite3_int64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
