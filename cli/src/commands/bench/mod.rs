//! `bench`: loads the daemon with one kind of work and measures it, as pgbench and redis-benchmark do for their servers.

mod load;
mod report;
mod workload;

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use skylinedb::Client;
use skylinedb_local::process::raise_open_files_limit;

use super::connect;
use crate::{
    args::{BenchArguments, BenchFormat, DaemonArguments},
    failure::Failure,
};
use load::{Load, Progress};
use report::Report;
use workload::Table;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

pub(super) async fn run(daemon: &DaemonArguments, arguments: BenchArguments) -> Result<(), Failure> {
    let _ = raise_open_files_limit(); // if it fails, connecting will, and say why
    let client = connect(daemon).await?;
    let table = Table::prepare(&client, &arguments).await?;
    let outcome = measure(&client, &arguments, &table).await;
    if !arguments.keep {
        table.drop(&client).await?;
    }
    let report = outcome?;
    let text = match arguments.format {
        BenchFormat::Text => report.to_text(),
        BenchFormat::Json => report.to_json(),
    };
    io::stdout().write_all(text.as_bytes())?;
    report.check()
}

async fn measure(client: &Client, arguments: &BenchArguments, table: &Table) -> Result<Report, Failure> {
    let progress = Arc::new(Progress::default());
    let mut clients = Vec::new();
    for number in 0..arguments.clients.get() {
        // A connection each, as so many programs would have.
        let client = Client::connect(client.endpoint().clone()).await?;
        clients.push(Load::prepare(client, number, arguments, table, Arc::clone(&progress)).await?);
    }
    let begin = Instant::now();
    let end = begin + Duration::from_secs(arguments.seconds.get());
    let running: Vec<_> = clients.into_iter().map(|load| tokio::spawn(load.run(end))).collect();
    let watch = tokio::spawn(watch(Arc::clone(&progress), begin));

    let mut report = Report::new(arguments);
    for client in running {
        report
            .add(client.await.map_err(|error| Failure::refused(format!("a client of the benchmark failed: {error}")))?);
    }
    watch.abort();
    report.elapsed = begin.elapsed();
    Ok(report)
}

/// Says on a terminal how it goes.
async fn watch(progress: Arc<Progress>, begin: Instant) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut before = 0;
    loop {
        tokio::time::sleep(PROGRESS).await;
        let done = progress.done();
        let _ = write!(
            io::stderr(),
            "\r{:4.0} s  {:>9}/s  {} errors\x1b[K\r",
            begin.elapsed().as_secs_f64(),
            done - before,
            progress.errors()
        );
        before = done;
    }
}
