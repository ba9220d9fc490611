//! SQL functions of the daemon's own, on SQLite's C interface (<https://sqlite.org/c3ref/create_function.html>).
//!
//! rusqlite's functions do not do: they see numbers as numbers, where SQLite's own functions read them as text with
//! `sqlite3_value_text`, and they have no place for the wildcards of LIKE.

use std::{
    ffi::{CStr, c_int, c_void},
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
};

use rusqlite::{Connection, ffi, types::ValueRef};

/// Where SQLite keeps a function's flags is not part of its interface: [`is_like`](mark_as_like) must be looked at again
/// for another version.
const _: () = assert!(ffi::SQLITE_VERSION_NUMBER == 3_053_002, "compare ContextHead and FunctionHead with sqlite3.c");

/// The subtype of a text that is JSON.
pub(super) const JSON_SUBTYPE: u32 = b'J' as u32;

/// A function that takes any number of arguments.
pub(super) const ANY_NUMBER: c_int = -1;

/// What a function is, beside its code.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nature {
    /// An ordinary function of its arguments.
    Plain,
    /// One that looks at the subtypes of its arguments and gives its result one.
    Json,
    /// An operator that SQLite may answer from an index, as it does for LIKE.
    Like(Wildcards),
}

/// The wildcards of LIKE or GLOB, in the layout in which SQLite's query planner reads them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Wildcards {
    /// Stands for any text: `%` or `*`.
    pub(super) any_text: u8,
    /// Stands for one character: `_` or `?`.
    pub(super) any_character: u8,
    /// Begins a set of characters: `[`, or 0 for none.
    pub(super) set: u8,
    /// Whether upper and lower case of ASCII are the same.
    pub(super) ignores_case: bool,
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The result is longer than a value may be.
    TooBig,
    /// Memory ran out.
    NoMemory,
    /// The statement is to end.
    Interrupted,
    /// The code with which a call of SQLite has failed.
    Code(c_int),
    /// An error with this text.
    Message(String),
}

/// One call of a function: its arguments, and where its result goes. NULL is the result of a call that sets none.
#[derive(Debug)]
pub(super) struct Call<'c> {
    context: *mut ffi::sqlite3_context,
    arguments: &'c [*mut ffi::sqlite3_value],
}

/// An argument that was copied, so that reading it as text leaves the original's type alone.
#[derive(Debug)]
pub(super) struct Copied<'c> {
    value: *mut ffi::sqlite3_value,
    call: PhantomData<&'c Call<'c>>,
}

/// What SQLite keeps for a function. The wildcards come first: SQLite's planner reads them there.
#[repr(C)]
struct Registered<F> {
    wildcards: Wildcards,
    is_like: bool,
    function: F,
}

/// The beginning of SQLite's `struct sqlite3_context`.
#[repr(C)]
struct ContextHead {
    out: *mut c_void,
    function: *mut FunctionHead,
}

/// The beginning of SQLite's `struct FuncDef`.
#[repr(C)]
struct FunctionHead {
    arguments: i16,
    flags: u32,
    user_data: *mut c_void,
}

/// `SQLITE_UTF8`, as the type that results want.
const UTF8: u8 = 1;

/// SQLite's `SQLITE_FUNC_LIKE` and `SQLITE_FUNC_CASE`.
const FUNC_LIKE: u32 = 0x0004;
const FUNC_CASE: u32 = 0x0008;

/// Makes `name` with so many arguments this function. It is one that an index, a generated column or a CHECK may use, as
/// the function of SQLite that it stands for.
pub(super) fn create<F>(
    connection: &Connection,
    name: &CStr,
    arguments: c_int,
    nature: Nature,
    function: F,
) -> rusqlite::Result<()>
where
    F: Fn(&Call<'_>) -> Result<(), Failure> + Send + 'static,
{
    let mut flags = ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS;
    let (wildcards, is_like) = match nature {
        Nature::Like(wildcards) => (wildcards, true),
        Nature::Json | Nature::Plain => {
            (Wildcards { any_text: 0, any_character: 0, set: 0, ignores_case: false }, false)
        }
    };
    if matches!(nature, Nature::Json) {
        flags |= ffi::SQLITE_SUBTYPE | ffi::SQLITE_RESULT_SUBTYPE;
    }
    let registered = Box::into_raw(Box::new(Registered { wildcards, is_like, function }));
    // SAFETY: the handle is valid for as long as `connection` is borrowed, and `name` ends with a NUL. `registered` is a box
    // that SQLite owns from here on: it hands it to `destroy` once, when the function is replaced, the connection is closed,
    // or this very call fails. `F` is `Send`, and SQLite uses it on one thread at a time, as it does the connection.
    #[allow(unsafe_code, reason = "rusqlite reads numbers as numbers, and knows no wildcards")]
    let code = unsafe {
        ffi::sqlite3_create_function_v2(
            connection.handle(),
            name.as_ptr(),
            arguments,
            flags,
            registered.cast(),
            Some(call::<F>),
            None,
            None,
            Some(destroy::<F>),
        )
    };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) }
}

