//! No statement delays other clients. The cases are in `harness/cases`; a new statement is a new line there. The limits here
//! are generous: the milliseconds are the benchmark's (`skylinedb-compare --hostile`).
//!
//! `HOSTILE_ONLY` runs the cases whose name contains it, `HOSTILE_CLIENTS` sets how many hostile clients there are.
#![cfg(target_os = "linux")] // it looks at the daemon's memory and processor time in /proc

#[allow(dead_code, reason = "shared with the benchmark, which uses more of it")]
mod harness;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use harness::{
    bystanders::{KINDS, Kind},
    case::{Case, Tables},
    cases,
    figures::ms,
    hostile::{Hostile, Stop},
    run::{Report, Settings, run},
    tables,
};
use support::{Daemon, Folder, MIB};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_millis(400);
const HOSTILE_TIME: Duration = Duration::from_millis(300);

/// A hostile client is answered within this time after its deadline.
const LATE: Duration = Duration::from_secs(1);

/// How much longer it is waited for before the daemon counts as frozen.
const PATIENCE: Duration = Duration::from_secs(4);

/// What the bystanders of [`PROTECTED`] may wait.
const P99: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(2);
/// The same where each change of the schema has every connection read 10,000 tables again, some 20 ms in an optimised build.
const P99_OF_LARGE_SCHEMA: Duration = Duration::from_secs(4);
const MAX_OF_LARGE_SCHEMA: Duration = Duration::from_secs(6);
const PROTECTED: [Kind; 5] = [Kind::Ping, Kind::Health, Kind::Read, Kind::UnaryRead, Kind::NewRead];

/// How long the daemon may work on for a request that it has answered.
const REST: Duration = Duration::from_secs(10);

/// What the daemon's memory may grow to in any of the cases.
const PEAK_RSS_BYTES: u64 = 1_536 * MIB as u64;

/// How long the daemon may take to end.
const END: Duration = Duration::from_secs(5);

