//! What people do without a daemon: a process a client, each of which opens the file itself, with the same durability and
//! a patient busy handler.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use rusqlite::{Connection, params};

use crate::{
    case::{Case, Work},
    measurement::Measurement,
};

/// As long as a patient program waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long all workers may take to start: then they begin at once.
const START_DELAY: Duration = Duration::from_millis(500);

/// The text of every row, as `skylinedb-cli bench` has it.
pub(crate) const TEXT: &str = "The quick brown fox jumps over the lazy dog, and then once more.";

/// One worker process.
#[derive(Args, Debug)]
pub(crate) struct Worker {
    database: PathBuf,
    work: String,
    number: u64,
    rows: i64,
    /// When to begin, in nanoseconds since 1970.
    begin_ns: u64,
    seconds: u64,
}

/// Measures with as many processes as the case has clients.
pub(crate) fn measure(folder: &Path, case: &Case, seconds: u64) -> anyhow::Result<Measurement> {
    let folder = tempfile::tempdir_in(folder)?;
    let database = folder.path().join("direct.db");
    prepare(&database, case.rows())?;
    let begin = SystemTime::now() + START_DELAY;
    let begin_ns = begin.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let workers = (0..case.clients).map(|number| {
        let mut worker = Command::new(std::env::current_exe()?);
        worker.arg("direct-worker").arg(&database).args([case.work.name(), &number.to_string()]);
        worker.args([case.rows().to_string(), begin_ns.to_string(), seconds.to_string()]).stdout(Stdio::piped());
        worker.spawn().context("cannot start a worker")
    });
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut items = 0;
    let mut longest: f64 = 0.0;
    for worker in workers.collect::<anyhow::Result<Vec<_>>>()? {
        let mut text = String::new();
        let mut worker = worker;
        worker.stdout.take().context("a pipe")?.read_to_string(&mut text)?;
        anyhow::ensure!(worker.wait()?.success(), "a worker failed");
        for line in text.lines() {
            let (value, count) = line.split_once(' ').context("a line of two numbers")?;
            match value {
                "items" => items += count.parse::<u64>()?,
                "seconds" => longest = longest.max(count.parse()?),
                value => latencies.record_n(value.parse()?, count.parse()?)?,
            }
        }
    }
    Ok(Measurement::new(items, longest, &latencies))
}

impl Worker {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let database = open(&self.database)?;
        let begin = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.begin_ns);
        std::thread::sleep(begin.duration_since(SystemTime::now()).unwrap_or_default());

        let mut insert = database.prepare("INSERT INTO work(number, text) VALUES (?, ?)")?;
        let mut point = database.prepare("SELECT id, number, text FROM work WHERE id = ?")?;
        let mut scan = database.prepare("SELECT id, number, text FROM work")?;
        let mut latencies = Histogram::<u64>::new(3)?;
        let (mut items, mut random) = (0_u64, self.number);
        let start = Instant::now();
        while start.elapsed().as_secs() < self.seconds {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 33).cast_signed() % self.rows.max(1) + 1;
            let one = Instant::now();
            let write =
                self.work == Work::Insert.name() || (self.work == Work::Mixed.name() && (random >> 40) % 100 < 10);
            if write {
                insert.execute(params![key, TEXT])?;
                items += 1;
            } else {
                let mut rows = if self.work == Work::Scan.name() { scan.query([])? } else { point.query([key])? };
                while let Some(row) = rows.next()? {
                    std::hint::black_box((row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?));
                    items += 1;
                }
            }
            latencies.record(u64::try_from(one.elapsed().as_nanos())?)?;
        }
        println!("items {items}\nseconds {}", start.elapsed().as_secs_f64());
        for value in latencies.iter_recorded() {
            println!("{} {}", value.value_iterated_to(), value.count_at_value());
        }
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    Ok(database)
}

fn prepare(path: &Path, rows: i64) -> anyhow::Result<()> {
    let database = open(path)?;
    database.execute("CREATE TABLE work(id INTEGER PRIMARY KEY, number INTEGER, text TEXT)", [])?;
    database.execute(
        "INSERT INTO work WITH RECURSIVE n(i) AS (SELECT 1 WHERE ?1 > 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         SELECT i, i * 7, ?2 FROM n",
        params![rows, TEXT],
    )?;
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
