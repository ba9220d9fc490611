//! One client of a benchmark: keeps so many requests under way, until the time is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use hdrhistogram::Histogram;
use skylinedb::{Batch, Client, Error, Session};

use super::workload::{Random, Table};
use crate::{
    args::{BenchArguments, BenchMode, Workload},
    failure::Failure,
};

/// Latencies are kept with three digits.
const DIGITS: u8 = 3;

/// Of a hundred requests of the mixed workload, so many are writes.
const MIXED_WRITES: i64 = 10;

/// What all clients have done so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU64,
    errors: AtomicU64,
}

/// One client.
pub(super) struct Load {
    way: Way,
    table: Table,
    workload: Workload,
    batch: usize,
    pipeline: usize,
    random: Random,
    progress: Arc<Progress>,
}

/// What one client has done.
pub(super) struct Done {
    pub(super) latencies: Histogram<u64>,
    /// Requests, statements and rows that were answered.
    pub(super) requests: u64,
    pub(super) items: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

enum Way {
    Calls(Box<Client>),
    Session(Session),
}

enum Request {
    Ping,
    Batch(Batch),
    Scan,
}

impl Load {
    /// Makes what the client needs before the clock starts.
    pub(super) async fn prepare(
        client: Client,
        number: usize,
        arguments: &BenchArguments,
        table: &Table,
        progress: Arc<Progress>,
    ) -> Result<Self, Failure> {
        let way = match arguments.mode {
            BenchMode::Unary => Way::Calls(client.without_stream().into()),
            BenchMode::Session => Way::Session(client.session().await?),
            BenchMode::Default => Way::Calls(client.into()),
        };
        Ok(Self {
            way,
            table: table.clone(),
            workload: arguments.workload,
            batch: arguments.batch(),
            pipeline: arguments.pipeline.get(),
            random: Random::new(number as u64),
            progress,
        })
    }

    /// Works until the time is over.
    pub(super) async fn run(mut self, end: Instant) -> Done {
        let mut done = Done::new();
        let mut next = || {
            let writes = match self.workload {
                Workload::Insert | Workload::Import => true,
                Workload::Mixed => self.random.below(100) < MIXED_WRITES,
                Workload::Ping | Workload::PointRead | Workload::Scan => false,
            };
            let request = match self.workload {
                Workload::Ping => Request::Ping,
                Workload::Scan => Request::Scan,
                _ if writes => Request::Batch(self.table.insert(self.batch, &mut self.random)),
                _ => Request::Batch(self.table.point_read(self.batch, &mut self.random)),
            };
            let (way, table, items) = (&self.way, &self.table, self.batch as u64);
            async move {
                let begin = Instant::now();
                (begin, way.send(request, table, items).await)
            }
        };
        if self.pipeline == 1 {
            while Instant::now() < end {
                let (begin, outcome) = next().await;
                done.count(begin, outcome, &self.progress);
            }
            return done;
        }
        let mut under_way: FuturesUnordered<_> = (0..self.pipeline).map(|_| next()).collect();
        while let Some((begin, outcome)) = under_way.next().await {
            done.count(begin, outcome, &self.progress);
            if Instant::now() < end {
                under_way.push(next());
            }
        }
        done
    }
}

impl Way {
    /// Sends a request and takes its answer. Returns how many items that were.
    async fn send(&self, request: Request, table: &Table, items: u64) -> Result<u64, Error> {
        let result = match (self, request) {
            (Self::Calls(client), Request::Ping) => return client.ping().await.map(|_| 1),
            (Self::Session(session), Request::Ping) => return session.ping().await.map(|_| 1),
            (Self::Calls(client), Request::Batch(batch)) => client.execute_batch(batch).await?,
            (Self::Session(session), Request::Batch(batch)) => session.execute_batch(batch).await?,
            (way, Request::Scan) => {
                let (sql, params) = table.scan();
                let mut rows = match way {
                    Self::Calls(client) => client.query(sql, params).await?,
                    Self::Session(session) => session.query(sql, params).await?,
                };
                let mut count = 0;
                while let Some(row) = rows.next().await {
                    row?;
                    count += 1;
                }
                return Ok(count);
            }
        };
        result.results.into_iter().try_for_each(|result| result.map(drop))?;
        Ok(items)
    }
}

impl Done {
    fn new() -> Self {
        // Without bounds it grows as it must; three digits are a valid precision.
        let latencies = Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("{DIGITS} digits"));
        Self { latencies, requests: 0, items: 0, errors: 0, first_error: None }
    }

    fn count(&mut self, begin: Instant, outcome: Result<u64, Error>, progress: &Progress) {
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match outcome {
            Ok(items) => {
                let _ = self.latencies.record(nanoseconds); // it grows as it must
                self.requests += 1;
                self.items += items;
                progress.done.fetch_add(items, Ordering::Relaxed);
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
                progress.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Adds what another client has done.
    pub(super) fn add(&mut self, other: Self) {
        // Both grow as they must.
        let _ = self.latencies.add(other.latencies);
        self.requests += other.requests;
        self.items += other.items;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

impl Default for Done {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}
