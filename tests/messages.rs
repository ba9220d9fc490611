//! Messages take no more memory than is written, whatever clients send and whatever they leave untaken.
#![cfg(target_os = "linux")]

mod support;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use h2::{RecvStream, SendStream, client::SendRequest};
use prost::{Message as _, bytes::Bytes};
use skylinedb::{Client, Error, Params, Value, params, proto::v1 as proto};
use support::{Daemon, MIB, PATIENCE};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tonic::{Code, Status, codegen::http};
use tonic_types::StatusExt as _;

const EXECUTE: &str = "Execute";
const QUERY: &str = "Query";
const SESSION: &str = "Session";

/// What a daemon takes that has nothing to do, and what its connections, SQLite and the allocator take beside messages.
const BESIDE_MESSAGES: usize = 150 * MIB;

#[tokio::test]
async fn a_message_that_is_none_is_the_clients_mistake() {
    let daemon = Daemon::start();
    let raw = Raw::connect(&daemon).await;
    for (call, message) in [(EXECUTE, vec![0xff]), (QUERY, vec![0x0a, 0x05, b'a']), (EXECUTE, vec![0xff; 100_000])] {
        let status = raw.call(call, &message).await.status().await;
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "MALFORMED_MESSAGE"),
            "{status:?}"
        );
    }
    let mut session = raw.open(SESSION).await;
    session.send(&[0xff]).await;
    let status = session.answer().await.status().await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MALFORMED_MESSAGE"), "{status:?}");
    assert_eq!(daemon.value("SELECT 1"), 1, "the daemon lives on");
}

/// Each is two bytes on the wire, and a hundred in memory: gigabytes.
#[tokio::test]
async fn what_is_empty_cannot_fill_the_memory() {
    let daemon = Daemon::start();
    let raw = Raw::connect(&daemon).await;
    let empty = [0x12, 0].repeat(60 * MIB / 2); // statements of a batch, or values of a statement
    let one_statement = proto::ExecuteRequest { statements: vec![proto::Statement::default()], ..Default::default() };
    assert_eq!(one_statement.encode_to_vec(), empty[..2]);
    let statement = |content: &[u8]| [&[0x12][..], &length(content.len()), content].concat();

    let execute = statement(&empty);
    for (call, message, expected) in [
        (EXECUTE, &empty, "TOO_MANY_STATEMENTS"),
        (EXECUTE, &execute, "TOO_MANY_VALUES"),
        (QUERY, &execute, "TOO_MANY_VALUES"),
    ] {
        let status = raw.call(call, message).await.status().await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, expected), "{status:?}");
    }

    // A session answers with the request's number, and goes on.
    let mut session = raw.open(SESSION).await;
    session.send(&[&[0x08, 7, 0x1a][..], &length(execute.len()), &execute].concat()).await;
    let ping = proto::session_request::Request::Ping(proto::PingRequest::default());
    session.send(&proto::SessionRequest { id: 8, request: Some(ping), ..Default::default() }.encode_to_vec()).await;
    let mut answers = session.answer().await;
    let (refused, answered) = (answers.message().await, answers.message().await);
    assert_eq!(refused.id, 7);
    let Some(proto::session_response::Response::Error(error)) = refused.response else { panic!("{refused:?}") };
    assert_eq!(error.reason, "TOO_MANY_VALUES");
    assert!(matches!(answered.response, Some(proto::session_response::Response::Ping(_))), "{answered:?}");

    let peak = daemon.peak_rss_bytes();
    assert!(peak < 2 * 64 * MIB + BESIDE_MESSAGES, "{} MiB", peak / MIB);
}

#[tokio::test]
async fn requests_that_come_in_part_take_no_more_than_their_half_and_others_get_in() {
    let (daemon, client) = with_buffers(128).await;
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    let mut hostile = Vec::new();
    for _ in 0..4 {
        let raw = Raw::connect(&daemon).await;
        for _ in 0..10 {
            let mut call = raw.open(EXECUTE).await;
            call.send_bytes([&[0][..], &(60_000_000_u32).to_be_bytes(), &vec![0; 50_000]].concat().into()).await;
            hostile.push(call);
        }
    }
    until_it_works(async || client.execute("INSERT INTO t VALUES (?)", params![vec![0_u8; MIB]]).await).await;
    let peak = daemon.peak_rss_bytes();
    assert!(peak < 64 * MIB + BESIDE_MESSAGES, "{} MiB", peak / MIB);
    drop(hostile);
}