/// Runs something whose small allocations stay for as long as the connection does, without letting it take them from the
/// connection's store for small allocations (<https://sqlite.org/malloc.html#lookaside>): a thousand functions would use that up,
/// and every row that is read would cost a `malloc`.
pub(super) fn without_lookaside<T>(
    connection: &Connection,
    run: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    set_lookaside(connection, 0, 0);
    let outcome = run();
    set_lookaside(connection, LOOKASIDE_SLOT_BYTES, LOOKASIDE_SLOTS);
    outcome
}

/// SQLite's defaults (`SQLITE_DEFAULT_LOOKASIDE`).
const LOOKASIDE_SLOT_BYTES: c_int = 1_200;
const LOOKASIDE_SLOTS: c_int = 40;

/// Has no effect while something of it is in use.
fn set_lookaside(connection: &Connection, slot_bytes: c_int, slots: c_int) {
    // SAFETY: the handle is valid for as long as `connection` is borrowed; with a null pointer SQLite allocates the memory.
    #[allow(unsafe_code, reason = "rusqlite sets switches only")]
    unsafe {
        let memory: *mut c_void = ptr::null_mut();
        ffi::sqlite3_db_config(connection.handle(), ffi::SQLITE_DBCONFIG_LOOKASIDE, memory, slot_bytes, slots);
    }
}

/// How many small allocations of the connection are in use, and how many have been at once.
#[cfg(test)]
pub(super) fn lookaside_used(connection: &Connection) -> (c_int, c_int) {
    let (mut current, mut highest) = (0, 0);
    // SAFETY: as above; the two pointers are to live integers.
    #[allow(unsafe_code, reason = "sqlite3_db_status is not in rusqlite")]
    unsafe {
        let what = ffi::SQLITE_DBSTATUS_LOOKASIDE_USED;
        ffi::sqlite3_db_status(connection.handle(), what, &raw mut current, &raw mut highest, 0);
    }
    (current, highest)
}

impl Failure {
    /// What a call fails with whose function has panicked.
    pub(super) fn panicked() -> Self {
        Self::Message("the daemon failed in an SQL function; this is a bug".into())
    }
}

impl<'c> Call<'c> {
    /// The call that SQLite makes.
    ///
    /// # Safety
    ///
    /// `context` must be that of a running call that lasts as long as `'c`, and `values` an array of so many arguments of it.
    #[allow(unsafe_code, reason = "see the module")]
    pub(super) unsafe fn new(
        context: *mut ffi::sqlite3_context,
        count: c_int,
        values: *mut *mut ffi::sqlite3_value,
    ) -> Self {
        let arguments = match usize::try_from(count) {
            // SAFETY: the caller's promise. For none there may be no array.
            Ok(count) if count > 0 => unsafe { slice::from_raw_parts(values, count) },
            _ => &[],
        };
        Self { context, arguments }
    }

