//! The protocol as others see it: through grpcurl, which knows nothing but what the daemon's reflection tells it.
#![cfg(unix)]

mod support;

use serde_json::{Value, json};
use support::{Daemon, Output, grpcurl, run};

const SERVICE: &str = "skylinedb.v1.SkylineDbService";

#[test]
fn list_shows_the_services() {
    let listed = ask(&Daemon::start(), &[], &["list"], "").success();
    let services: Vec<&str> = listed.stdout.lines().collect();
    for service in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"] {
        assert!(services.contains(&service), "no {service} in {services:?}");
    }
}

#[test]
fn list_shows_the_calls_of_the_service() {
    let listed = ask(&Daemon::start(), &[], &["list", SERVICE], "").success();
    let calls: Vec<&str> = listed.stdout.lines().filter_map(|line| line.strip_prefix(SERVICE)).collect();
    assert_eq!(calls, [".Execute", ".Ping", ".Query", ".Session", ".Shutdown"]);
}

#[test]
fn describe_shows_services_and_messages() {
    let daemon = Daemon::start();
    let service = ask(&daemon, &[], &["describe", SERVICE], "").success();
    assert!(
        service
            .stdout
            .contains("rpc Execute ( .skylinedb.v1.ExecuteRequest ) returns ( .skylinedb.v1.ExecuteResponse );"),
        "{service:#?}"
    );
    let message = ask(&daemon, &[], &["describe", "skylinedb.v1.Value"], "").success();
    for field in ["sint64 integer = 1;", "double real = 2;", "string text = 3;", "bytes blob = 4;"] {
        assert!(message.stdout.contains(field), "no {field} in {message:#?}");
    }
}

#[test]
fn ping_says_who_is_there() {
    let daemon = Daemon::start();
    let pong = answer(&daemon, "Ping", &json!({}));
    assert_eq!(pong["pid"], daemon.pid());
    assert_eq!(pong["version"], env!("CARGO_PKG_VERSION"));
    let database = daemon.folder().path().canonicalize().expect("the folder").join("data.db");
    assert_eq!(pong["database"], database.to_str().expect("UTF-8"));
    assert!(pong["startTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{pong}");
    assert!(pong["sqliteVersion"].as_str().is_some_and(|version| version.starts_with("3.")), "{pong}");
}

#[test]
fn execute_runs_a_batch_and_counts_one_revision() {
    let daemon = Daemon::start();
    let before = revision(&answer(&daemon, "Ping", &json!({})));

    let done = answer(
        &daemon,
        "Execute",
        &json!({"statements": [
            {"sql": "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT UNIQUE)"},
            {"sql": "INSERT INTO person(name) VALUES (?), (?)", "parameters": [{"text": "Ada"}, {"text": "Grace"}]},
            {"sql": "SELECT id, name FROM person WHERE name = :name", "namedParameters": {"name": {"text": "Grace"}}},
        ]}),
    );

    assert_eq!(revision(&done), before + 1);
    assert_eq!(done["results"][1], json!({"rowsAffected": "2", "lastInsertRowid": "2"}));
    assert_eq!(
        done["results"][2]["columns"],
        json!([{"name": "id", "declaredType": "INTEGER"}, {"name": "name", "declaredType": "TEXT"}])
    );
    assert_eq!(done["results"][2]["rows"], json!([{"values": [{"integer": "2"}, {"text": "Grace"}]}]));
}

#[test]
fn execute_each_reports_every_statement_by_itself() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE person(name TEXT UNIQUE)");
    let insert = json!({"sql": "INSERT INTO person VALUES ('Ada')"});

    let done =
        answer(&daemon, "Execute", &json!({"mode": "TRANSACTION_MODE_EACH", "statements": [insert, insert, insert]}));

    assert_eq!(done["results"][0]["rowsAffected"], "1");
    for failed in [1, 2] {
        let error = &done["results"][failed]["error"];
        assert_eq!(error["reason"], "SQLITE_CONSTRAINT_UNIQUE", "{done}");
        assert_eq!(error["code"], 6);
        assert_eq!(error["sqliteCode"], 2067);
        assert_eq!(error["statementIndex"], failed);
    }
    assert_eq!(daemon.value("SELECT count(*) FROM person"), 1);
}

