//! The command line, as a script uses it: input from everywhere, output for programs, exit codes.

mod support;

use std::fs;

use serde_json::json;
use support::{Daemon, Folder, Output, StopOnDrop, command, program, run};

/// Exit codes.
const ERROR: i32 = 1;
const USAGE: i32 = 2;
const NO_DAEMON: i32 = 3;

mod without_a_daemon {
    use super::*;

    #[test]
    fn every_command_exits_with_3_and_says_where_it_looked_and_how_to_start_one() {
        let folder = Folder::new();
        for arguments in [vec!["ping"], vec!["execute", "SELECT 1"], vec!["query", "SELECT 1"], vec!["shutdown"]] {
            let output = folder.cli(&arguments).failure(NO_DAEMON);
            assert!(output.stderr.contains(folder.endpoint().to_str().expect("UTF-8")), "{output:#?}");
            assert!(output.stderr.contains("skylinedb-cli") && output.stderr.contains("start"), "{output:#?}");
            assert_eq!(output.stdout, "");
        }
    }

    #[test]
    fn what_a_killed_daemon_leaves_is_no_daemon_either() {
        let mut daemon = Daemon::start();
        daemon.kill9();
        #[cfg(unix)]
        assert!(daemon.folder().endpoint().exists());
        daemon.cli(["ping"]).failure(NO_DAEMON);
    }

    #[test]
    #[cfg(unix)]
    fn without_an_endpoint_it_names_every_place_where_it_looked() {
        let folder = Folder::new();
        let mut cli = command(program("skylinedb-cli"));
        cli.env("XDG_RUNTIME_DIR", folder.path()).arg("ping");
        let output = run(&mut cli, b"").failure(NO_DAEMON);
        let user = folder.path().join("skylinedb-v1.sock");
        assert!(output.stderr.contains(user.to_str().expect("UTF-8")), "{output:#?}");
        assert!(output.stderr.contains("/var/run/skylinedb-v1.sock"), "{output:#?}");
    }

    #[test]
    fn start_starts_one_that_lives_on_and_answers() {
        let folder = Folder::new();
        let started = start(&folder);
        let guard = StopOnDrop(folder.endpoint());
        started.success();
        folder.cli(["ping"]).success();
        folder.cli(["execute", "CREATE TABLE t(x)"]).success();
        drop(guard);
        assert!(folder.database().is_file());
    }

    #[test]
    fn a_database_may_be_called_like_an_option() {
        let folder = Folder::new();
        let started = folder.cli(["start", "--", "--x.db"]);
        let _guard = StopOnDrop(folder.endpoint());
        started.success();
        assert!(folder.path().join("--x.db").is_file());
    }

    #[test]
    fn start_twice_is_start_once() {
        let folder = Folder::new();
        let first = start(&folder);
        let guard = StopOnDrop(folder.endpoint());
        first.success();
        let before = guard.pid();
        start(&folder).success();
        assert!(before.is_some() && guard.pid() == before);
    }

    fn start(folder: &Folder) -> Output {
        let mut cli = folder.cli_command();
        cli.arg("start").arg(folder.database()).arg("--lock-file").arg(folder.lock());
        run(&mut cli, b"")
    }
}

mod exit_codes {
    use super::*;

    #[test]
    fn success_is_0() {
        let daemon = Daemon::start();
        daemon.cli(["ping"]).success();
        daemon.cli(["execute", "CREATE TABLE t(x)"]).success();
        daemon.cli(["exec", "INSERT INTO t VALUES (1)"]).success();
        daemon.cli(["query", "SELECT * FROM t"]).success();
    }