    /// Runs the function itself, and makes its failure the call's error. A panic ends here: it must not reach SQLite.
    pub(super) fn answer(&self, function: impl FnOnce() -> Result<(), Failure>) {
        match catch_unwind(AssertUnwindSafe(function)) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => self.fail(&failure),
            Err(_) => self.fail(&Failure::panicked()),
        }
    }

    /// How many arguments there are.
    pub(super) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// The argument's type: `SQLITE_INTEGER`, `SQLITE_FLOAT`, `SQLITE_TEXT`, `SQLITE_BLOB` or `SQLITE_NULL`.
    pub(super) fn kind(&self, index: usize) -> c_int {
        // SAFETY: the argument belongs to this call, which is not over.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_value_type(self.arguments[index])
        }
    }

    /// The argument as text, up to its end, which need not be its first NUL. `None` for NULL, and when memory runs out.
    pub(super) fn text(&self, index: usize) -> Option<&'c [u8]> {
        // SAFETY: the argument belongs to this call, which lasts as long as `'c`. SQLite keeps the text where it is until
        // the value is asked for in another form: `bytes` below asks for the length of this one, and `blob` is for blobs.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            text_of(self.arguments[index])
        }
    }

    /// The argument as a number, cut to 32 bits as SQLite does.
    pub(super) fn integer(&self, index: usize) -> c_int {
        // SAFETY: the argument belongs to this call. A text stays a text by this.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_value_int(self.arguments[index])
        }
    }

    /// The argument as a floating-point number.
    pub(super) fn real(&self, index: usize) -> f64 {
        // SAFETY: as for `integer`.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_value_double(self.arguments[index])
        }
    }

    /// How many bytes the argument has, as text where it is no blob.
    pub(super) fn byte_length(&self, index: usize) -> usize {
        // SAFETY: the argument belongs to this call. A number becomes text by this; text and blobs stay where they are.
        #[allow(unsafe_code, reason = "see the module")]
        let length = unsafe { ffi::sqlite3_value_bytes(self.arguments[index]) };
        usize::try_from(length).unwrap_or(0)
    }

    /// The bytes of an argument that is a blob.
    pub(super) fn blob(&self, index: usize) -> &'c [u8] {
        debug_assert_eq!(self.kind(index), ffi::SQLITE_BLOB, "only a blob's bytes stay where they are");
        let value = self.arguments[index];
        // SAFETY: as for `text`; an empty blob is a null pointer.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            let bytes = ffi::sqlite3_value_blob(value).cast::<u8>();
            let length = usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0);
            if bytes.is_null() { &[] } else { slice::from_raw_parts(bytes, length) }
        }
    }

    /// A copy of the argument.
    pub(super) fn copy(&self, index: usize) -> Copied<'c> {
        // SAFETY: the argument belongs to this call; the copy is freed by `Copied`.
        #[allow(unsafe_code, reason = "see the module")]
        let value = unsafe { ffi::sqlite3_value_dup(self.arguments[index]) };
        Copied { value, call: PhantomData }
    }

    /// The argument as it is.
    pub(super) fn value(&self, index: usize) -> ValueRef<'c> {
        let value = self.arguments[index];
        match self.kind(index) {
            // SAFETY: the argument belongs to this call.
            #[allow(unsafe_code, reason = "see the module")]
            ffi::SQLITE_INTEGER => ValueRef::Integer(unsafe { ffi::sqlite3_value_int64(value) }),
            // SAFETY: as above.
            #[allow(unsafe_code, reason = "see the module")]
            ffi::SQLITE_FLOAT => ValueRef::Real(unsafe { ffi::sqlite3_value_double(value) }),
            ffi::SQLITE_TEXT => self.text(index).map_or(ValueRef::Null, ValueRef::Text),
            ffi::SQLITE_BLOB => ValueRef::Blob(self.blob(index)),
            _ => ValueRef::Null,
        }
    }

    /// Whether the argument is the result of a JSON function.
    pub(super) fn is_json(&self, index: usize) -> bool {
        // SAFETY: the argument belongs to this call.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_value_subtype(self.arguments[index]) == JSON_SUBTYPE
        }
    }

    /// How many bytes a value may have (`SQLITE_LIMIT_LENGTH`).
    pub(super) fn max_bytes(&self) -> usize {
        // SAFETY: the context belongs to this call; -1 only asks.
        #[allow(unsafe_code, reason = "see the module")]
        let limit =
            unsafe { ffi::sqlite3_limit(ffi::sqlite3_context_db_handle(self.context), ffi::SQLITE_LIMIT_LENGTH, -1) };
        usize::try_from(limit).unwrap_or(0)
    }

    /// Sets the result.
    pub(super) fn set_integer(&self, integer: i64) {
        // SAFETY: the context belongs to this call.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_result_int64(self.context, integer);
        }
    }

    /// Sets the result.
    pub(super) fn set_real(&self, real: f64) {
        // SAFETY: the context belongs to this call.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_result_double(self.context, real);
        }
    }

    /// Sets the result.
    pub(super) fn set_text(&self, text: &[u8]) {
        // SAFETY: the context belongs to this call, and SQLite copies the bytes at once.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_result_text64(
                self.context,
                text.as_ptr().cast(),
                text.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                UTF8,
            );
        }
    }

    /// Sets the result.
    pub(super) fn set_blob(&self, blob: &[u8]) {
        // SAFETY: as for `set_text`.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_result_blob64(self.context, blob.as_ptr().cast(), blob.len() as u64, ffi::SQLITE_TRANSIENT());
        }
    }

    /// Sets the result.
    pub(super) fn set_value(&self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(integer) => self.set_integer(integer),
            ValueRef::Real(real) => self.set_real(real),
            ValueRef::Text(text) => self.set_text(text),
            ValueRef::Blob(blob) => self.set_blob(blob),
        }
    }

    /// Says that the result, which has been set, is JSON.
    pub(super) fn mark_as_json(&self) {
        // SAFETY: the context belongs to this call, and the function is registered with SQLITE_RESULT_SUBTYPE.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_result_subtype(self.context, JSON_SUBTYPE);
        }
    }

    fn fail(&self, failure: &Failure) {
        // SAFETY: the context belongs to this call, and SQLite copies the text at once.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            match failure {
                Failure::TooBig => ffi::sqlite3_result_error_toobig(self.context),
                Failure::NoMemory => ffi::sqlite3_result_error_nomem(self.context),
                Failure::Interrupted => ffi::sqlite3_result_error_code(self.context, ffi::SQLITE_INTERRUPT),
                Failure::Code(code) => ffi::sqlite3_result_error_code(self.context, *code),
                Failure::Message(text) => {
                    let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
                    ffi::sqlite3_result_error(self.context, text.as_ptr().cast(), length);
                }
            }
        }
    }
}

