//! Clients that make the daemon use memory, each in its own way.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use prost::bytes::{Buf as _, BufMut as _, Bytes};
use skylinedb::{
    Value,
    proto::v1::{
        ExecuteRequest, QueryRequest, SessionRequest, session_request::Request,
        skyline_db_service_client::SkylineDbServiceClient,
    },
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use crate::connection;

/// A way to use the daemon's memory.
#[derive(Clone, Copy)]
pub(crate) struct Hoarder {
    pub(crate) name: &'static str,
    pub(crate) run: fn(PathBuf, Rounds) -> Work,
    /// How many of them at once this test program itself can afford.
    pub(crate) most_clients: usize,
}

/// Counts what the clients have done, so that the test waits until each has done something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Arc<AtomicUsize>);

impl Rounds {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Work = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A new way is a new line.
pub(crate) const HOARDERS: &[Hoarder] = &[
    Hoarder {
        name: "rows of three huge values",
        run: |at, rounds| Box::pin(read(at, rounds, ROW_OF_HUGE_VALUES)),
        most_clients: 64,
    },
    Hoarder {
        name: "rows of large values",
        run: |at, rounds| Box::pin(read(at, rounds, ROWS_OF_LARGE_VALUES)),
        most_clients: 64,
    },
    Hoarder {
        name: "large rows that are not taken",
        run: |at, rounds| Box::pin(stop_reading(at, rounds)),
        most_clients: 64,
    },
    Hoarder { name: "large answers", run: |at, rounds| Box::pin(execute(at, rounds, LARGE_ANSWER)), most_clients: 64 },
    Hoarder { name: "nested CTEs", run: |at, rounds| Box::pin(execute(at, rounds, NESTED)), most_clients: 64 },
    Hoarder { name: "sorts of large rows", run: |at, rounds| Box::pin(execute(at, rounds, SORT)), most_clients: 64 },
    Hoarder {
        name: "functions of large values",
        run: |at, rounds| Box::pin(execute(at, rounds, FUNCTIONS)),
        most_clients: 64,
    },
    Hoarder { name: "large JSON", run: |at, rounds| Box::pin(execute(at, rounds, JSON)), most_clients: 64 },
    Hoarder {
        name: "recursions with a long queue",
        run: |at, rounds| Box::pin(execute(at, rounds, QUEUE)),
        most_clients: 64,
    },
    Hoarder {
        name: "aggregates that grow",
        run: |at, rounds| Box::pin(execute(at, rounds, AGGREGATE)),
        most_clients: 64,
    },
    Hoarder { name: "large parameters", run: |at, rounds| Box::pin(large_parameters(at, rounds)), most_clients: 8 },
    Hoarder { name: "large writes", run: |at, rounds| Box::pin(large_writes(at, rounds)), most_clients: 8 },
    Hoarder {
        name: "messages of empty statements",
        run: |at, rounds| Box::pin(repeat(at, rounds, EMPTY_STATEMENTS)),
        most_clients: 4,
    },
    Hoarder {
        name: "messages of empty values",
        run: |at, rounds| Box::pin(repeat(at, rounds, EMPTY_VALUES)),
        most_clients: 4,
    },
    Hoarder {
        name: "messages of empty names",
        run: |at, rounds| Box::pin(repeat(at, rounds, EMPTY_NAMES)),
        most_clients: 4,
    },
    Hoarder {
        name: "1,000 calls whose answers are not taken",
        run: |at, rounds| Box::pin(calls(at, rounds)),
        most_clients: 64,
    },
    Hoarder {
        name: "256 pipelined requests whose answers are not taken",
        run: |at, rounds| Box::pin(pipeline(at, rounds)),
        most_clients: 64,
    },
    Hoarder { name: "stored answers", run: |at, rounds| Box::pin(stored_answers(at, rounds)), most_clients: 64 },
];

const ROW_OF_HUGE_VALUES: &str = "SELECT zeroblob(900000000), zeroblob(900000000), zeroblob(900000000)";
const ROWS_OF_LARGE_VALUES: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT randomblob(20000000), randomblob(20000000) FROM n";
const LARGE_ANSWER: &str = "SELECT zeroblob(15000000)";
const SORT: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000)
    SELECT max(length(x)) FROM (SELECT hex(randomblob(50000)) AS x FROM n ORDER BY 1)";
const FUNCTIONS: &str = "SELECT length(replace(hex(zeroblob(30000000)), '00', 'a') || quote(randomblob(30000000)))";
const JSON: &str = "SELECT json_array_length('[' || replace(hex(zeroblob(10000000)), '0', '1,') || '1]')";
const QUEUE: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + j FROM n, (SELECT 1 AS j UNION ALL SELECT 2)) SELECT count(*) FROM n";
const AGGREGATE: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
    SELECT length(group_concat(hex(randomblob(1000)))), json_group_array(i), count(DISTINCT randomblob(1000)) FROM n";