#[tokio::test]
async fn answers_that_are_not_taken_take_no_more_than_their_half_and_others_get_theirs() {
    let (daemon, client) = with_buffers(128).await;
    let mut hostile = Vec::new();
    for _ in 0..4 {
        let raw = Raw::connect(&daemon).await;
        for _ in 0..50 {
            let call = raw.call(EXECUTE, &execute("SELECT zeroblob(4000000)").encode_to_vec()).await;
            hostile.push(call);
        }
        hostile.push(raw.call(QUERY, &query("SELECT zeroblob(40000000)").encode_to_vec()).await);
    }
    until_it_works(async || client.execute("SELECT zeroblob(16000000)", params![]).await).await;
    let peak = daemon.peak_rss_bytes();
    // SQLite has values of its own, and rows are encoded beside them: with eight readers at once.
    assert!(peak < 64 * MIB + 8 * 2 * 40 * MIB + BESIDE_MESSAGES, "{} MiB", peak / MIB);
    drop(hostile);
}

#[tokio::test]
async fn who_does_not_even_read_from_the_socket_is_hung_up_on() {
    let (daemon, client) = with_buffers(128).await;
    let mut hostile = Vec::new();
    for _ in 0..30 {
        let raw = Raw::deaf(&daemon).await;
        let mut call = raw.open(EXECUTE).await;
        call.send(&execute("SELECT zeroblob(4000000)").encode_to_vec()).await;
        call.request.send_data(Bytes::new(), true).expect("a stream");
        hostile.push((raw, call));
    }
    until_it_works(async || client.execute("SELECT zeroblob(8000000)", params![]).await).await;
    drop(hostile);
}

#[tokio::test]
async fn a_session_whose_answers_are_not_taken_runs_no_more_requests() {
    let (daemon, client) = with_buffers(256).await;
    let raw = Raw::connect(&daemon).await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let mut session = raw.open(SESSION).await;
        for id in 1..=256 {
            let request = proto::session_request::Request::Execute(execute("SELECT zeroblob(2000000)"));
            let request =
                proto::SessionRequest { id, request: Some(request), independent: id % 2 == 0, ..Default::default() };
            session.send(&request.encode_to_vec()).await;
        }
        sessions.push(session.answer().await);
    }
    until_it_works(async || client.execute("SELECT zeroblob(16000000)", params![]).await).await;
    let peak = daemon.peak_rss_bytes();
    assert!(peak < 128 * MIB + BESIDE_MESSAGES, "{} MiB", peak / MIB);
    drop(sessions);
}

/// What is taken is free again: the same client can go on for ever.
#[tokio::test]
async fn what_was_taken_is_free_again() {
    let (_daemon, client) = with_buffers(128).await;
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    for _ in 0..8 {
        let blob = vec![7_u8; 20 * MIB];
        let sent = client.execute("INSERT INTO t VALUES (?)", params![blob]).await.expect("a place for the request");
        assert_eq!(sent.rows_affected, 1);
        let row = client.execute("SELECT substr(x, 1, 10000000) FROM t", params![]).await.expect("and for the answer");
        assert_eq!(row.rows[0].values()[0], Value::Blob(vec![7; 10_000_000]));
        client.execute("DELETE FROM t", Params::default()).await.expect("a delete");
    }
}

#[test]
fn a_message_must_fit_into_the_buffers() {
    let folder = support::Folder::new();
    let output = support::run(&mut folder.daemon_command(["--max-buffered-bytes", "134217727"]), b"");
    let text = format!("{output:?}");
    assert!(
        text.contains("--max-buffered-bytes is 134217727") && text.contains("--max-message-bytes (67108864)"),
        "{text}"
    );
}

async fn with_buffers(mebibytes: usize) -> (Daemon, Client) {
    let daemon = Daemon::builder().arg("--max-buffered-bytes").arg((mebibytes * MIB).to_string()).start();
    let client = daemon.client().await;
    (daemon, client)
}

