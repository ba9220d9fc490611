//! Runs the same work against SkylineDB, against processes that open the file themselves, and against PostgreSQL, in turns
//! on one machine, and prints medians and ratios. `scripts/compare` builds and installs what it needs.
//!
//! `hostile` measures what clients feel of each other; otherwise `case` says what is done; `skyline`, `direct`, `postgres` and `floor` each do it in their way; `table` prints.

mod case;
mod direct;
mod floor;
mod growth;
#[path = "../../tests/hostile/harness/mod.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod harness;
mod hostile;
mod import;
mod measurement;
mod postgres;
mod process;
mod rest;
mod skyline;
mod table;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::{
    case::{CASES, Case, Work},
    measurement::Measurement,
    table::Table,
};

/// Compare SkylineDB with what people would use instead, on this machine, now.
#[derive(Debug, Parser)]
#[command(name = "skylinedb-compare")]
struct Arguments {
    /// Seconds for each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often everything is measured, in turns; medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only cases whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Where databases and sockets lie while it runs; it should be on the disk that is meant to be measured
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Instead of comparing, measure how throughput grows with clients and rows, and draw it into this SVG file
    #[arg(long, value_name = "FILE")]
    growth: Option<PathBuf>,
    /// Instead of comparing, measure what other clients feel of each hostile statement of tests/hostile
    #[arg(long)]
    hostile: bool,
    /// Instead of with others, compare with an earlier build: the folder of its `skylinedb-daemon`
    #[arg(long, value_name = "FOLDER")]
    before: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that run in processes of their own.
#[derive(Debug, Subcommand)]
enum Part {
    /// One process that opens the file itself
    #[command(hide = true)]
    DirectWorker(direct::Worker),
    /// A bare tonic service that answers and does nothing else
    #[command(hide = true)]
    Floor {
        /// Where it listens
        socket: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::DirectWorker(worker)) => worker.run(),
        Some(Part::Floor { socket }) => floor::serve(&socket),
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = match &arguments.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    if arguments.hostile {
        hostile::measure(folder.path(), &arguments.only, arguments.seconds);
        return Ok(());
    }
    let skyline = skyline::Daemon::start(&folder.path().join("skyline"))?;
    if let Some(picture) = &arguments.growth {
        return growth::measure(&skyline, arguments.seconds, arguments.rounds, picture);
    }
    if let Some(programs) = &arguments.before {
        return compare_with_before(arguments, &skyline, programs, folder.path());
    }
    let postgres = postgres::Cluster::start(folder.path())?;
    let floor = floor::Server::start(folder.path())?;
    let mut table = Table::new();
    for (case, _) in turns(arguments) {
        let seconds = arguments.seconds;
        if case.work == Work::Import {
            table.add(case, "SkylineDB", import::by_skyline(folder.path(), &skyline)?);
            table.add(case, "sqlite3", import::by_sqlite3(folder.path())?);
            continue;
        }
        table.add(case, "SkylineDB", skyline.measure(case, seconds)?);
        if case.has_rivals() {
            table.add(case, "direct", direct::measure(folder.path(), case, seconds)?);
            table.add(case, "PostgreSQL", postgres.measure(case, seconds)?);
        }
        if case.has_floor() {
            table.add(case, "bare tonic", floor.measure(case, seconds)?);
        }
    }
    if "at rest".contains(&arguments.only) {
        for _ in 0..arguments.rounds {
            rest::measure(folder.path(), &mut table)?;
        }
    }
    print(arguments, &table);
    Ok(())
}

fn compare_with_before(
    arguments: &Arguments,
    skyline: &skyline::Daemon,
    programs: &Path,
    folder: &Path,
) -> anyhow::Result<()> {
    let before = skyline::Daemon::start_program(&programs.join("skylinedb-daemon"), &folder.join("before"))?;
    let mut table = Table::new();
    for (case, round) in turns(arguments).filter(|(case, _)| case.work != Work::Import) {
        let mut both = [("SkylineDB", skyline), ("before", &before)];
        if round % 2 == 1 {
            both.reverse();
        }
        for (who, daemon) in both {
            table.add(case, who, daemon.measure(case, arguments.seconds)?);
        }
    }
    print(arguments, &table);
    Ok(())
}

/// What is measured, one after the other, each with the number of its round. Says so on the way.
fn turns(arguments: &Arguments) -> impl Iterator<Item = (&'static Case, usize)> {
    let meant = CASES.iter().filter(|case| case.name.contains(&arguments.only));
    meant.flat_map(|case| (0..arguments.rounds).map(move |round| (case, round))).inspect(|(case, round)| {
        eprintln!("{} ({} of {})", case.name, round + 1, arguments.rounds);
    })
}

fn print(arguments: &Arguments, table: &Table) {
    let printed = if arguments.json { format!("{}\n", table.to_json()) } else { table.to_text() };
    print!("{printed}");
}
