//! Auxiliary functions of FTS5 of the daemon's own, on its extension interface
//! (<https://sqlite.org/fts5.html#extending_fts5>), for which rusqlite has nothing.

use std::{
    any::Any,
    ffi::{CStr, c_char, c_int, c_void},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
};

use rusqlite::{Connection, ffi};

use super::sqlite3_function::{Call, Failure};

/// The row of an FTS5 table for which a function is called, and the query that has found it.
#[derive(Clone, Copy)]
pub(super) struct Row<'c> {
    api: &'c ffi::Fts5ExtensionApi,
    context: *mut ffi::Fts5Context,
}

/// Where in the row a phrase of the query is found: ordered by column and offset.
#[derive(Clone)]
pub(super) struct Positions<'c> {
    row: Row<'c>,
    iterator: ffi::Fts5PhraseIter,
    column: c_int,
    offset: c_int,
}

/// Calls a method of FTS5's interface.
macro_rules! method {
    ($row:expr, $name:ident $(, $argument:expr)*) => {
        match $row.api.$name {
            Some(method) => Ok(method($row.context $(, $argument)*)),
            None => Err(Failure::Code(ffi::SQLITE_ERROR)),
        }
    };
}

/// Makes `name` this auxiliary function, on all FTS5 tables of the connection.
pub(super) fn create<F>(connection: &Connection, name: &CStr, function: F) -> rusqlite::Result<()>
where
    F: Fn(&Call<'_>, Row<'_>) -> Result<(), Failure> + Send + 'static,
{
    let api = api_of(connection)?;
    let registered = Box::into_raw(Box::new(function));
    // SAFETY: FTS5's interface lasts as long as the connection. FTS5 copies the name, and owns `registered` from here on, which
    // it hands to `destroy` once, when the connection is closed. `F` is `Send`, and SQLite uses it on one thread at a time.
    #[allow(unsafe_code, reason = "see the module")]
    let code = unsafe {
        match (*api).xCreateFunction {
            Some(create) => create(api, name.as_ptr(), registered.cast(), Some(call::<F>), Some(destroy::<F>)),
            None => ffi::SQLITE_ERROR,
        }
    };
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    // SAFETY: FTS5 does not destroy what it has refused, and this is the box from above.
    #[allow(unsafe_code, reason = "see the module")]
    drop(unsafe { Box::from_raw(registered) });
    Err(failure(code))
}

