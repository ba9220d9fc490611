//! A CSV file of a million rows: `skylinedb-cli import` beside sqlite3's own `.import` into a database of the same
//! durability.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use hdrhistogram::Histogram;

use crate::{
    case::SCAN_ROWS,
    direct::TEXT,
    measurement::Measurement,
    process::{beside, output},
    skyline::Daemon,
};

const CREATE: &str = "CREATE TABLE imported(id INTEGER PRIMARY KEY, number INTEGER, text TEXT)";

/// Writes the file, unless it is there.
fn file(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.join("rows.csv");
    if !path.exists() {
        let mut csv = BufWriter::new(File::create(&path)?);
        writeln!(csv, "id,number,text")?;
        for id in 1..=SCAN_ROWS {
            writeln!(csv, "{id},{},\"{TEXT}\"", id * 7)?;
        }
        csv.flush()?;
    }
    Ok(path)
}

pub(crate) fn by_skyline(folder: &Path, daemon: &Daemon) -> anyhow::Result<Measurement> {
    let csv = file(folder)?;
    let cli = |arguments: &[&str]| -> anyhow::Result<()> {
        let mut cli = Command::new(beside("skylinedb-cli")?);
        output(cli.arg("--endpoint").arg(daemon.socket()).args(arguments)).map(drop)
    };
    cli(&["execute", "-q", CREATE])?;
    let measurement = timed(|| cli(&["import", "-q", &csv.display().to_string(), "--table", "imported"]));
    cli(&["execute", "-q", "DROP TABLE imported"])?;
    measurement
}

pub(crate) fn by_sqlite3(folder: &Path) -> anyhow::Result<Measurement> {
    let csv = file(folder)?;
    let folder = tempfile::tempdir_in(folder)?;
    timed(|| {
        let mut sqlite3 = Command::new("sqlite3");
        sqlite3.arg(folder.path().join("import.db")).args([
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            CREATE,
        ]);
        sqlite3.arg(format!(".import --csv --skip 1 {} imported", csv.display())).stdout(Stdio::null());
        output(&mut sqlite3).map(drop)
    })
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Measurement> {
    let begin = Instant::now();
    work()?;
    let took = begin.elapsed();
    let mut latencies = Histogram::<u64>::new(3)?;
    latencies.record(u64::try_from(took.as_nanos())?)?;
    Ok(Measurement::new(SCAN_ROWS.cast_unsigned(), took.as_secs_f64(), &latencies))
}