const NESTED: &str = "WITH a AS (SELECT 1 AS x), b AS (SELECT a.x FROM a, a y), c AS (SELECT b.x FROM b, b y), \
     d AS (SELECT c.x FROM c, c y), e AS (SELECT d.x FROM d, d y), f AS (SELECT e.x FROM e, e y), \
     g AS (SELECT f.x FROM f, f y), h AS (SELECT g.x FROM g, g y), i AS (SELECT h.x FROM h, h y), \
     j AS (SELECT i.x FROM i, i y), k AS (SELECT j.x FROM j, j y), l AS (SELECT k.x FROM k, k y), \
     m AS (SELECT l.x FROM l, l y), n AS (SELECT m.x FROM m, m y), o AS (SELECT n.x FROM n, n y), \
     p AS (SELECT o.x FROM o, o y) SELECT count(*) FROM p";

/// What an HTTP/2 connection takes of answers that no one reads: as little as the protocol allows.
const SMALLEST_WINDOW_BYTES: u32 = 65_535;

/// The messages of [`repeat`] are as long as the daemon allows, by default.
const MESSAGE_BYTES: usize = 64 << 20;

/// Fields of two bytes: the tag of a message, and its length, 0.
const EMPTY_STATEMENTS: Repeated = Repeated { within: &[], field: [0x12, 0] }; // ExecuteRequest.statements
const EMPTY_VALUES: Repeated = Repeated { within: &[0x12], field: [0x12, 0] }; // Statement.parameters
const EMPTY_NAMES: Repeated = Repeated { within: &[0x12], field: [0x1a, 0] }; // Statement.named_parameters

async fn read(at: PathBuf, rounds: Rounds, sql: &'static str) -> anyhow::Result<()> {
    let mut grpc = grpc(&at).await?;
    loop {
        if let Ok(parts) = grpc.query(query(sql)).await {
            let mut parts = parts.into_inner();
            while let Ok(Some(_)) = parts.message().await {}
        }
        rounds.one_more();
    }
}

async fn stop_reading(at: PathBuf, rounds: Rounds) -> anyhow::Result<()> {
    let mut grpc = grpc(&at).await?;
    let _parts = grpc.query(query(ROWS_OF_LARGE_VALUES)).await;
    rounds.one_more();
    std::future::pending().await
}

async fn execute(at: PathBuf, rounds: Rounds, sql: &'static str) -> anyhow::Result<()> {
    let mut grpc = grpc(&at).await?;
    loop {
        drop(grpc.execute(connection::execute(vec![sql.to_owned()], &[], false)).await);
        rounds.one_more();
    }
}

async fn large_parameters(at: PathBuf, rounds: Rounds) -> anyhow::Result<()> {
    let mut grpc = grpc(&at).await?;
    loop {
        let blob = Value::Blob(vec![1; 60 << 20]);
        drop(grpc.execute(connection::execute(vec!["SELECT length(hex(?1))".into()], &[blob], false)).await);
        rounds.one_more();
    }
}