#[test]
fn no_statement_delays_other_clients() {
    let only = env::var("HOSTILE_ONLY").unwrap_or_default();
    let clients = env::var("HOSTILE_CLIENTS").ok().and_then(|clients| clients.parse().ok()).unwrap_or(1);
    let settings = Settings { clients, time: HOSTILE_TIME, stop: Stop::Deadline(DEADLINE), patience: PATIENCE };
    let mut cases: Vec<_> = cases::all().into_iter().filter(|case| case.name.contains(&only)).collect();
    // Few changes of the tables.
    cases.sort_by_key(|case| (case.tables == Tables::TenThousand, case.spoils));

    let mut stage = Stage::new();
    let mut failures = Vec::new();
    print_head();
    for case in &cases {
        let (mut found, is_frozen) = stage.measure(case, settings);
        if !found.is_empty() && !is_frozen {
            // The machine may have been busy with something else.
            (found, _) = stage.measure(case, settings);
        }
        failures.extend(found.into_iter().map(|failure| format!("{}: {failure}", case.name)));
    }
    failures.extend(stage.end().map(|failure| format!("at the end: {failure}")));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Whatever it does at that moment.
#[test]
fn a_daemon_that_a_statement_keeps_busy_ends_in_time() {
    let only = env::var("HOSTILE_ONLY").unwrap_or_default();
    let mut stage = Stage::new();
    let mut failures = Vec::new();
    for name in [
        "instr",
        "replace",
        "LIKE with a long pattern",
        "trim of many characters",
        "json_patch of wide objects",
        "nested CTEs",
        "nested CTEs in a write",
        "2,000 windows",
        "an endless recursion",
        "VACUUM",
        "instr in a write",
        "100,000 different reads",
        "a chain of triggers",
    ] {
        if !name.contains(&only) {
            continue;
        }
        let case = cases::all().into_iter().find(|case| case.name == name).expect("a case of that name");
        for by_signal in [true, false] {
            let took = stage.end_while_busy(&case, by_signal);
            let way = if by_signal { "SIGTERM" } else { "shutdown --force" };
            match took {
                Ok(took) => println!("| {name} | {way} | {} ms", ms(took)),
                Err(error) => {
                    println!("| {name} | {way} | {error}");
                    failures.push(format!("{name}, {way}: {error}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// What is wrong with this outcome.
fn judge(case: &Case, report: &Report) -> Vec<String> {
    let mut failures: Vec<String> = report.failure.iter().cloned().collect();
    let (p99_limit, max_limit) = match case.tables {
        Tables::Common => (P99, MAX),
        Tables::TenThousand => (P99_OF_LARGE_SCHEMA, MAX_OF_LARGE_SCHEMA),
    };
    for kind in PROTECTED {
        let figures = report.of(kind);
        if figures.percentile(99) > p99_limit || figures.max() > max_limit {
            let (p99, max) = (ms(figures.percentile(99)), ms(figures.max()));
            failures.push(format!("{kind:?} took {p99} ms (p99), {max} ms (max)"));
        }
    }
    if report.slowest() > DEADLINE + LATE {
        failures.push(format!("answered after {} ms", ms(report.slowest())));
    }
    if report.next_request > LATE {
        failures.push(format!("the session's next request took {} ms", ms(report.next_request)));
    }
    if report.failure.is_none() && report.rest.is_none_or(|rest| rest > REST) {
        failures.push("the daemon works on for a request that it has answered".to_owned());
    }
    if report.peak_rss_bytes > PEAK_RSS_BYTES {
        failures.push(format!("{} MiB of memory", report.peak_rss_bytes / MIB as u64));
    }
    if !report.ends_as(case.ends) {
        failures.push(format!("ended with {}, not {:?}", report.ends(), case.ends));
    }
    failures
}

fn print_head() {
    let kinds: Vec<_> = KINDS.iter().map(|kind| format!("{kind:?} p99/max ms")).collect();
    println!("| case | {} | slowest answer ms | next ms | rest ms | peak MiB | ends |", kinds.join(" | "));
    println!("|---{}|---|---|---|---|---|", "|---".repeat(kinds.len()));
}

fn print_row(case: &Case, report: &Report) {
    let kinds: Vec<_> = KINDS.iter().map(|kind| report.of(*kind)).collect();
    let kinds: Vec<_> = kinds.iter().map(|all| format!("{}/{}", ms(all.percentile(99)), ms(all.max()))).collect();
    println!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        case.name,
        kinds.join(" | "),
        ms(report.slowest()),
        ms(report.next_request),
        report.rest.map_or("never".to_owned(), ms),
        report.peak_rss_bytes / MIB as u64,
        report.failure.clone().unwrap_or_else(|| report.ends()),
    );
}

/// The daemon that serves at the moment, and the databases for its successors.
struct Stage {
    masters: TempDir,
    made: HashMap<&'static str, PathBuf>,
    current: Option<(Tables, Daemon)>,
}

impl Stage {
    fn new() -> Self {
        Self { masters: tempfile::tempdir().expect("a temporary folder"), made: HashMap::new(), current: None }
    }

    /// Runs a case and prints what was seen. What was wrong, and whether the daemon had to be killed.
    fn measure(&mut self, case: &Case, settings: Settings) -> (Vec<String>, bool) {
        let outcome = self.daemon(case.tables).and_then(|daemon| {
            let endpoint = daemon.folder().endpoint();
            run(case, &endpoint, daemon.pid(), settings).map_err(|error| format!("{error:#}"))
        });
        let (mut found, is_usable) = match &outcome {
            Ok(report) => {
                print_row(case, report);
                (judge(case, report), report.failure.is_none() && report.rest.is_some())
            }
            Err(error) => {
                println!("| {} | {error} |", case.name);
                (vec![error.clone()], false)
            }
        };
        if !is_usable {
            found.extend(self.kill());
        } else if case.spoils || !case.set_up.is_empty() {
            found.extend(self.end());
        }
        (found, !is_usable)
    }

    /// A daemon with these tables.
    fn daemon(&mut self, tables: Tables) -> Result<&Daemon, String> {
        if self.current.as_ref().is_some_and(|(current, _)| *current != tables)
            && let Some(failure) = self.end()
        {
            return Err(format!("the daemon before: {failure}"));
        }
        if self.current.is_none() {
            let folder = Folder::new();
            fs::copy(self.master(tables), folder.database()).expect("copy the database");
            self.current = Some((
                tables,
                Daemon::builder_in(&folder).arg("--drain-timeout").arg("500ms").arg("--foreign-keys").start(),
            ));
        }
        Ok(&self.current.as_ref().expect("one was just started").1)
    }

    fn master(&mut self, tables: Tables) -> PathBuf {
        let name = if tables == Tables::Common { "common.db" } else { "ten_thousand.db" };
        let path = self.masters.path().join(name);
        let make = || {
            tables::make(tables, &path).expect("make the tables");
            path.clone()
        };
        self.made.entry(name).or_insert_with(make).clone()
    }

    /// Ends the daemon by a signal; what went wrong.
    fn end(&mut self) -> Option<String> {
        let (_, mut daemon) = self.current.take()?;
        daemon.terminate();
        let ended = ended_within(&mut daemon);
        failure_of(daemon, ended.err())
    }

    /// Kills the daemon; what went wrong before.
    fn kill(&mut self) -> Option<String> {
        let (_, mut daemon) = self.current.take()?;
        daemon.kill9();
        failure_of(daemon, None)
    }

    /// Ends the daemon while it works on a request without a deadline. How long it took.
    fn end_while_busy(&mut self, case: &Case, by_signal: bool) -> Result<Duration, String> {
        let daemon = self.daemon(case.tables)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let endpoint = daemon.folder().endpoint();
        let mut hostile = runtime
            .block_on(async {
                let mut hostile = Hostile::connect(&endpoint).await?;
                hostile.set_up(case).await?;
                anyhow::Ok(hostile)
            })
            .map_err(|error| format!("{error:#}"))?;
        let case = cases::all().into_iter().find(|other| other.name == case.name).expect("the same case");
        runtime.spawn(async move {
            let hour = Stop::Deadline(Duration::from_hours(1));
            while hostile.run(&case, hour).await.is_ok() {}
        });
        thread::sleep(Duration::from_millis(200)); // the request should have begun; if not, the daemon ends all the sooner
        let (_, mut daemon) = self.current.take().expect("it was started");
        let begin = Instant::now();
        if by_signal {
            daemon.terminate();
        } else {
            let mut cli = daemon.folder().cli_command();
            cli.args(["shutdown", "--force", "--no-wait"]).stdout(std::process::Stdio::null());
            let mut cli = support::start(cli.stderr(std::process::Stdio::null()));
            thread::spawn(move || cli.wait());
        }
        let ended = ended_within(&mut daemon);
        runtime.shutdown_background();
        match failure_of(daemon, ended.err()) {
            Some(failure) => Err(failure),
            None => Ok(begin.elapsed()),
        }
    }
}

/// Waits for the daemon's end, and kills it if it does not come.
fn ended_within(daemon: &mut Daemon) -> Result<(), String> {
    let begin = Instant::now();
    while daemon.is_running() {
        if begin.elapsed() > END {
            daemon.kill9();
            return Err(format!("it did not end within {END:?}"));
        }
        thread::sleep(Duration::from_millis(2)); // between two looks
    }
    Ok(())
}

/// A daemon fails its test when it is dropped, should it have panicked: here that is one failure among others.
fn failure_of(daemon: Daemon, failure: Option<String>) -> Option<String> {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(daemon)));
    failure.or_else(|| dropped.is_err().then(|| "the daemon panicked".to_owned()))
}
