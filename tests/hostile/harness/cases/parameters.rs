//! Statements that were cheap, and become expensive: by their parameters, or because the data has grown.

use skylinedb::Value;

use crate::harness::case::{Case, Way, made, query, read, write};

fn short_and_short() -> Vec<Value> {
    vec!["aab".into(), "ab".into()]
}

pub(super) fn cases() -> Vec<Case> {
    [with_parameters(), of_data_that_grew()].into_iter().flatten().collect()
}

fn with_parameters() -> Vec<Case> {
    vec![
        read("instr(?, ?)", "SELECT instr(?1, ?2)")
            .warmed_with(short_and_short)
            .with(|| vec!["a".repeat(4_000_000).into(), ("a".repeat(2_000_000) + "b").into()]),
        read("instr(?, ?), 30 KB", "SELECT instr(?1, ?2) + 0")
            .warmed_with(short_and_short)
            .with(|| vec!["a".repeat(40_000).into(), ("a".repeat(20_000) + "b").into()])
            .by(Way::Independent),
        read("replace(?, ?, 'x')", "SELECT length(replace(?1, ?2, 'x'))")
            .warmed_with(short_and_short)
            .with(|| vec!["a".repeat(4_000_000).into(), ("a".repeat(2_000_000) + "b").into()]),
        read("? LIKE ?", "SELECT ?1 LIKE ?2")
            .warmed_with(short_and_short)
            .with(|| vec!["a".repeat(40_000).into(), format!("%{}b", "a".repeat(20_000)).into()])
            .by(Way::Independent),
        read("? GLOB ?", "SELECT ?1 GLOB ?2")
            .warmed_with(short_and_short)
            .with(|| vec!["a".repeat(1_000_000).into(), format!("*{}b", "a".repeat(40_000)).into()]),
        read("body LIKE ?", "SELECT id FROM (SELECT id, body FROM leafy LIMIT 200) WHERE body LIKE ?1")
            .warmed_with(|| vec!["row".into()])
            .with(|| vec![format!("%{}y", "x".repeat(2_000)).into()])
            .by(Way::Independent),
        read("json_patch(?, ?)", "SELECT length(json_patch(?1, ?2))")
            .warmed_with(|| vec!["{}".into(), "{}".into()])
            .with(|| {
                let object = |name: &str| {
                    let members: Vec<_> = (0..40_000).map(|i| format!("\"{name}{i}\":{i}")).collect();
                    Value::from(format!("{{{}}}", members.join(",")))
                };
                vec![object("a"), object("b")]
            }),
        read("zeroblob(?)", "SELECT length(hex(zeroblob(?1)))")
            .warmed_with(|| vec![1.into()])
            .with(|| vec![400_000_000.into()]),
        read("randomblob(?)", "SELECT length(randomblob(?1))")
            .warmed_with(|| vec![1.into()])
            .with(|| vec![900_000_000.into()]),
        read("printf(?)", "SELECT length(printf('%*d', ?1, 1))")
            .warmed_with(|| vec![1.into()])
            .with(|| vec![900_000_000.into()]),
        read("LIMIT ?", "SELECT sum(k) FROM (SELECT a.k FROM big a, point LIMIT ?1)")
            .warmed_with(|| vec![1.into()])
            .with(|| vec![(-1).into()])
            .interrupted(),
        read("OFFSET ?", "SELECT k FROM big LIMIT 1 OFFSET ?1")
            .warmed_with(|| vec![1.into()])
            .with(|| vec![299_999.into()])
            .answered(),
        read("id < ?", "SELECT sum(length(t)) FROM big WHERE id < ?1")
            .warmed_with(|| vec![2.into()])
            .with(|| vec![1_000_000_000.into()])
            .by(Way::Independent),
        read(
            "a recursion up to ?",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i) FROM n",
        )
        .warmed_with(|| vec![2.into()])
        .with(|| vec![1_000_000_000_000_i64.into()])
        .by(Way::Independent)
        .interrupted(),
        query("rows up to ?", "SELECT id, t FROM big WHERE id < ?1")
            .warmed_with(|| vec![2.into()])
            .with(|| vec![1_000_000_000.into()]),
        read("a text of 30 MB", "SELECT length(?1), upper(?1), ?1 LIKE '%b'")
            .with(|| vec!["a".repeat(30_000_000).into()]),
        read("a document of 20 MB", "SELECT json_array_length(?1)")
            .with(|| vec![format!("[{}1]", "1,".repeat(10_000_000)).into()]),
        made("32,766 parameters", || format!("SELECT 1 IN ({}?)", "?,".repeat(32_765))).with(|| vec![7.into(); 32_766]),
        read("a comparison of large keys", "SELECT count(*) FROM blob WHERE b > ?1")
            .warmed_with(|| vec![0.into()])
            .with(|| vec![Value::Blob(vec![0; 11_000_000])]),
        write("an UPDATE by ?", "UPDATE point SET name = replace(?1, ?2, name) WHERE id = 1")
            .warmed_with(short_and_short)
            .with(|| vec!["a".repeat(4_000_000).into(), ("a".repeat(2_000_000) + "b").into()]),
    ]
}

fn of_data_that_grew() -> Vec<Case> {
    vec![
        read("count(*) of a table that grew", "SELECT count(*) FROM grows")
            .after("CREATE TABLE grows(id INTEGER PRIMARY KEY, t TEXT)")
            .warmed()
            .after("INSERT INTO grows SELECT id, body FROM leafy")
            .by(Way::Independent)
            .spoils(),
        read("a point read whose row grew", "SELECT instr(t, u) FROM grows WHERE id = 1")
            .after("CREATE TABLE grows(id INTEGER PRIMARY KEY, t TEXT, u TEXT)")
            .after("INSERT INTO grows VALUES (1, 'aab', 'ab')")
            .warmed()
            .after("UPDATE grows SET t = printf('%.*c',4000000,'a'), u = printf('%.*cb',2000000,'a')")
            .by(Way::Independent)
            .spoils(),
        read("a point read whose pattern grew", "SELECT t LIKE u FROM grows WHERE id = 1")
            .after("CREATE TABLE grows(id INTEGER PRIMARY KEY, t TEXT, u TEXT)")
            .after("INSERT INTO grows VALUES (1, 'aab', 'ab')")
            .warmed()
            .after("UPDATE grows SET t = printf('%.*c',1000000,'a'), u = '%' || printf('%.*cb',40000,'a')")
            .by(Way::Independent)
            .spoils(),
        read("a point read whose blob grew", "SELECT hex(b) = '' FROM grows WHERE id = 1")
            .after("CREATE TABLE grows(id INTEGER PRIMARY KEY, b BLOB)")
            .after("INSERT INTO grows VALUES (1, x'00')")
            .warmed()
            .after("UPDATE grows SET b = zeroblob(48000000)")
            .by(Way::Independent)
            .spoils(),
    ]
}