async fn large_writes(at: PathBuf, rounds: Rounds) -> anyhow::Result<()> {
    let mut grpc = grpc(&at).await?;
    drop(grpc.execute(connection::execute(vec!["CREATE TABLE IF NOT EXISTS t(x)".into()], &[], false)).await);
    loop {
        let blob = Value::Blob(vec![1; 30 << 20]);
        let insert = "INSERT INTO t VALUES (?1), (?1 || x'00')".to_owned();
        let delete = "DELETE FROM t WHERE ?1 IS NOT NULL".to_owned();
        drop(grpc.execute(connection::execute(vec![insert, delete], &[blob], false)).await);
        rounds.one_more();
    }
}

async fn repeat(at: PathBuf, rounds: Rounds, repeated: Repeated) -> anyhow::Result<()> {
    let message = repeated.message();
    let mut grpc = Grpc::new(connection::connect(&at).await?);
    loop {
        grpc.ready().await?;
        let path = PathAndQuery::from_static("/skylinedb.v1.SkylineDbService/Execute");
        drop(grpc.unary(tonic::Request::new(message.clone()), path, Raw).await);
        rounds.one_more();
    }
}

async fn calls(at: PathBuf, rounds: Rounds) -> anyhow::Result<()> {
    let grpc = grpc_that_takes_little(&at).await?;
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let mut grpc = grpc.clone();
        let request = connection::execute(vec![LARGE_ANSWER.to_owned()], &[], false);
        calls.spawn(async move { drop(grpc.execute(request).await) });
    }
    rounds.one_more();
    while calls.join_next().await.is_some() {}
    Ok(())
}

async fn pipeline(at: PathBuf, rounds: Rounds) -> anyhow::Result<()> {
    let mut grpc = grpc_that_takes_little(&at).await?;
    let (requests, outgoing) = mpsc::channel(256);
    let _answers = grpc.session(ReceiverStream::new(outgoing)).await?;
    for id in 1..=256 {
        let request = connection::execute(vec![LARGE_ANSWER.to_owned()], &[], false);
        let independent = id % 2 == 0;
        requests
            .send(SessionRequest { id, independent, request: Some(Request::Execute(request)), ..Default::default() })
            .await?;
    }
    rounds.one_more();
    std::future::pending().await
}

async fn stored_answers(at: PathBuf, rounds: Rounds) -> anyhow::Result<()> {
    let mut grpc = grpc(&at).await?;
    drop(grpc.execute(connection::execute(vec!["CREATE TABLE IF NOT EXISTS t(x)".into()], &[], false)).await);
    for number in 0.. {
        let insert = "INSERT INTO t VALUES (1) RETURNING zeroblob(15000000)".to_owned();
        let request_id = format!("{:p} {number}", &raw const grpc);
        let request = connection::execute(vec![insert], &[], false);
        drop(grpc.execute(ExecuteRequest { request_id, ..request }).await);
        rounds.one_more();
    }
    Ok(())
}

fn query(sql: &str) -> QueryRequest {
    QueryRequest { statement: Some(connection::statement(sql, &[])), ..Default::default() }
}

async fn grpc(at: &Path) -> anyhow::Result<SkylineDbServiceClient<Channel>> {
    let channel = connection::connect(at).await?;
    Ok(SkylineDbServiceClient::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX))
}

async fn grpc_that_takes_little(at: &Path) -> anyhow::Result<SkylineDbServiceClient<Channel>> {
    let channel = connection::connect_with_windows(at, SMALLEST_WINDOW_BYTES, SMALLEST_WINDOW_BYTES).await?;
    Ok(SkylineDbServiceClient::new(channel).max_decoding_message_size(usize::MAX))
}

/// A message of one field of two bytes, as often as there is room.
#[derive(Clone, Copy)]
struct Repeated {
    /// The tag of the field that holds them all, if it is not the message itself.
    within: &'static [u8],
    field: [u8; 2],
}

impl Repeated {
    fn message(self) -> Bytes {
        let fields = self.field.repeat(MESSAGE_BYTES / 2 - 8);
        let mut message = self.within.to_vec();
        if !self.within.is_empty() {
            prost::encode_length_delimiter(fields.len(), &mut message).expect("a vector grows");
        }
        message.extend(fields);
        message.into()
    }
}

/// Sends bytes as they are, and looks at no answer.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