    #[test]
    fn an_error_of_the_daemon_is_1_and_printed_with_its_code() {
        let daemon = Daemon::start();
        daemon.execute("CREATE TABLE t(x UNIQUE)");
        let output = daemon.cli(["execute", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"]).failure(ERROR);
        assert!(output.stderr.contains("SQLITE_CONSTRAINT_UNIQUE"), "{output:#?}");
        assert!(output.stderr.contains("INSERT INTO t VALUES (1)"), "it shows the statement: {output:#?}");
        assert_eq!(daemon.value("SELECT count(*) FROM t"), 0, "the batch was atomic");
        let output = daemon.cli(["query", "SELECT * FROM nowhere"]).failure(ERROR);
        assert!(output.stderr.contains("no such table: nowhere"), "{output:#?}");
    }

    #[test]
    fn query_refuses_a_write_with_1_and_names_execute() {
        let daemon = Daemon::start();
        let output = daemon.cli(["query", "CREATE TABLE t(x)"]).failure(ERROR);
        assert!(output.stderr.contains("execute"), "{output:#?}");
    }

    #[test]
    fn wrong_usage_is_2() {
        let daemon = Daemon::start();
        for arguments in
            [&["--no-such-flag"][..], &["no-such-command"], &["query"], &["query", "--format", "xml", "SELECT 1"], &[]]
        {
            daemon.cli(arguments).failure(USAGE);
        }
        daemon.cli(["execute", "--file", "/no/such/file.sql"]).failure(USAGE);
    }
}

mod input {
    use super::*;

    const SCRIPT: &str = "\u{feff}-- a comment; with a semicolon
CREATE TABLE t(x); /* another;
one */
CREATE TABLE log(x);
CREATE TRIGGER t_log AFTER INSERT ON t BEGIN
    INSERT INTO log VALUES (new.x || ';');
    INSERT INTO log VALUES (';;');
END;
;;
INSERT INTO t VALUES ('a;b'), ('c\"d');
INSERT INTO t VALUES ('it''s'); INSERT INTO t SELECT 'last' -- no semicolon";

    #[test]
    fn a_script_comes_from_standard_input() {
        let daemon = Daemon::start();
        daemon.cli_with_input(["execute"], SCRIPT).success();
        assert_scripted(&daemon);
    }

    #[test]
    fn a_script_comes_from_a_file() {
        let daemon = Daemon::start();
        let file = daemon.folder().path().join("script.sql");
        fs::write(&file, SCRIPT).expect("write a script");
        daemon.cli(["execute", "--file", file.to_str().expect("UTF-8")]).success();
        assert_scripted(&daemon);
    }

    #[test]
    fn a_script_is_one_batch() {
        let daemon = Daemon::start();
        daemon
            .cli_with_input(
                ["execute"],
                "CREATE TABLE t(x);\nINSERT INTO t VALUES (1);\nINSERT INTO nowhere VALUES (1);",
            )
            .failure(ERROR);
        assert_eq!(daemon.value("SELECT count(*) FROM sqlite_schema WHERE name = 't'"), 0);
    }

    #[test]
    fn an_error_names_the_line_of_the_script() {
        let daemon = Daemon::start();
        let output = daemon.cli_with_input(["execute"], "SELECT 1;\n\n-- here\nSELECT nonsense;\n").failure(ERROR);
        assert!(output.stderr.contains("line 4") || output.stderr.contains(":4"), "{output:#?}");
    }

    #[test]
    fn a_script_too_big_for_one_message_is_still_all_or_nothing() {
        let daemon = Daemon::builder().arg("--max-message-bytes").arg("1048576").start();
        daemon.execute("CREATE TABLE t(x)");
        let script = format!("INSERT INTO t VALUES ('{}');\n", "x".repeat(10_000)).repeat(400);

        daemon.cli_with_input(["execute"], &script).success();
        assert_eq!(daemon.value("SELECT count(*) FROM t"), 400);

        daemon.cli_with_input(["execute"], script + "INSERT INTO nowhere VALUES (1);").failure(ERROR);
        assert_eq!(daemon.value("SELECT count(*) FROM t"), 400);
    }

    #[test]
    fn parameters_have_types_and_names() {
        let daemon = Daemon::start();
        let types =
            "SELECT typeof(?) AS a, typeof(?) AS b, typeof(?) AS c, typeof(?) AS d, typeof(?) AS e, typeof(?) AS f";
        let output = daemon
            .cli(["query", types, "-p", "1", "-p", "1.5", "-p", "word", "-p", "x'00ff'", "-p", "null", "-p", "text:1"]);
        let expected = json!([{"a": "integer", "b": "real", "c": "text", "d": "blob", "e": "null", "f": "text"}]);
        assert_eq!(output.success().json(), expected);

        let named =
            daemon.cli(["query", "SELECT :name AS name, :age AS age", "--param", "name=Ada", "--param", "age=36"]);
        assert_eq!(named.success().json(), json!([{"name": "Ada", "age": 36}]));
    }

    #[test]
    fn a_parameter_too_many_or_too_few_is_an_error() {
        let daemon = Daemon::start();
        assert_ne!(daemon.cli(["query", "SELECT ?"]).code, Some(0));
        assert_ne!(daemon.cli(["query", "SELECT 1", "-p", "1"]).code, Some(0));
    }

    #[test]
    fn the_endpoint_can_come_from_the_environment() {
        let daemon = Daemon::start();
        let mut cli = command(program("skylinedb-cli"));
        run(cli.env("SKYLINEDB_ENDPOINT", daemon.folder().endpoint()).arg("ping"), b"").success();
    }

    #[track_caller]
    fn assert_scripted(daemon: &Daemon) {
        let output = daemon.cli(["query", "SELECT x FROM t"]).success();
        assert_eq!(output.json(), json!([{"x": "a;b"}, {"x": "c\"d"}, {"x": "it's"}, {"x": "last"}]));
        assert_eq!(daemon.value("SELECT count(*) FROM log"), 8);
    }
}

mod output {
    use super::*;

    const ROWS: &str =
        "SELECT 1 AS i, 'a,b' AS t, NULL AS n, x'0aff' AS b UNION ALL SELECT -9223372036854775808, '', 0.5, x''";

    #[test]
    fn a_pipe_gets_json() {
        let output = Daemon::start().cli(["query", ROWS]).success();
        let expected = json!([
            {"i": 1, "t": "a,b", "n": null, "b": {"base64": "Cv8="}},
            {"i": i64::MIN, "t": "", "n": 0.5, "b": {"base64": ""}},
        ]);
        assert_eq!(output.json(), expected);
        let order = ["\"i\"", "\"t\"", "\"n\"", "\"b\""].map(|name| output.stdout.find(name).expect("a column"));
        assert!(order.is_sorted(), "in the order of the columns: {}", output.stdout);
    }

    #[test]
    fn csv() {
        let output = Daemon::start().cli(["query", "--format", "csv", ROWS]).success();
        assert_eq!(output.stdout, "i,t,n,b\r\n1,\"a,b\",,x'0aff'\r\n-9223372036854775808,\"\",0.5,x''\r\n");
    }

    #[test]
    fn line() {
        let output = Daemon::start().cli(["query", "--format", "line", "SELECT 1 AS i, 'x' AS text"]).success();
        assert_eq!(output.stdout, "   i = 1\ntext = x\n");
    }

    #[test]
    fn table() {
        let output = Daemon::start().cli(["query", "--format", "table", "SELECT 1 AS i, 'x' AS text"]).success();
        assert_eq!(output.stdout, "┌───┬──────┐\n│ i │ text │\n├───┼──────┤\n│ 1 │ x    │\n└───┴──────┘\n");
    }

    #[test]
    fn no_rows_are_an_empty_array() {
        assert_eq!(Daemon::start().cli(["query", "SELECT 1 AS x WHERE 0"]).success().json(), json!([]));
    }

    #[test]
    fn execute_prints_the_rows_of_returning() {
        let daemon = Daemon::start();
        daemon.execute("CREATE TABLE t(x)");
        let output = daemon.cli(["execute", "INSERT INTO t VALUES (1), (2) RETURNING x"]).success();
        assert_eq!(output.json(), json!([{"x": 1}, {"x": 2}]));
    }

    #[test]
    fn shutdown_says_so_and_the_daemon_ends() {
        let mut daemon = Daemon::start();
        assert_eq!(daemon.cli(["shutdown"]).success().stdout, "✓ Daemon shutdown requested\n");
        assert!(daemon.wait().success());
    }
}

mod import {
    use super::*;

    const CSV: &str = "id,name,score\n1,\"Ada, \"\"the\"\" first\",1.5\n2,\"two\nlines\",\n3,snow \u{2603},-2\n";

    #[test]
    fn the_header_names_the_columns_of_a_table_that_is_there() {
        let daemon = Daemon::start();
        daemon.execute("CREATE TABLE person(score REAL, name TEXT, id INTEGER PRIMARY KEY, more TEXT DEFAULT 'yes')");
        let output = daemon.cli_with_input(["import", "-", "--table", "person", "--null", ""], CSV).success();
        assert_eq!(output.stderr, "3 rows imported into person\n");
        let rows = daemon.cli(["query", "SELECT id, name, score, more FROM person"]).success().json();
        let expected = json!([
            {"id": 1, "name": "Ada, \"the\" first", "score": 1.5, "more": "yes"},
            {"id": 2, "name": "two\nlines", "score": null, "more": "yes"},
            {"id": 3, "name": "snow \u{2603}", "score": -2.0, "more": "yes"},
        ]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_table_that_is_not_there_is_made() {
        let daemon = Daemon::start();
        let file = daemon.folder().path().join("people.csv");
        fs::write(&file, format!("\u{feff}{CSV}")).expect("write a file");
        daemon.cli(["import", file.to_str().expect("UTF-8"), "--table", "a \"strange\" name"]).success();
        let rows = daemon.cli(["query", "SELECT id, score FROM \"a \"\"strange\"\" name\" LIMIT 2"]).success().json();
        assert_eq!(rows, json!([{"id": "1", "score": "1.5"}, {"id": "2", "score": ""}]));
    }

    #[test]
    fn without_a_header_columns_go_by_their_place() {
        let daemon = Daemon::start();
        daemon.execute("CREATE TABLE t(a INTEGER, b TEXT, c AS (a + 1))");
        daemon.cli_with_input(["import", "-", "-t", "t", "--no-header", "--delimiter", ";"], "1;x\n2;y\n").success();
        assert_eq!(daemon.cli(["query", "SELECT * FROM t"]).success().json()[1], json!({"a": 2, "b": "y", "c": 3}));
    }

    #[test]
    fn a_mistake_in_the_file_or_a_row_keeps_nothing() {
        let daemon = Daemon::start();
        daemon.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
        let many = lines(1..50_000);
        for (end, code, text) in
            [("5,again\n", ERROR, "SQLITE_CONSTRAINT_PRIMARYKEY"), ("only one field\n", USAGE, "line: 50001")]
        {
            let csv = format!("a,b\n{many}{end}");
            let output = daemon.cli_with_input(["import", "-", "--table", "t"], csv).failure(code);
            assert!(output.stderr.contains(text), "no {text:?} in {output:#?}");
            assert!(output.stderr.contains("Nothing was kept"), "{output:#?}");
            assert_eq!(daemon.value("SELECT count(*) FROM t"), 0);
        }
    }

    #[test]
    fn batches_are_kept_one_by_one() {
        let daemon = Daemon::start();
        let csv = format!("a,b\n{}", lines(0..100_000));
        daemon.cli_with_input(["import", "-", "--table", "t", "--mode", "batches"], &csv).success();
        assert_eq!(daemon.value("SELECT count(DISTINCT a) FROM t"), 100_000);
        daemon
            .cli_with_input(["import", "-", "--table", "t", "--mode", "batches"], csv + "too,many,fields\n")
            .failure(USAGE);
        assert_ne!(daemon.value("SELECT count(*) FROM t"), 100_000);
    }

    fn lines(numbers: std::ops::Range<u32>) -> String {
        numbers.fold(String::new(), |lines, number| lines + &format!("{number},text of a row\n"))
    }

    #[test]
    fn what_cannot_be_imported_is_said() {
        let daemon = Daemon::start();
        daemon.cli(["import", "/no/such/file.csv", "--table", "t"]).failure(USAGE);
        daemon.cli_with_input(["import", "-", "--table", "t"], "").failure(USAGE);
        daemon.cli_with_input(["import", "-", "--table", "t", "--no-header"], "1,2\n").failure(ERROR);
        daemon.cli_with_input(["import", "-", "--table", "t", "--delimiter", "\u{2603}"], "a\n1\n").failure(USAGE);
        daemon.execute("CREATE TABLE t(a)");
        let output = daemon.cli_with_input(["import", "-", "--table", "t"], "b\n1\n").failure(ERROR);
        assert!(output.stderr.contains("no column named b"), "{output:#?}");
    }
}