#[test]
fn query_streams_the_columns_first_and_then_the_rows() {
    let daemon = Daemon::start();
    let sql = "SELECT 9223372036854775807 AS big, 1.5 AS real, 'text' AS text, x'00ff' AS blob, NULL AS nil";
    let output = call(&daemon, "Query", &json!({"statement": {"sql": sql}})).success();

    let messages: Vec<Value> =
        serde_json::Deserializer::from_str(&output.stdout).into_iter().map(|message| message.expect("JSON")).collect();

    let columns = messages.first().and_then(|message| message["columns"].as_array()).expect("columns come first");
    let names: Vec<&Value> = columns.iter().map(|column| &column["name"]).collect();
    assert_eq!(names, ["big", "real", "text", "blob", "nil"]);
    let rows: Vec<&Value> = messages.iter().filter_map(|message| message["rows"].as_array()).flatten().collect();
    let values = json!([{"integer": "9223372036854775807"}, {"real": 1.5}, {"text": "text"}, {"blob": "AP8="}, {}]);
    assert_eq!(rows, [&json!({"values": values})]);
}

#[test]
fn a_session_answers_in_order_and_has_transactions() {
    let daemon = Daemon::start();
    let statement = |sql: &str| json!({"statements": [{"sql": sql}]});
    let requests = [
        json!({"id": 1, "execute": statement("CREATE TABLE t(x)")}),
        json!({"id": 2, "begin": {"kind": "TRANSACTION_KIND_WRITE"}}),
        json!({"id": 3, "execute": statement("INSERT INTO t VALUES (1)")}),
        json!({"id": 4, "execute": statement("INSERT INTO nowhere VALUES (1)")}),
        json!({"id": 5, "commit": {}}),
        json!({"id": 6, "query": {"statement": {"sql": "SELECT x FROM t"}}}),
        json!({"id": 7, "ping": {}}),
    ];
    let input: String = requests.iter().map(Value::to_string).collect();

    let output = ask(&daemon, &["-d", "@"], &[&format!("{SERVICE}/Session")], &input).success();

    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&output.stdout).into_iter().map(|message| message.expect("JSON")).collect();
    let ids: Vec<&str> =
        answers.iter().filter(|answer| answer["more"] != true).filter_map(|answer| answer["id"].as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7"], "{answers:#?}");
    let error = answers.iter().find(|answer| answer["id"] == "4").expect("the failed one");
    assert_eq!(error["error"]["code"], 5, "no such table is NOT_FOUND: {error}");
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 1, "a failed batch leaves the transaction open");
}

#[test]
fn health_is_serving() {
    let daemon = Daemon::start();
    for service in ["", SERVICE] {
        let request = json!({"service": service}).to_string();
        let health = ask(&daemon, &["-d", &request], &["grpc.health.v1.Health/Check"], "").success();
        assert_eq!(health.json(), json!({"status": "SERVING"}));
    }
}

#[test]
fn shutdown_is_answered_and_ends_the_daemon() {
    let mut daemon = Daemon::start();
    assert_eq!(answer(&daemon, "Shutdown", &json!({})), json!({"pid": daemon.pid()}));
    assert!(daemon.wait().success());
}

#[test]
fn shutdown_spares_a_daemon_with_another_database() {
    let mut daemon = Daemon::start();
    let refused = call(&daemon, "Shutdown", &json!({"database": "/some/other.db"}));
    assert!(refused.stderr.contains("Code: NotFound"), "{refused:#?}");
    assert!(daemon.is_running());
    answer(&daemon, "Ping", &json!({}));
    let own = answer(&daemon, "Ping", &json!({}))["database"].clone();
    answer(&daemon, "Shutdown", &json!({"database": own}));
    assert!(daemon.wait().success());
}