/// FTS5's interface on a connection, which FTS5 hands out through a pointer that is bound to a statement.
fn api_of(connection: &Connection) -> rusqlite::Result<*mut ffi::fts5_api> {
    let mut api: *mut ffi::fts5_api = ptr::null_mut();
    // SAFETY: the handle is valid for as long as `connection` is borrowed. The statement writes to `api` while it is stepped,
    // and is finalised before this returns; a null statement may be finalised, too.
    #[allow(unsafe_code, reason = "see the module")]
    let code = unsafe {
        let mut statement = ptr::null_mut();
        let sql = c"SELECT fts5(?1)";
        let mut code =
            ffi::sqlite3_prepare_v2(connection.handle(), sql.as_ptr(), -1, &raw mut statement, ptr::null_mut());
        if code == ffi::SQLITE_OK {
            let place: *mut *mut ffi::fts5_api = &raw mut api;
            code = ffi::sqlite3_bind_pointer(statement, 1, place.cast(), c"fts5_api_ptr".as_ptr(), None);
        }
        if code == ffi::SQLITE_OK {
            ffi::sqlite3_step(statement);
            code = ffi::sqlite3_finalize(statement);
        } else {
            ffi::sqlite3_finalize(statement);
        }
        code
    };
    match code {
        ffi::SQLITE_OK if !api.is_null() => Ok(api),
        ffi::SQLITE_OK => Err(failure(ffi::SQLITE_ERROR)),
        code => Err(failure(code)),
    }
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

#[allow(unsafe_code, reason = "see the module; each call has the row's own context, which outlives the row")]
impl<'c> Row<'c> {
    /// How many columns the table has.
    pub(super) fn column_count(self) -> Result<c_int, Failure> {
        // SAFETY: see the impl.
        unsafe { method!(self, xColumnCount) }
    }

    /// How many phrases the query has; none when the table is read without MATCH.
    pub(super) fn phrase_count(self) -> Result<usize, Failure> {
        // SAFETY: see the impl.
        let count = unsafe { method!(self, xPhraseCount) }?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// How many tokens a phrase has.
    pub(super) fn phrase_size(self, phrase: usize) -> Result<c_int, Failure> {
        // SAFETY: see the impl; FTS5 allows any number.
        unsafe { method!(self, xPhraseSize, number(phrase)) }
    }

    /// Where a phrase is found. SQLite's own functions ask for the instances of all phrases in order (`xInst`): FTS5 then compares
    /// all phrases for each instance, and keeps all instances in memory.
    pub(super) fn positions(self, phrase: usize) -> Result<Positions<'c>, Failure> {
        let iterator = ffi::Fts5PhraseIter { a: ptr::null(), b: ptr::null() };
        let mut positions = Positions { row: self, iterator, column: -1, offset: -1 };
        let Positions { iterator, column, offset, .. } = &mut positions;
        // SAFETY: see the impl; the pointers are to live variables.
        check(unsafe { method!(self, xPhraseFirst, number(phrase), iterator, column, offset) }?)?;
        Ok(positions)
    }

    /// The text of a column; `None` if it is NULL or not stored.
    pub(super) fn text(self, column: c_int) -> Result<Option<&'c [u8]>, Failure> {
        let (mut text, mut length): (*const c_char, c_int) = (ptr::null(), 0);
        // SAFETY: as above. FTS5 keeps the text where it is until its cursor leaves the row, which is after the call.
        unsafe {
            check(method!(self, xColumnText, column, &raw mut text, &raw mut length)?)?;
            let length = usize::try_from(length).unwrap_or(0);
            Ok((!text.is_null()).then(|| slice::from_raw_parts(text.cast(), length)))
        }
    }

    /// How many tokens a column has, or all of them for -1.
    pub(super) fn size(self, column: c_int) -> Result<c_int, Failure> {
        let mut size = 0;
        // SAFETY: as above.
        check(unsafe { method!(self, xColumnSize, column, &raw mut size) }?)?;
        Ok(size)
    }

    /// How many rows the table has.
    pub(super) fn row_count(self) -> Result<i64, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        check(unsafe { method!(self, xRowCount, &raw mut count) }?)?;
        Ok(count)
    }

    /// How many tokens all rows of the table have.
    pub(super) fn table_size(self) -> Result<i64, Failure> {
        let mut size = 0;
        // SAFETY: as above.
        check(unsafe { method!(self, xColumnTotalSize, -1, &raw mut size) }?)?;
        Ok(size)
    }

    /// Splits a column's text into tokens, and hands on where each begins and ends, until told to stop. Leaves out what a tokenizer adds in the same
    /// place, such as synonyms.
    pub(super) fn tokenize(
        self,
        column: c_int,
        text: &[u8],
        mut each: impl FnMut(usize, usize) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let (mut locale, mut locale_length): (*const c_char, c_int) = (ptr::null(), 0);
        let mut visit = Visit { each: &mut each, stopped: None };
        let context = (&raw mut visit).cast();
        // SAFETY: as above. The locale stays where it is as the text does, and FTS5 calls `visit_token` only during this call.
        let code = unsafe {
            check(method!(self, xColumnLocale, column, &raw mut locale, &raw mut locale_length)?)?;
            let start = text.as_ptr().cast();
            let length = number(text.len());
            method!(self, xTokenize_v2, start, length, locale, locale_length, context, Some(visit_token))?
        };
        visit.stopped.unwrap_or_else(|| check(code))
    }

    /// Calls `each` for each row of the table that contains a phrase.
    pub(super) fn rows_with(self, phrase: usize, mut each: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        let mut each = |_, _| each().map(ControlFlow::Continue);
        let mut visit = Visit { each: &mut each, stopped: None };
        let context = (&raw mut visit).cast();
        // SAFETY: as above; FTS5 calls `visit_row` only during this call.
        let code = unsafe { method!(self, xQueryPhrase, number(phrase), context, Some(visit_row)) }?;
        visit.stopped.unwrap_or_else(|| check(code))
    }

    /// What this function has kept for the query, if it is of this type.
    pub(super) fn kept<T: 'static>(self) -> Result<Option<&'c T>, Failure> {
        // SAFETY: as above. What a function of this module finds is what `keep` has put there, which stays until the query
        // ends, as `keep` replaces nothing.
        let kept = unsafe { method!(self, xGetAuxdata, 0)?.cast::<Box<dyn Any>>().as_ref() };
        Ok(kept.and_then(|kept| kept.downcast_ref()))
    }

    /// Keeps something for the query's further rows. Fails if something is kept already, to which there may be references.
    pub(super) fn keep<T: 'static>(self, value: T) -> Result<(), Failure> {
        // SAFETY: as above.
        if !unsafe { method!(self, xGetAuxdata, 0) }?.is_null() {
            return Err(Failure::Code(ffi::SQLITE_MISUSE));
        }
        let boxed: Box<Box<dyn Any>> = Box::new(Box::new(value));
        let kept = Box::into_raw(boxed).cast();
        // SAFETY: as above. FTS5 owns the box from here on, even if it fails, and hands it to `destroy` once.
        check(unsafe { method!(self, xSetAuxdata, kept, Some(destroy::<Box<dyn Any>>)) }?)
    }
}

