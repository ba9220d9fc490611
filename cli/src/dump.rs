//! Makes a script with a transaction of its own, above all the output of `sqlite3 old.db .dump`, fit for a batch.
//!
//! A batch is a transaction already, and the daemon refuses BEGIN and COMMIT in it. Around a whole script they mean just
//! that, so they are left out. Before them a dump has `PRAGMA foreign_keys=OFF`, because its tables come in any order;
//! that setting belongs to a connection and is refused, too, and what the dump needs of it is
//! `PRAGMA defer_foreign_keys=ON`: <https://sqlite.org/pragma.html#pragma_defer_foreign_keys>.

use crate::source::SourceStatement;

/// Takes BEGIN and COMMIT away, if they are around everything but PRAGMAs. Otherwise nothing is changed.
pub(crate) fn unwrap_transaction(statements: &mut Vec<SourceStatement<'_>>) {
    let is = |pattern: fn(&str) -> bool| move |statement: &SourceStatement<'_>| pattern(statement.sql);
    let Some(begin) = statements.iter().position(|statement| !is_pragma(statement.sql)) else { return };
    let Some(commit) = statements.iter().rposition(|statement| !is_pragma(statement.sql)) else { return };
    let alone = statements.iter().filter(|statement| is_begin(statement.sql) || is_commit(statement.sql)).count() == 2;
    if !(alone && is(is_begin)(&statements[begin]) && is(is_commit)(&statements[commit])) {
        return;
    }
    for statement in &mut statements[..begin] {
        if words(statement.sql) == ["PRAGMA", "FOREIGN_KEYS", "OFF"] {
            statement.sql = "PRAGMA defer_foreign_keys = ON";
        }
    }
    statements.remove(commit);
    statements.remove(begin);
}

fn is_pragma(sql: &str) -> bool {
    starts_with_word(sql, "PRAGMA")
}

fn is_begin(sql: &str) -> bool {
    starts_with_word(sql, "BEGIN")
        && words(sql)[1..]
            .iter()
            .all(|word| ["DEFERRED", "IMMEDIATE", "EXCLUSIVE", "TRANSACTION"].contains(&word.as_str()))
}

fn is_commit(sql: &str) -> bool {
    (starts_with_word(sql, "COMMIT") || starts_with_word(sql, "END"))
        && words(sql)[1..].iter().all(|word| word == "TRANSACTION")
}

fn starts_with_word(sql: &str, word: &str) -> bool {
    let beginning = sql.get(..word.len()).unwrap_or("");
    let next = sql[beginning.len()..].chars().next();
    beginning.eq_ignore_ascii_case(word) && next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
}

fn words(sql: &str) -> Vec<String> {
    let words = sql.split(|character: char| character.is_ascii_whitespace() || character == '=');
    words.filter(|word| !word.is_empty()).map(str::to_ascii_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_one_batch() {
        let dump = ["PRAGMA foreign_keys=OFF", "BEGIN TRANSACTION", "CREATE TABLE t(a)", "COMMIT"];
        assert_eq!(unwrapped(&dump), ["PRAGMA defer_foreign_keys = ON", "CREATE TABLE t(a)"]);
        let dump = ["begin\nimmediate", "SELECT 1", "End Transaction", "PRAGMA user_version = 5"];
        assert_eq!(unwrapped(&dump), ["SELECT 1", "PRAGMA user_version = 5"]);
        assert!(unwrapped(&["BEGIN", "COMMIT"]).is_empty());
    }

    #[test]
    fn any_other_script_is_left_alone() {
        let scripts: [&[&str]; 8] = [
            &[],
            &["PRAGMA foreign_keys=OFF", "SELECT 1"],
            &["BEGIN"],
            &["SELECT 1", "BEGIN", "COMMIT"],
            &["BEGIN", "SELECT 1"],
            &["BEGIN", "SELECT 1", "COMMIT", "BEGIN", "SELECT 2", "COMMIT"],
            &["BEGIN", "SELECT 1", "ROLLBACK"],
            &["BEGINNING", "SELECT 1", "ENDING"],
        ];
        for script in scripts {
            assert_eq!(unwrapped(script), script);
        }
    }

    fn unwrapped<'a>(script: &[&'a str]) -> Vec<&'a str> {
        let mut statements = script.iter().map(|sql| SourceStatement { sql, line: 1, source: None }).collect();
        unwrap_transaction(&mut statements);
        statements.iter().map(|statement| statement.sql).collect()
    }
}