#[test]
fn errors_have_a_code_and_an_error_info() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x UNIQUE, y NOT NULL DEFAULT 0, CHECK (x <> 'bad'))");
    daemon.execute("INSERT INTO t(x) VALUES ('here')");
    let cases = [
        ("SELEC 1", "InvalidArgument", "SQLITE_ERROR"),
        ("SELECT ?", "InvalidArgument", ""),
        ("SELECT * FROM nowhere", "NotFound", "SQLITE_ERROR"),
        ("INSERT INTO t(x) VALUES ('here')", "AlreadyExists", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO t VALUES (1, NULL)", "FailedPrecondition", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO t(x) VALUES ('bad')", "FailedPrecondition", "SQLITE_CONSTRAINT_CHECK"),
        ("BEGIN", "PermissionDenied", ""),
        ("SELECT load_extension('x')", "PermissionDenied", ""),
    ];
    for (sql, code, reason) in cases {
        let request = json!({"statements": [{"sql": "SELECT 1"}, {"sql": sql}]});
        let failed = call(&daemon, "Execute", &request);
        assert_ne!(failed.code, Some(0), "{sql}");
        assert!(failed.stderr.contains(&format!("Code: {code}\n")), "{sql}: {}", failed.stderr);
        let info = error_info(&failed);
        assert_eq!(info["domain"], "skylinedb", "{sql}: {}", failed.stderr);
        assert!(
            info["reason"].as_str().is_some_and(|found| !found.is_empty() && (reason.is_empty() || found == reason)),
            "{sql}: {info}"
        );
        assert_eq!(info["metadata"]["statement_index"], "1", "{sql}: {info}");
    }
}

#[test]
fn an_error_says_where_in_the_sql_the_mistake_is() {
    let request = json!({"statements": [{"sql": "SELECT 1, nonsense"}]});
    let info = error_info(&call(&Daemon::start(), "Execute", &request));
    assert_eq!(info["metadata"]["sql_offset"], "10", "{info}");
}

#[test]
fn query_refuses_to_write() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let refused = call(&daemon, "Query", &json!({"statement": {"sql": "INSERT INTO t VALUES (1) RETURNING x"}}));
    assert!(refused.stderr.contains("Code: PermissionDenied"), "{refused:#?}");
    assert_eq!(error_info(&refused)["reason"], "SQLITE_READONLY");
    assert!(refused.stderr.contains("Execute"), "it says what to use: {refused:#?}");
}

#[test]
fn another_database_is_not_found() {
    let daemon = Daemon::start();
    let statement = json!({"sql": "SELECT 1"});
    for (method, request) in [
        ("Ping", json!({"database": "other"})),
        ("Execute", json!({"database": "other", "statements": [statement]})),
        ("Query", json!({"database": "other", "statement": statement})),
    ] {
        let refused = call(&daemon, method, &request);
        assert!(refused.stderr.contains("Code: NotFound"), "{method}: {refused:#?}");
    }
}

#[test]
fn a_deadline_interrupts_a_statement() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let daemon = Daemon::start();
    for (method, request) in
        [("Execute", json!({"statements": [{"sql": endless}]})), ("Query", json!({"statement": {"sql": endless}}))]
    {
        let flags = ["-max-time", "1", "-d", &request.to_string()];
        let output = ask(&daemon, &flags, &[&format!("{SERVICE}/{method}")], "");
        assert!(output.stderr.contains("DeadlineExceeded"), "{method}: {output:#?}");
    }
    daemon.execute("CREATE TABLE the_writer_is_free(x)");
}

/// Runs grpcurl: its flags, the daemon's address, and what to do there.
fn ask(daemon: &Daemon, flags: &[&str], what: &[&str], stdin: &str) -> Output {
    let mut grpcurl = grpcurl();
    grpcurl.args(["-plaintext", "-unix"]).args(flags).arg(daemon.folder().endpoint()).args(what);
    run(&mut grpcurl, stdin.as_bytes())
}

fn call(daemon: &Daemon, method: &str, request: &Value) -> Output {
    ask(daemon, &["-d", &request.to_string()], &[&format!("{SERVICE}/{method}")], "")
}

#[track_caller]
fn answer(daemon: &Daemon, method: &str, request: &Value) -> Value {
    call(daemon, method, request).success().json()
}

/// A revision, which protobuf's JSON writes as a string, and leaves out when it is 0.
fn revision(answer: &Value) -> u64 {
    answer["revision"].as_str().map_or(0, |revision| revision.parse().expect("a number"))
}

/// The `google.rpc.ErrorInfo` that grpcurl prints among a status's details.
fn error_info(failed: &Output) -> Value {
    let details = failed.stderr.split_once("Details:").map_or("", |(_, details)| details);
    for (at, _) in details.match_indices('{') {
        let parsed = serde_json::Deserializer::from_str(&details[at..]).into_iter::<Value>().next();
        if let Some(Ok(detail)) = parsed
            && detail["@type"].as_str().is_some_and(|name| name.ends_with("google.rpc.ErrorInfo"))
        {
            return detail;
        }
    }
    panic!("no ErrorInfo in {failed:#?}")
}
