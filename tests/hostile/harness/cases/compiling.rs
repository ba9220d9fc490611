//! Statements that are hard to compile. The progress handler is not asked while SQLite compiles, unless it is reading the
//! schema.

use crate::harness::{
    case::{Case, Way, batch, made, query, read, write},
    tables::nested_views,
};

/// Common table expressions that join the one before with itself: SQLite copies each as often as it is named.
const NESTED: &str = "WITH a AS (SELECT 1 AS x), b AS (SELECT a.x FROM a, a y), c AS (SELECT b.x FROM b, b y), \
     d AS (SELECT c.x FROM c, c y), e AS (SELECT d.x FROM d, d y), f AS (SELECT e.x FROM e, e y), \
     g AS (SELECT f.x FROM f, f y), h AS (SELECT g.x FROM g, g y), i AS (SELECT h.x FROM h, h y), \
     j AS (SELECT i.x FROM i, i y), k AS (SELECT j.x FROM j, j y), l AS (SELECT k.x FROM k, k y), \
     m AS (SELECT l.x FROM l, l y), n AS (SELECT m.x FROM m, m y), o AS (SELECT n.x FROM n, n y), \
     p AS (SELECT o.x FROM o, o y)";

/// Two tables, joined by rows of so many columns: SQLite takes the square of that to compile it, and hardly any memory.
fn of_long_rows(columns: usize) -> String {
    format!("point a, point b WHERE ({0}a.id) = ({1}b.id)", "a.id,".repeat(columns), "b.id,".repeat(columns))
}