impl Positions<'_> {
    /// The column and the offset of the phrase's first token.
    pub(super) fn current(&self) -> Option<(c_int, c_int)> {
        (self.column >= 0).then_some((self.column, self.offset))
    }

    /// Goes to the next one.
    pub(super) fn advance(&mut self) {
        // SAFETY: the row's context outlives the row. The iterator is in the positions of the row's cursor, which does not
        // move during the call, and has the column and the offset that FTS5 has given.
        #[allow(unsafe_code, reason = "see the module")]
        let outcome = unsafe {
            method!(self.row, xPhraseNext, &raw mut self.iterator, &raw mut self.column, &raw mut self.offset)
        };
        if outcome.is_err() {
            self.column = -1;
        }
    }
}

fn check(code: c_int) -> Result<(), Failure> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(Failure::Code(code)) }
}

fn number(number: usize) -> c_int {
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

/// What FTS5 calls back, and why it was stopped.
struct Visit<'v> {
    each: &'v mut dyn FnMut(usize, usize) -> Result<ControlFlow<()>, Failure>,
    stopped: Option<Result<(), Failure>>,
}

impl Visit<'_> {
    /// Returns the code that has FTS5 go on or stop.
    fn visit(&mut self, start: usize, end: usize) -> c_int {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.each)(start, end)));
        self.stopped = match outcome.unwrap_or_else(|_| Err(Failure::panicked())) {
            Ok(ControlFlow::Continue(())) => return ffi::SQLITE_OK,
            Ok(ControlFlow::Break(())) => Some(Ok(())),
            Err(failure) => Some(Err(failure)),
        };
        ffi::SQLITE_ABORT
    }
}

#[allow(unsafe_code, reason = "see the module")]
unsafe extern "C" fn visit_token(
    context: *mut c_void,
    flags: c_int,
    _token: *const c_char,
    _length: c_int,
    start: c_int,
    end: c_int,
) -> c_int {
    if flags & ffi::FTS5_TOKEN_COLOCATED != 0 {
        return ffi::SQLITE_OK;
    }
    // SAFETY: the pointer is the one of `tokenize`, which waits for FTS5 and does not use it meanwhile.
    let visit = unsafe { &mut *context.cast::<Visit<'_>>() };
    visit.visit(usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0))
}

#[allow(unsafe_code, reason = "see the module")]
unsafe extern "C" fn visit_row(
    _api: *const ffi::Fts5ExtensionApi,
    _row: *mut ffi::Fts5Context,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the pointer is the one of `rows_with`, which waits for FTS5 and does not use it meanwhile.
    unsafe { &mut *context.cast::<Visit<'_>>() }.visit(0, 0)
}

/// What FTS5 calls.
#[allow(unsafe_code, reason = "see the module")]
unsafe extern "C" fn call<F>(
    api: *const ffi::Fts5ExtensionApi,
    row: *mut ffi::Fts5Context,
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) where
    F: Fn(&Call<'_>, Row<'_>) -> Result<(), Failure>,
{
    // SAFETY: FTS5 gives its interface, the row, and the context and arguments of this call, all of which last longer than it.
    let (call, row) = unsafe { (Call::new(context, count, values), Row { api: &*api, context: row }) };
    call.answer(|| {
        if row.api.iVersion < API_VERSION {
            return Err(Failure::Code(ffi::SQLITE_ERROR));
        }
        // SAFETY: the pointer is the one that `create` has registered, which lasts as long as the function.
        let function = unsafe { &*method!(row, xUserData)?.cast::<F>() };
        function(&call, row)
    });
}

/// The version of FTS5's interface that has locales.
const API_VERSION: c_int = 4;

/// Frees what FTS5 has kept for a function or a query.
#[allow(unsafe_code, reason = "see the module")]
unsafe extern "C" fn destroy<T>(pointer: *mut c_void) {
    // SAFETY: the pointer is the box of `create` or `keep`, and FTS5 calls this once.
    drop(unsafe { Box::from_raw(pointer.cast::<T>()) });
}
