//! Whether a statement can be stopped soon after any moment, from the program that SQLite compiles it to. SQLite asks the
//! progress handler between operations; so none of them may take long itself. Most work on one row. Those that do not, such
//! as to count a table's rows (Count) or to call a function on a large value, make a statement one for the pool.

use super::{connection::GuardedConnection, policy::Author, sqlite3::memory::Allowance};

/// Operations that work on no more than a row (<https://sqlite.org/opcode.html>).
const SHORT_OPERATIONS: &[&str] = &[
    "Add",
    "AddImm",
    "Affinity",
    "And",
    "BitAnd",
    "BitNot",
    "BitOr",
    "BeginSubrtn",
    "Blob",
    "Cast",
    "Close",
    "ClrSubtype",
    "CollSeq",
    "Column",
    "Compare",
    "Concat",
    "Copy",
    "DecrJumpZero",
    "DeferredSeek",
    "Delete",
    "Divide",
    "ElseEq",
    "EndCoroutine",
    "Eq",
    "Filter",
    "FilterAdd",
    "FinishSeek",
    "Found",
    "Ge",
    "GetSubtype",
    "Gosub",
    "Goto",
    "Gt",
    "Halt",
    "HaltIfNull",
    "IdxGE",
    "IdxGT",
    "IdxInsert",
    "IdxLE",
    "IdxLT",
    "IdxRowid",
    "If",
    "IfEmpty",
    "IfNoHope",
    "IfNot",
    "IfNotOpen",
    "IfNotZero",
    "IfNullRow",
    "IfPos",
    "IfSizeBetween",
    "Init",
    "InitCoroutine",
    "Insert",
    "Int64",
    "Integer",
    "IsNull",
    "IsTrue",
    "IsType",
    "Jump",
    "Last",
    "Le",
    "Lt",
    "MakeRecord",
    "MemMax",
    "Move",
    "Multiply",
    "MustBeInt",
    "Ne",
    "NewRowid",
    "Next",
    "NoConflict",
    "Noop",
    "Not",
    "NotExists",
    "NotFound",
    "NotNull",
    "Null",
    "NullRow",
    "OffsetLimit",
    "Once",
    "OpenAutoindex",
    "OpenDup",
    "OpenEphemeral",
    "OpenPseudo",
    "OpenRead",
    "Or",
    "Permutation",
    "Prev",
    "ReadCookie",
    "Real",
    "RealAffinity",
    "Remainder",
    "ReopenIdx",
    "ReleaseReg",
    "ResetCount",
    "ResetSorter",
    "ResultRow",
    "Return",
    "Rewind",
    "RowData",
    "RowSetAdd",
    "RowSetRead",
    "RowSetTest",
    "Rowid",
    "SCopy",
    "SeekEnd",
    "SeekGE",
    "SeekGT",
    "SeekHit",
    "SeekLE",
    "SeekLT",
    "SeekRowid",
    "SeekScan",
    "Sequence",
    "SequenceTest",
    "SetSubtype",
    "ShiftLeft",
    "ShiftRight",
    "SoftNull",
    "Sort",
    "SorterCompare",
    "SorterData",
    "SorterInsert",
    "SorterNext",
    "SorterOpen",
    "SorterSort",
    "String",
    "String8",
    "Subtract",
    "TableLock",
    "Transaction",
    "Variable",
    "Yield",
    "ZeroOrNull",
];

/// Operations that call a function.
const CALLS: &[&str] = &["AggFinal", "AggStep", "AggStep1", "AggValue", "Function", "PureFunc"];

/// Functions that are linear in arguments as short as those of short reads are. `name(number of arguments)` is how SQLite
/// writes them in a program.
const SHORT_FUNCTIONS: &[&str] = &[
    "abs",
    "avg",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "count",
    "date",
    "datetime",
    "floor",
    "hex",
    "ifnull",
    "iif",
    "json",
    "json_array",
    "json_array_length",
    "json_extract",
    "json_object",
    "json_quote",
    "json_type",
    "json_valid",
    "julianday",
    "length",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nullif",
    "octet_length",
    "quote",
    "random",
    "round",
    "rtrim",
    "sign",
    "strftime",
    "substr",
    "substring",
    "sum",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "upper",
    "instr",
    "replace",
    "->",
    "->>",
];

/// A call with more arguments may go over a document once for each of them.
const SHORT_CALL_MAX_ARGUMENTS: usize = 8;

/// Whether every operation of a statement is short. The text is one that compiles.
pub(super) fn is_short(connection: &GuardedConnection, sql: &str) -> bool {
    connection.policy.set_author(Author::Client);
    let _allowance = Allowance::begin(connection.statement_bytes, &connection.watch);
    let program = || -> rusqlite::Result<bool> {
        let mut explain = connection.sqlite.prepare(&format!("EXPLAIN {sql}"))?;
        let mut operations = explain.raw_query();
        while let Some(operation) = operations.next()? {
            if !is_short_operation(operation.get_ref(1)?.as_str()?, operation.get_ref(5)?.as_str_or_null()?) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    program().unwrap_or(false)
}

fn is_short_operation(name: &str, p4: Option<&str>) -> bool {
    if CALLS.contains(&name) {
        return p4.and_then(|p4| p4.strip_suffix(')')?.split_once('(')).is_some_and(|(function, arguments)| {
            SHORT_FUNCTIONS.contains(&function)
                && arguments.parse::<usize>().is_ok_and(|arguments| arguments <= SHORT_CALL_MAX_ARGUMENTS)
        });
    }
    SHORT_OPERATIONS.contains(&name)
}