/// Tries again while the buffers are full.
async fn until_it_works<T>(mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let begin = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(Error::Database(error)) if error.reason == "BUFFERS_FULL" => {
                assert!(error.retry_after.is_some(), "a retry helps");
                assert!(begin.elapsed() < PATIENCE, "the buffers stay full");
                tokio::time::sleep(Duration::from_millis(50)).await; // between two tries
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn execute(sql: &str) -> proto::ExecuteRequest {
    let statement = proto::Statement { sql: sql.to_owned(), ..Default::default() };
    proto::ExecuteRequest { statements: vec![statement], ..Default::default() }
}

fn query(sql: &str) -> proto::QueryRequest {
    let statement = proto::Statement { sql: sql.to_owned(), ..Default::default() };
    proto::QueryRequest { statement: Some(statement), ..Default::default() }
}

fn length(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(length as u64, &mut bytes);
    bytes
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// A client that says whatever it likes.
struct Raw {
    requests: SendRequest<Bytes>,
}

/// A connection that is not read from.
struct Deaf(UnixStream);

struct Call {
    answer: h2::client::ResponseFuture,
    request: SendStream<Bytes>,
}

struct Answer {
    headers: http::HeaderMap,
    body: RecvStream,
    bytes: Vec<u8>,
}

impl Raw {
    async fn connect(daemon: &Daemon) -> Self {
        let stream = UnixStream::connect(daemon.folder().endpoint()).await.expect("a connection");
        let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
        tokio::spawn(async move { drop(connection.await) });
        Self { requests }
    }

    /// One that takes whatever comes, but for what it says, and so reads nothing.
    async fn deaf(daemon: &Daemon) -> Self {
        let stream = UnixStream::connect(daemon.folder().endpoint()).await.expect("a connection");
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
        let (requests, connection) = builder.handshake(Deaf(stream)).await.expect("a handshake");
        tokio::spawn(async move { drop(connection.await) });
        Self { requests }
    }

    async fn open(&self, call: &str) -> Call {
        let request = http::Request::post(format!("http://x/skylinedb.v1.SkylineDbService/{call}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let mut requests = self.requests.clone().ready().await.expect("a connection");
        let (answer, request) = requests.send_request(request, false).expect("a stream");
        Call { answer, request }
    }

    /// Sends a call's only message, and waits for the head of the answer.
    async fn call(&self, call: &str, message: &[u8]) -> Answer {
        let mut call = self.open(call).await;
        call.send(message).await;
        call.answer().await
    }
}

impl Call {
    async fn send(&mut self, message: &[u8]) {
        let length = u32::try_from(message.len()).expect("a length");
        self.send_bytes([&[0][..], &length.to_be_bytes(), message].concat().into()).await;
    }

    /// Sends all of it, or what the daemon takes.
    async fn send_bytes(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            self.request.reserve_capacity(bytes.len());
            match std::future::poll_fn(|context| self.request.poll_capacity(context)).await {
                Some(Ok(capacity)) => {
                    let part = bytes.split_to(capacity.min(bytes.len()));
                    self.request.send_data(part, false).expect("a stream");
                }
                _ => return,
            }
        }
    }

    async fn answer(mut self) -> Answer {
        let _ = self.request.send_data(Bytes::new(), true);
        let (head, body) = self.answer.await.expect("an answer").into_parts();
        Answer { headers: head.headers, body, bytes: Vec::new() }
    }
}

impl Answer {
    /// The next message of a session.
    async fn message(&mut self) -> proto::SessionResponse {
        loop {
            if let [_, length @ ..] = self.bytes.get(..5).unwrap_or_default()
                && let Ok(length) = <[u8; 4]>::try_from(length)
                && let Some(message) = self.bytes.get(5..5 + u32::from_be_bytes(length) as usize)
            {
                let decoded = proto::SessionResponse::decode(message).expect("a message");
                let length = 5 + message.len();
                self.bytes.drain(..length);
                return decoded;
            }
            let data = self.body.data().await.expect("a message").expect("its bytes");
            self.body.flow_control().release_capacity(data.len()).expect("a window");
            self.bytes.extend_from_slice(&data);
        }
    }

    async fn status(mut self) -> Status {
        if let Some(status) = Status::from_header_map(&self.headers) {
            return status;
        }
        while let Some(data) = self.body.data().await {
            let data = data.expect("data");
            self.body.flow_control().release_capacity(data.len()).expect("a window");
        }
        let trailers = self.body.trailers().await.expect("the end").expect("trailers");
        Status::from_header_map(&trailers).expect("a status")
    }
}

impl AsyncRead for Deaf {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