impl Copied<'_> {
    /// The copy as text. `None` for NULL, and when memory runs out.
    pub(super) fn text(&self) -> Option<&[u8]> {
        if self.value.is_null() {
            return None;
        }
        // SAFETY: the copy is this value's own, and lasts as long as it.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            text_of(self.value)
        }
    }
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        // SAFETY: the copy is this value's own; a null pointer is allowed.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            ffi::sqlite3_value_free(self.value);
        }
    }
}

/// The text of a value.
///
/// # Safety
///
/// The value must last as long as `'v`, and must not be asked for in another form during it.
#[allow(unsafe_code, reason = "see the module")]
unsafe fn text_of<'v>(value: *mut ffi::sqlite3_value) -> Option<&'v [u8]> {
    // SAFETY: the caller's promise. The pointer comes before the length, so that the length is that of the text.
    unsafe {
        let text = ffi::sqlite3_value_text(value);
        let length = usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0);
        (!text.is_null()).then(|| slice::from_raw_parts(text, length))
    }
}

/// What SQLite calls.
#[allow(unsafe_code, reason = "see the module")]
unsafe extern "C" fn call<F>(context: *mut ffi::sqlite3_context, count: c_int, values: *mut *mut ffi::sqlite3_value)
where
    F: Fn(&Call<'_>) -> Result<(), Failure>,
{
    // SAFETY: SQLite gives the context of this call, as many values as it says, and the pointer that `create` has registered,
    // which lasts as long as the function.
    let (registered, call) =
        unsafe { (ffi::sqlite3_user_data(context).cast::<Registered<F>>(), Call::new(context, count, values)) };
    // SAFETY: as above; no other reference to it is mutable.
    let registered = unsafe { &*registered };
    if registered.is_like {
        // SAFETY: this is the context of the running call of a function of `create`.
        unsafe { mark_as_like(context, count, ptr::from_ref(registered).cast(), registered.wildcards) };
    }
    call.answer(|| (registered.function)(&call));
}

/// Lets the query planner treat a function as it does SQLite's own LIKE and GLOB, which it answers from an index where the
/// pattern begins with letters (<https://sqlite.org/optoverview.html>). SQLite has no call for that: without it, every
/// function that replaces LIKE makes such queries read the whole table.
///
/// # Safety
///
/// `context` must be that of a running call.
#[allow(unsafe_code, reason = "see above")]
unsafe fn mark_as_like(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    user_data: *const c_void,
    wildcards: Wildcards,
) {
    // SAFETY: the layouts are those of the version that is asserted above, and of every one since 3.24. Before anything is
    // written, two members must hold what is known of this function. The definition belongs to this connection, which this
    // thread is using, and only the planner reads the flags; the planner reads three bytes of `user_data`, which are those
    // of `Wildcards`.
    unsafe {
        let function = (*context.cast::<ContextHead>()).function;
        let wanted = FUNC_LIKE | if wildcards.ignores_case { 0 } else { FUNC_CASE };
        if ptr::eq((*function).user_data, user_data) && c_int::from((*function).arguments) == count {
            (*function).flags |= wanted;
        }
    }
}

/// Frees what SQLite has kept for a function.
#[allow(unsafe_code, reason = "see the module")]
unsafe extern "C" fn destroy<F>(registered: *mut c_void) {
    // SAFETY: the pointer is the one of `create`, and SQLite calls this once.
    drop(unsafe { Box::from_raw(registered.cast::<Registered<F>>()) });
}
