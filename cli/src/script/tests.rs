use std::ffi::CString;

use super::*;

const HARD_CASES: [&str; 38] = [
    "",
    ";",
    ";;;",
    " \t\r\n\x0c;",
    "\x0b;",
    "-- only a comment",
    "-- a comment\n;",
    "/* only a comment */",
    "/* a comment */;",
    "SELECT 1",
    "SELECT 1; ",
    "SELECT 1; -- done",
    "SELECT 1; /* done */",
    "SELECT 1; /* not done",
    "SELECT 1; /*/",
    "SELECT 1 - -1;",
    "SELECT 4/2;",
    "SELECT ';';",
    "SELECT 'it''s; fine';",
    "SELECT 'not fine;",
    "SELECT \"a;b\", `c;d`, [e;f];",
    "SELECT [a]]b;",
    "SELECT '--'; -- '",
    "SELECT /* ; */ 1;",
    "CREATE TABLE trigger_t(a);",
    "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;",
    "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
    "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;",
    "create temp trigger t after insert on a begin select case when 1 then 2 end; end;",
    "CREATE TEMPORARY TRIGGER t BEGIN SELECT 1; SELECT 2; /* ; */ END -- ;\n;",
    "CREATE /* a */ TRIGGER t BEGIN SELECT 1;; END;",
    "CREATE TRIGGER t BEGIN SELECT 1; END of; END;",
    "CREATE TRIGGER t BEGIN SELECT 1; ENDING; END;",
    "EXPLAIN CREATE TRIGGER t BEGIN SELECT 1; END;",
    "EXPLAIN QUERY PLAN CREATE TRIGGER t BEGIN SELECT 1;",
    "EXPLAIN EXPLAIN CREATE TRIGGER t BEGIN SELECT 1;",
    "CREATE UNIQUE TRIGGER t BEGIN SELECT 1;",
    "SELECT CREATE TRIGGER; é$1;",
];

#[test]
fn statements_end_where_sqlite_says_so() {
    for case in HARD_CASES {
        for (end, _) in case.char_indices().chain([(case.len(), ' ')]) {
            assert_eq!(is_complete(&case[..end]), sqlite3_complete(&case[..end]), "{:?}", &case[..end]);
        }
    }
}

#[test]
fn statements_end_where_sqlite_says_so_in_any_soup_of_tokens() {
    const TOKENS: [&str; 30] = [
        ";",
        ";",
        ";",
        " ",
        " ",
        " ",
        "\n",
        "CREATE",
        "create",
        "TEMP",
        "temporary",
        "TRIGGER",
        "trigger",
        "END",
        "END",
        "end",
        "EXPLAIN",
        "QUERY",
        "BEGIN",
        "x",
        "ü",
        "1",
        "'",
        "\"",
        "`",
        "[",
        "]",
        "--",
        "/*",
        "*/",
    ];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).expect("31 bits") % below
    };
    for _ in 0..100_000 {
        // Most often with blanks between the tokens: otherwise no keyword would be seen as one.
        let blank = ["", " ", " ", "\n"][next(4)];
        let soup: Vec<&str> = (0..=next(16)).map(|_| TOKENS[next(TOKENS.len())]).collect();
        let soup = soup.join(blank);
        assert_eq!(is_complete(&soup), sqlite3_complete(&soup), "{soup:?}");
    }
}

#[test]
fn every_statement_comes_with_its_line() {
    let script = "\u{feff}-- head\r\nCREATE TABLE t(a); ;\n/* two\nlines */ INSERT INTO t\r\nVALUES (';'); -- end\n\
                  CREATE TRIGGER r AFTER INSERT ON t BEGIN\n  SELECT 1;\n  SELECT 2;\nEND;\n\u{feff}SELECT 3 -- last\n";
    let expected = [
        (2, "CREATE TABLE t(a)"),
        (4, "INSERT INTO t\r\nVALUES (';')"),
        (6, "CREATE TRIGGER r AFTER INSERT ON t BEGIN\n  SELECT 1;\n  SELECT 2;\nEND"),
        (10, "SELECT 3"),
    ];
    let statements = split(script.as_bytes()).expect("a good script");
    let statements: Vec<_> = statements.iter().map(|statement| (statement.line, statement.sql)).collect();
    assert_eq!(statements, expected);
}

#[test]
fn blanks_and_comments_are_no_statements() {
    for script in ["", "\u{feff}", " ;\n; ", "-- a", "/* a */ ; -- b\n;"] {
        assert_eq!(split(script.as_bytes()), Ok(Vec::new()), "{script:?}");
    }
}

#[test]
fn a_script_without_an_end_is_refused_with_the_line_where_it_began() {
    let unterminated = |what, line, statement| Err(ScriptError::Unterminated { what, line, statement });
    let cases: [(&[u8], _); 7] = [
        (b"SELECT 1;\nSELECT\n'a", unterminated("the string ('\u{2026}')", 3, 2)),
        (b"SELECT 1;\n\n/* a\n\n", unterminated("the comment (/* \u{2026} */)", 3, 3)),
        (b"SELECT \"a;\n", unterminated("the name (\"\u{2026}\")", 1, 1)),
        (b"SELECT 1\n, [a;\n", unterminated("the name ([\u{2026}])", 2, 1)),
        (b"\nCREATE TRIGGER t BEGIN\nSELECT 1;", Err(ScriptError::UnterminatedTrigger { line: 2 })),
        (b"SELECT 1;\nSELECT '\xff';", Err(ScriptError::NotUtf8 { line: 2 })),
        (b"S\0E\0", Err(ScriptError::Nul { line: 1 })),
    ];
    for (script, expected) in cases {
        assert_eq!(split(script), expected, "{}", String::from_utf8_lossy(script));
    }
}

#[test]
fn a_long_script_is_split_in_linear_time() {
    let statement = "INSERT INTO t VALUES ('some text', 1, 2.5, x'00');\n";
    let script = statement.repeat(400_000);
    let statements = split(script.as_bytes()).expect("a good script");
    assert_eq!(statements.len(), 400_000);
    assert_eq!(statements.last().map(|statement| statement.line), Some(400_000));
}

/// What `sqlite3_complete()` is asked, answered by this module.
fn is_complete(sql: &str) -> bool {
    let mut semicolon = false;
    let mut state = State::Start;
    for (token, _) in (Tokens { script: sql.as_bytes(), position: 0 }) {
        if matches!(token, Token::Unterminated(_)) {
            return false;
        }
        semicolon |= token == Token::Semicolon;
        state = state.after(token);
    }
    semicolon && state == State::Start
}

#[allow(unsafe_code, reason = "rusqlite has no safe function for it")]
fn sqlite3_complete(sql: &str) -> bool {
    let sql = CString::new(sql).expect("no NUL");
    // SAFETY: the pointer is that of a C string which outlives the call.
    unsafe { rusqlite::ffi::sqlite3_complete(sql.as_ptr()) != 0 }
}
