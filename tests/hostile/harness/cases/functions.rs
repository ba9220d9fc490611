//! Functions with large arguments. Each is one opcode: SQLite looks at nothing until it returns.

use crate::harness::case::{Case, Way, query, read};

pub(super) fn cases() -> Vec<Case> {
    [huge(), near_the_limit()].into_iter().flatten().collect()
}

fn huge() -> Vec<Case> {
    vec![
        read("instr", "SELECT instr(printf('%.*c',4000000,'a'), printf('%.*cb',2000000,'a'))"),
        read("instr, independent", "SELECT instr(printf('%.*c',4000000,'a'), printf('%.*cb',2000001,'a'))")
            .by(Way::Independent),
        read("instr, unary", "SELECT instr(printf('%.*c',4000000,'a'), printf('%.*cb',2000002,'a'))").by(Way::Unary),
        query("instr, query", "SELECT instr(printf('%.*c',4000000,'a'), printf('%.*cb',2000003,'a'))"),
        read("instr of blobs", "SELECT instr(zeroblob(4000000), CAST(zeroblob(2000000) || 'b' AS BLOB) || x'01')"),
        read("replace", "SELECT length(replace(printf('%.*c',4000000,'a'), printf('%.*cb',2000000,'a'), 'x'))"),
        read("replace that grows", "SELECT length(replace(printf('%.*c',900000,'a'), 'a', printf('%.*c',1000,'b')))"),
        read("LIKE with many %", "SELECT printf('%.*c',1000000,'a') LIKE '%a%a%a%a%a%a%a%b'"),
        read("LIKE with many _", "SELECT printf('%.*c',1000000,'a') LIKE '%_a_a_a_a_a_a%_a_a_a%_b'"),
        read(
            "LIKE with a long pattern",
            "SELECT printf('%.*c',1000000,'a') LIKE '%' || printf('%.*c',40000,'a') || 'b'",
        ),
        read("LIKE with ESCAPE", "SELECT printf('%.*c',1000000,'a') LIKE '%a%a%a%a%a\\%%b' ESCAPE '\\'"),
        read("GLOB with many *", "SELECT printf('%.*c',1000000,'a') GLOB '*a*a*a*a*a*a*a*b'"),
        read("GLOB with sets", "SELECT printf('%.*c',1000000,'a') GLOB '*[a-m]*[a-n]*[^b-z]*[!x]*[a-c]*b'"),
        read("hex", "SELECT length(hex(zeroblob(450000000)))"),
        read("unhex", "SELECT length(unhex(printf('%.*c',200000000,'a'), 'x'))"),
        read(
            "unhex with many ignored",
            "SELECT length(unhex(printf('%.*cbb',1000000,'x'), printf('%.*cx',100000,'y')))",
        ),
        read("quote", "SELECT length(quote(randomblob(400000000)))"),
        read("printf with a wide column", "SELECT length(printf('%900000000d', 1))"),
        read("printf with many digits", "SELECT length(printf('%.90000000f', 1.0))"),
        read("printf %q", "SELECT length(printf('%Q', printf('%.*c',300000000,'''')))"),
        read("trim of many characters", "SELECT length(trim(printf('%.*c',1000000,'a'), printf('%.*ca',100000,'b')))"),
        read("ltrim of a large text", "SELECT length(ltrim(printf('%.*c',800000000,'a'), 'a'))"),
        read("group_concat", "SELECT length(group_concat(t, printf('%.*c',3000,'x'))) FROM big"),
        read("zeroblob", "SELECT length(CAST(zeroblob(900000000) AS TEXT) || 'x')"),
        read("randomblob", "SELECT length(randomblob(900000000))"),
        read("many randomblobs", "SELECT sum(length(randomblob(20000000))) FROM big"),
        read("char", "SELECT length(replace(printf('%.*c',300000,'a'), 'a', char(65,66,67,68,128512,70,71,128513)))"),
        read("substr from the end", "SELECT sum(length(substr(l.t, -3, 1))) FROM large l, big"),
        read("length of a text", "SELECT length(printf('%.*c',900000000,'a'))"),
        read("upper", "SELECT length(upper(printf('%.*c',400000000,'a')))"),
        read("soundex", "SELECT soundex(printf('%.*c',400000000,'a'))"),
        read("strftime", "SELECT length(strftime(replace(printf('%.*c',3000000,'x'),'x','%c%J%s'), 'now'))"),
        read("cast of many digits", "SELECT CAST(printf('%.*c',800000000,'1') AS REAL)"),
        read(
            "comparison of large texts",
            "SELECT printf('%.*ca',300000000,'a') = printf('%.*cb',300000000,'a') COLLATE NOCASE",
        ),
        read("concatenation", "SELECT length(a || a || a || a) FROM (SELECT printf('%.*c',200000000,'a') AS a)"),
        read("like() by name", "SELECT like('%' || printf('%.*cb',40000,'a'), printf('%.*c',1000000,'a'))"),
        read(
            "LIKE with % and a row of _",
            "SELECT printf('%.*c',1000000,'a') LIKE '%' || replace(printf('%.*c',20000,'a'),'a','_a') || 'b'",
        ),
        read("GLOB with a long pattern", "SELECT printf('%.*c',1000000,'a') GLOB '*' || printf('%.*cb',40000,'a')"),
        read("concat_ws", "SELECT length(concat_ws(a,a,a,a,a,a,a,a,a)) FROM (SELECT printf('%.*c',50000000,'a') AS a)"),
        read("unistr", "SELECT length(unistr(replace(printf('%.*c',30000000,'a'),'a','\\0041')))"),
        read("instr of each row", "SELECT sum(instr(t, 'zzz')) FROM big, (SELECT 1 UNION ALL SELECT 2)"),
    ]
}

/// The same with values that are just below 64 MB.
fn near_the_limit() -> Vec<Case> {
    vec![
        read("hex, 60 MB", "SELECT length(hex(zeroblob(30000000)))"),
        read("hex of each row, 60 MB", "SELECT sum(length(hex(zeroblob(30000000 + (id & 1))))) FROM big"),
        read("quote, 60 MB", "SELECT length(quote(randomblob(30000000)))"),
        read("randomblob, 60 MB", "SELECT length(randomblob(60000000))"),
        read("printf with a wide column, 60 MB", "SELECT length(printf('%60000000d', 1))"),
        read("printf with many digits, 60 MB", "SELECT length(printf('%.60000000f', 1.0))"),
        read("upper, lower and length, 60 MB", "SELECT length(upper(lower(printf('%.*c',60000000,'a'))))"),
        read(
            "cast of many digits, 60 MB",
            "SELECT CAST(printf('%.*c',60000000,'1') AS REAL), CAST(printf('%.*c',60000000,'1') AS NUMERIC)",
        ),
        read("strftime, 60 MB", "SELECT length(strftime(replace(printf('%.*c',6000000,'x'),'x','%c%J'), 'now'))"),
        read("group_concat, 60 MB", "SELECT length(group_concat(t, printf('%.*c',150,'x'))) FROM big"),
        read(
            "substr of a text, 60 MB",
            "SELECT sum(length(substr(a, -id, 1))) FROM big, (SELECT printf('%.*c',60000000,'a') AS a)",
        ),
        read(
            "max() of large values",
            "SELECT max(a || id, a || k) > '' FROM big, (SELECT printf('%.*c',60000000,'a') AS a)",
        ),
    ]
}