/// Texts that take the square of their length to compile.
pub(super) fn long_texts() -> Vec<Case> {
    vec![
        made("a comparison of long rows", || format!("SELECT count(*) FROM {}", of_long_rows(12_000))),
        made("a comparison of long rows in a write", || {
            format!("INSERT INTO written(x) SELECT 1 FROM {}", of_long_rows(12_000))
        }),
        batch("a comparison of long rows after a write", || {
            vec![
                "INSERT INTO written(x) VALUES (1)".into(),
                format!("INSERT INTO written(x) SELECT 1 FROM {}", of_long_rows(12_000)),
            ]
        }),
        made("USING the same column", || {
            format!(
                "INSERT INTO written(x) SELECT 1 FROM columns JOIN columns b USING({}c1)",
                "c1989,".repeat(1_000_000)
            )
        }),
        made("a list of one column", || {
            format!("INSERT INTO written(x) SELECT 1 IN ({}zz) FROM columns p, (SELECT 1 zz)", "zz,".repeat(500_000))
        }),
        made("an INSERT that names a column often", || {
            format!("INSERT INTO columns({}c1) VALUES (1)", "c1989,".repeat(1_000_000))
        }),
        made("a trigger of a long text", || {
            format!("CREATE TRIGGER long AFTER UPDATE OF {}id ON point BEGIN SELECT 1; END", "id,".repeat(1_000_000))
        })
        .stopped(),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let views = |case: Case| nested_views().into_iter().fold(case, Case::after).spoils();
    vec![
        made("nested CTEs", || format!("{NESTED} SELECT count(*) FROM p")).stopped(),
        made("nested CTEs, independent", || format!("{NESTED} SELECT count(*) + 1 FROM p")).by(Way::Independent).stopped(),
        made("nested CTEs, query", || format!("{NESTED} SELECT count(*) + 2 FROM p")).by(Way::Query).stopped(),
        made("nested CTEs, unary", || format!("{NESTED} SELECT count(*) + 3 FROM p")).by(Way::Unary).stopped(),
        made("nested CTEs in a write", || format!("INSERT INTO written(x) {NESTED} SELECT 1 FROM p")).stopped(),
        made("nested CTEs in EXPLAIN", || format!("EXPLAIN {NESTED} SELECT 1 FROM p")).stopped(),
        made("nested CTEs in CREATE TABLE AS", || format!("CREATE TABLE bomb AS {NESTED} SELECT 1 FROM p")).stopped(),
        made("nested CTEs in a subquery", || format!("SELECT 1 WHERE 1 IN ({NESTED} SELECT 1 FROM p)")).stopped(),
        made("nested CTEs in a view", || "SELECT * FROM bomb".into()).after(format!("CREATE VIEW bomb AS {NESTED} SELECT 1 FROM p")).spoils().stopped(),
        made("nested CTEs in a trigger", || "INSERT INTO fired VALUES (1)".into())
            .after("CREATE TABLE fired(x)")
            .after(format!("CREATE TRIGGER bomb AFTER INSERT ON fired BEGIN INSERT INTO written(x) SELECT * FROM ({NESTED} SELECT 1 FROM p); END"))
            .spoils()
            .stopped(),
        batch("a batch of nested CTEs", || (0..1_000).map(|i| format!("{NESTED} SELECT {i} FROM p")).collect()).stopped(),
        batch("a batch of nested CTEs after a write", || vec!["INSERT INTO written(x) VALUES (1)".into(), format!("{NESTED} SELECT 1 FROM p")]).stopped(),
        made("nested CTEs with all columns", || {
            let ctes: Vec<_> = (1..16).map(|i| format!("c{i} AS (SELECT * FROM c{0}, c{0} x)", i - 1)).collect();
            format!("WITH c0 AS (SELECT 1), {} SELECT * FROM c15", ctes.join(", "))
        })
        .stopped(),
        made("a chain of 3,000 CTEs", || {
            let ctes: Vec<_> = (1..3_000).map(|i| format!("c{i} AS (SELECT x + 1 AS x FROM c{})", i - 1)).collect();
            format!("WITH c0 AS (SELECT 1 AS x), {} SELECT * FROM c2999", ctes.join(", "))
        }),
        views(read("nested views", "SELECT count(*) FROM v16")).stopped(),
        views(read("nested views, table_info", "PRAGMA table_info(v16)")),
        views(read("nested views, table_list", "PRAGMA table_list")),
        views(write("nested views, RENAME TABLE", "ALTER TABLE point RENAME TO points")),
        views(write("nested views, RENAME COLUMN", "ALTER TABLE big RENAME COLUMN k TO kk")),
        views(write("nested views, DROP COLUMN", "ALTER TABLE big DROP COLUMN t")),
        read("a view that was cheap and explodes", "SELECT count(*) FROM redefined")
            .after("CREATE VIEW redefined AS SELECT 1")
            .warmed()
            .after("DROP VIEW redefined")
            .after(format!("CREATE VIEW redefined AS {NESTED} SELECT 1 FROM p"))
            .spoils()
            .stopped(),
        made("a join of 64 tables", || {
            let tables: Vec<_> = (0..64).map(|i| format!("point p{i}")).collect();
            let on: Vec<_> = (1..64).map(|i| format!("p{i}.id = p{}.id + 1", i - 1)).collect();
            format!("SELECT count(*) FROM {} WHERE {}", tables.join(", "), on.join(" AND "))
        }),
        made("a join of 64 tables with 60 indexes", || {
            let tables: Vec<_> = (0..64).map(|i| format!("indexed p{i}")).collect();
            let on: Vec<_> = (0..900).map(|i| format!("p{}.c{} = p{}.c{}", i % 64, i % 60, (i * 7 + 1) % 64, (i * 13) % 60)).collect();
            format!("SELECT count(*) FROM {} WHERE {}", tables.join(", "), on.join(" AND "))
        }),
        made("OR over 60 indexes in a join", || {
            let or: Vec<_> = (0..900).map(|i| format!("a.c{} = b.c{}", i % 60, (i / 60) % 60)).collect();
            format!("SELECT count(*) FROM indexed a, indexed b, indexed c, indexed d WHERE ({}) AND ({})", or.join(" OR "), or.join(" OR ").replace("a.", "c.").replace("b.", "d."))
        }),
        made("joins of 1,990 columns", || {
            let selected: Vec<_> = (0..1_990).map(|i| format!("a.c{i} = b.c{i}")).collect();
            format!("SELECT {} FROM columns a NATURAL JOIN columns b NATURAL JOIN columns c", selected.join(", "))
        }),
        read("NATURAL JOIN of 1,990 columns", "SELECT 1 FROM columns NATURAL JOIN columns b NATURAL JOIN columns c NATURAL JOIN columns d"),
        made("an IN list of a million", || format!("SELECT 1 IN ({}0)", (0..1_000_000).fold(String::new(), |list, i| list + &i.to_string() + ","))),
        made("an IN list of subqueries", || format!("SELECT 1 IN ({}(SELECT 1))", "(SELECT 1),".repeat(100_000))),
        made("CASE with 100,000 branches", || format!("SELECT CASE 0 {} END", (1..100_000).fold(String::new(), |list, i| list + &format!("WHEN {i} THEN {i} ")))),
        made("VALUES of 500,000 rows", || format!("SELECT count(*) FROM (VALUES {}(0))", "(1),".repeat(500_000))),
        made("an expression that is too deep", || format!("SELECT {}1", "1+".repeat(500_000))).refused(),
        made("parentheses that are too deep", || format!("SELECT {}1{}", "(".repeat(500_000), ")".repeat(500_000))).refused(),
        made("subqueries within subqueries", || format!("SELECT {}1{}", "(SELECT ".repeat(900), ")".repeat(900))),
        made("a compound of 500", || format!("SELECT count(*) FROM ({}SELECT 1) a, ({}SELECT 1) b", "SELECT 1 UNION ".repeat(499), "SELECT 1 UNION ALL ".repeat(499))),
        made("a compound joined with a compound", || {
            let compound = format!("{}SELECT id FROM point", "SELECT id FROM point UNION ALL ".repeat(499));
            format!("SELECT count(*) FROM ({compound}) a, ({compound}) b, ({compound}) c WHERE a.id = b.id AND b.id = c.id")
        }),
        made("2,000 aggregates", || format!("SELECT {}1 FROM big", (0..1_990).fold(String::new(), |list, i| list + &format!("sum(k + {i}),")))),
        made("2,000 windows", || format!("SELECT {}1 FROM point", (0..1_990).fold(String::new(), |list, i| list + &format!("sum(id) OVER (ORDER BY id + {i}),")))),
        made("ORDER BY and GROUP BY of 2,000 long terms", || {
            let terms: Vec<_> = (0..1_900).map(|i| format!("id{}+{i}", "+1".repeat(300))).collect();
            format!("SELECT {0} FROM point GROUP BY {0} ORDER BY {0}", terms.join(","))
        }),
        made("a WHERE of 900 equalities", || {
            let terms: Vec<_> = (0..900).map(|i| format!("c{i} = c{}", i + 1)).collect();
            format!("SELECT count(*) FROM columns WHERE c0 = 1 AND {}", terms.join(" AND "))
        }),
        made("a text of 16 MB", || format!("SELECT 1 /*{}*/", "x".repeat(15_000_000))),
        made("16 MB of nonsense", || "x ".repeat(7_000_000)).refused(),
        made("16 MB of tokens", || format!("SELECT 1{}", " AND 1".repeat(2_500_000))),
        batch("100,000 different reads", || (0..100_000).map(|i| format!("SELECT {i}, 'x' || {i}")).collect()),
        batch("100,000 different reads, independent", || (0..100_000).map(|i| format!("SELECT {i}, 'y' || {i}")).collect()).by(Way::Independent),
        batch("100,000 different reads, unary", || (0..100_000).map(|i| format!("SELECT {i}, 'z' || {i}")).collect()).by(Way::Unary),
        batch("100,000 times the same read", || vec!["SELECT name FROM point WHERE id = 7".to_owned(); 100_000]),
        batch("100,000 texts that do not compile", || (0..100_000).map(|i| format!("SELECT {i} FROM no_such_table")).collect()).each(),
        query("a schema of 10,000 tables after DDL", "SELECT count(*) FROM t77, t78").after("CREATE TABLE one_more(x)").in_ten_thousand_tables(),
        write("DDL with 10,000 tables", "CREATE TABLE IF NOT EXISTS another(x)").in_ten_thousand_tables(),
        write("RENAME TABLE with 10,000 tables", "ALTER TABLE t500 RENAME TO renamed").in_ten_thousand_tables().spoils(),
        batch("1,000 times DDL with 10,000 tables", || (0..1_000).map(|i| format!("CREATE TABLE more{i}(x)")).collect()).in_ten_thousand_tables().spoils(),
        read("table_list of 10,000 tables", "PRAGMA table_list").in_ten_thousand_tables(),
        read("integrity_check of 10,000 tables", "PRAGMA integrity_check").in_ten_thousand_tables(),
        write("DROP TABLE with 10,000 tables", "DROP TABLE IF EXISTS t1").in_ten_thousand_tables().spoils(),
    ]
}
