//! What other clients feel of a hostile one: the cases of `tests/hostile`, measured in milliseconds.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        bystanders::Kind,
        case::{Case, Ends, Tables},
        cases,
        figures::ms,
        hostile::Stop,
        run::{Report, Settings, run},
        tables,
    },
    skyline::Daemon,
};

/// Hostile clients at once.
const CLIENTS: [usize; 2] = [1, 8];

/// After what time a hostile request is stopped.
const STOP_AFTER: Duration = Duration::from_millis(700);

/// How much longer an answer is waited for until the daemon counts as frozen.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the daemon may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// What the bystanders do, in the order of the columns.
const COLUMNS: [(Kind, &str); 6] = [
    (Kind::Ping, "ping"),
    (Kind::Health, "health"),
    (Kind::Read, "read"),
    (Kind::UnaryRead, "unary read"),
    (Kind::NewRead, "new read"),
    (Kind::Write, "write"),
];

/// Runs the cases whose name contains this, each with one hostile client and with eight, and prints a row for each.
pub(crate) fn measure(folder: &Path, only: &str, seconds: u64) {
    let columns: Vec<_> = COLUMNS.iter().map(|(_, name)| format!("{name} p50/p99/max ms")).collect();
    println!(
        "| case | hostile | {} | after its deadline ms | after a cancel ms | peak MiB | ends |",
        columns.join(" | ")
    );
    println!("|---|---{}|---|---|---|---|", "|---".repeat(columns.len()));
    let mut stage = Stage { folder, current: None };
    let mut cases: Vec<_> = cases::all().into_iter().filter(|case| case.name.contains(only)).collect();
    cases.sort_by_key(|case| case.tables == Tables::TenThousand);
    for case in &cases {
        for clients in CLIENTS {
            let deadline = Settings {
                clients,
                time: Duration::from_secs(seconds),
                stop: Stop::Deadline(STOP_AFTER),
                patience: PATIENCE,
            };
            let cancel = Settings { stop: Stop::Cancel(STOP_AFTER / 2), time: STOP_AFTER / 2, ..deadline };
            match stage.run(case, deadline).and_then(|report| Ok((report, stage.run(case, cancel)?))) {
                Ok((report, cancelled)) => print_row(case, clients, &report, &cancelled),
                Err(error) => {
                    println!("| {} | {clients} | {error:#} |", case.name);
                    stage.current = None; // the other cases go on with a new daemon
                }
            }
        }
    }
}

fn print_row(case: &Case, clients: usize, report: &Report, cancelled: &Report) {
    let columns = COLUMNS.map(|(kind, _)| {
        let figures = report.of(kind);
        format!("{}/{}/{}", ms(figures.percentile(50)), ms(figures.percentile(99)), ms(figures.max()))
    });
    // Of those that were stopped; a cancelled request's time begins with its cancel.
    let late = |report: &Report, stop: Duration| {
        let stopped = report.ends.iter().filter(|end| end.how == Ends::Interrupted);
        stopped.map(|end| end.took.saturating_sub(stop)).max().map_or_else(String::new, ms)
    };
    println!(
        "| {} | {clients} | {} | {} | {} | {} | {} |",
        case.name,
        columns.join(" | "),
        late(report, STOP_AFTER),
        late(cancelled, Duration::ZERO),
        report.peak_rss_bytes >> 20,
        report.failure.clone().unwrap_or_else(|| report.ends()),
    );
}

/// The daemon that serves at the moment.
struct Stage<'f> {
    folder: &'f Path,
    current: Option<(Tables, Daemon)>,
}

impl Stage<'_> {
    fn run(&mut self, case: &Case, settings: Settings) -> anyhow::Result<Report> {
        let changes = !case.set_up.is_empty() || case.spoils;
        if changes || self.current.as_ref().is_some_and(|(tables, _)| *tables != case.tables) {
            self.current = None;
        }
        let (_, daemon) = match self.current.take() {
            Some(current) => self.current.insert(current),
            None => self.current.insert((case.tables, start(self.folder, case.tables)?)),
        };
        let report = run(case, daemon.socket(), daemon.pid(), settings)?;
        if changes || report.failure.is_some() || report.rest.is_none() {
            self.current = None; // killed if it does not end
        }
        Ok(report)
    }
}

fn start(folder: &Path, tables: Tables) -> anyhow::Result<Daemon> {
    let master = folder.join(format!("{tables:?}.db"));
    if !master.exists() {
        tables::make(tables, &master)?;
    }
    let folder: PathBuf = folder.join("hostile");
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder)?;
    fs::copy(master, folder.join("sky.db"))?;
    let daemon = Daemon::start(&folder)?;
    wait_until_it_listens(daemon.socket())?;
    Ok(daemon)
}

/// The socket is there a moment before it can be connected to.
fn wait_until_it_listens(socket: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    while let Err(error) = UnixStream::connect(socket) {
        anyhow::ensure!(begin.elapsed() < START_PATIENCE, "cannot connect to the daemon: {error}");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
