//! The tests play the daemon: they take the requests from the one end of a pipeline and write the answers into the other.

use std::{future::poll_fn, pin::pin};

use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::{
    params,
    session::{Session, TransactionKind},
    wire::EncodedRows,
};

struct Daemon {
    requests: mpsc::Receiver<proto::SessionRequest>,
    answers: mpsc::Sender<Result<proto::SessionResponse, Status>>,
}

fn pipeline(waiting_requests: usize) -> (Arc<Pipeline>, Daemon) {
    let (to_daemon, requests) = mpsc::channel(waiting_requests);
    let (answers, from_daemon) = mpsc::channel(16);
    let nowhere = Endpoint::new("/not/there.sock");
    (Arc::new(Pipeline::over(to_daemon, ReceiverStream::new(from_daemon), nowhere)), Daemon { requests, answers })
}

impl Daemon {
    async fn request(&mut self) -> (u64, Request) {
        let request = self.requests.recv().await.expect("a request");
        (request.id, request.request.expect("one that says what"))
    }

    async fn answer(&self, id: u64, response: Response) {
        self.answer_part(id, false, response).await;
    }

    async fn answer_part(&self, id: u64, more: bool, response: Response) {
        let answer = proto::SessionResponse { id, more, response: Some(response) };
        self.answers.send(Ok(answer)).await.expect("somebody receives");
    }
}

fn ping() -> Request {
    Request::Ping(proto::PingRequest::default())
}

fn pong(revision: u64) -> Response {
    Response::Ping(proto::PingResponse { revision, ..Default::default() })
}

fn rows(count: usize) -> Response {
    let mut rows = EncodedRows::default();
    (0..count).for_each(|_| rows.push([]));
    Response::Query(proto::QueryResponse { columns: vec![], rows })
}

/// Polls a future once; the caller gives it up by dropping it.
async fn begin(future: &mut (impl Future + Unpin)) {
    tokio::select! {
        biased;
        _ = future => {}
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn requests_go_without_waiting_and_answers_find_those_who_asked() {
    let (pipeline, mut daemon) = pipeline(16);
    let asked =
        async { tokio::join!(pipeline.ask(ping(), Place::InOrder, None), pipeline.ask(ping(), Place::InOrder, None)) };
    let served = async {
        let (first, second) = (daemon.request().await.0, daemon.request().await.0);
        daemon.answer(first, pong(1)).await;
        daemon.answer(second, pong(2)).await;
    };
    let ((first, second), ()) = tokio::join!(asked, served);
    assert_eq!(first.expect("an answer"), pong(1));
    assert_eq!(second.expect("an answer"), pong(2));
}

#[tokio::test]
async fn a_request_that_is_given_up_is_cancelled_and_its_answer_goes_to_nobody() {
    let (pipeline, mut daemon) = pipeline(16);
    begin(&mut pin!(pipeline.ask(ping(), Place::InOrder, None))).await;
    let (given_up, _) = daemon.request().await;
    assert_eq!(daemon.request().await.1, Request::Cancel(proto::CancelRequest { id: given_up }));

    let served = async {
        let (next, _) = daemon.request().await;
        daemon.answer(given_up, Response::Error(proto::Error::default())).await;
        daemon.answer(next, pong(5)).await;
    };
    let (answer, ()) = tokio::join!(pipeline.ask(ping(), Place::InOrder, None), served);
    assert_eq!(answer.expect("its own answer"), pong(5));
}

#[tokio::test]
async fn a_transaction_that_is_given_up_while_it_opens_is_rolled_back_before_anything_else() {
    let (pipeline, mut daemon) = pipeline(16);
    let mut session = Session::new(pipeline, None);
    begin(&mut Box::pin(session.transaction(TransactionKind::Write))).await;
    begin(&mut Box::pin(session.execute("INSERT INTO t VALUES (1)", params![]))).await;

    let (id, request) = daemon.request().await;
    assert!(matches!(request, Request::Begin(_)), "{request:?}");
    assert_eq!(daemon.request().await.1, Request::Cancel(proto::CancelRequest { id }));
    let (_, request) = daemon.request().await;
    assert!(matches!(request, Request::Rollback(_)), "{request:?}");
    let (_, request) = daemon.request().await;
    assert!(matches!(request, Request::Execute(_)), "{request:?}");
}

#[tokio::test]
async fn a_rollback_without_room_goes_before_the_next_request() {
    let (pipeline, mut daemon) = pipeline(1);
    let mut waiting = Box::pin(pipeline.ask(ping(), Place::InOrder, None));
    begin(&mut waiting).await;
    pipeline.roll_back();
    let mut next = Box::pin(pipeline.ask(ping(), Place::InOrder, None));
    begin(&mut next).await;

    assert!(matches!(daemon.request().await.1, Request::Ping(_)));
    begin(&mut next).await;
    assert!(matches!(daemon.request().await.1, Request::Rollback(_)));
    begin(&mut next).await;
    assert!(matches!(daemon.request().await.1, Request::Ping(_)));
}

#[tokio::test]
async fn rows_that_are_given_up_are_cancelled_and_hold_nobody_up() {
    let (pipeline, mut daemon) = pipeline(16);
    let mut parts = pipeline.ask_for_rows(proto::QueryRequest::default(), None).await.expect("sent");
    let (query, _) = daemon.request().await;
    daemon.answer_part(query, true, rows(3)).await;
    let first = poll_fn(|context| parts.poll_next(context)).await.expect("a part").expect("no error");
    assert_eq!(first, rows(3));
    drop(parts);
    assert_eq!(daemon.request().await.1, Request::Cancel(proto::CancelRequest { id: query }));

    let served = async {
        for _ in 0..10 * WAITING_ROWS {
            daemon.answer_part(query, true, rows(3)).await;
        }
        daemon.answer(query, Response::Error(proto::Error::default())).await;
        let (next, _) = daemon.request().await;
        daemon.answer(next, pong(1)).await;
    };
    let (answer, ()) = tokio::join!(pipeline.ask(ping(), Place::InOrder, None), served);
    assert_eq!(answer.expect("an answer"), pong(1));
}

#[tokio::test]
async fn what_was_sent_when_the_stream_breaks_may_have_been_done_and_what_comes_later_was_not() {
    let (pipeline, mut daemon) = pipeline(16);
    let mut asked = Box::pin(pipeline.ask(ping(), Place::InOrder, None));
    begin(&mut asked).await;
    daemon.request().await;
    drop(daemon);
    let error = asked.await.expect_err("no answer");
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");

    assert!(pipeline.has_ended());
    let error = pipeline.ask(ping(), Place::InOrder, None).await.expect_err("not sent");
    assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
}

#[tokio::test]
async fn the_daemons_reason_for_the_end_is_everybodys_error() {
    let (pipeline, mut daemon) = pipeline(16);
    let mut asked = Box::pin(pipeline.ask(ping(), Place::InOrder, None));
    let mut rows = pipeline.ask_for_rows(proto::QueryRequest::default(), None).await.expect("sent");
    begin(&mut asked).await;
    daemon.request().await;
    let details = ErrorDetails::with_error_info("SHUTTING_DOWN", "skylinedb", []);
    let end = Status::with_error_details(Code::Unavailable, "the daemon shuts down", details);
    daemon.answers.send(Err(end)).await.expect("somebody receives");

    let of_rows = poll_fn(|context| rows.poll_next(context)).await.expect("not the end").expect_err("an error");
    for error in [
        asked.await.expect_err("the end"),
        of_rows,
        pipeline.ask(ping(), Place::InOrder, None).await.expect_err("the end"),
    ] {
        assert!(matches!(&error, Error::Database(error) if error.reason == "SHUTTING_DOWN"), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_out_of_order_ends_the_stream() {
    let (pipeline, mut daemon) = pipeline(16);
    let asked =
        async { tokio::join!(pipeline.ask(ping(), Place::InOrder, None), pipeline.ask(ping(), Place::InOrder, None)) };
    let served = async {
        daemon.request().await;
        let (id, _) = daemon.request().await;
        daemon.answer(id, pong(1)).await;
    };
    let ((first, _), ()) = tokio::join!(asked, served);
    let error = first.expect_err("not its answer").to_string();
    assert!(error.contains("another request"), "{error}");
}

#[tokio::test]
async fn an_answer_to_no_request_ends_the_stream() {
    let (pipeline, mut daemon) = pipeline(16);
    let served = async {
        let (id, _) = daemon.request().await;
        daemon.answer(id + 1, pong(1)).await;
    };
    let (answer, ()) = tokio::join!(pipeline.ask(ping(), Place::InOrder, None), served);
    let error = answer.expect_err("not its answer").to_string();
    assert!(error.contains("no request"), "{error}");
}

#[tokio::test]
async fn an_independent_request_may_be_answered_first() {
    let (pipeline, mut daemon) = pipeline(16);
    let asked = async {
        tokio::join!(pipeline.ask(ping(), Place::Independent, None), pipeline.ask(ping(), Place::Independent, None))
    };
    let served = async {
        let (first, _) = daemon.request().await;
        let (second, _) = daemon.request().await;
        daemon.answer(second, pong(2)).await;
        daemon.answer(first, pong(1)).await;
    };
    let ((first, second), ()) = tokio::join!(asked, served);
    let revision = |answer| match answer {
        Ok(Response::Ping(pong)) => pong.revision,
        other => panic!("{other:?}"),
    };
    assert_eq!((revision(first), revision(second)), (1, 2));
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_at_all_does_not_stop_the_clock() {
    let (pipeline, mut daemon) = pipeline(16);
    let error = pipeline.ask(ping(), Place::InOrder, Some(Duration::from_millis(1))).await.expect_err("too late");
    assert!(matches!(&error, Error::Database(error) if error.code == crate::Code::DeadlineExceeded), "{error:?}");
    let request = daemon.requests.recv().await.expect("the request");
    assert_eq!(request.timeout_ms, 1, "the daemon knows the limit, too");
    assert!(matches!(daemon.request().await.1, Request::Cancel(_)));
}

#[tokio::test]
async fn rows_of_a_session_come_one_by_one_over_parts() {
    let (pipeline, mut daemon) = pipeline(16);
    let session = Session::new(pipeline, None);
    let served = async {
        let (id, _) = daemon.request().await;
        let column = proto::Column { name: "x".to_owned(), declared_type: String::new() };
        daemon
            .answer_part(
                id,
                true,
                Response::Query(proto::QueryResponse { columns: vec![column], ..Default::default() }),
            )
            .await;
        daemon.answer_part(id, true, rows(2)).await;
        daemon.answer_part(id, true, rows(3)).await;
        daemon.answer(id, rows(0)).await;
    };
    let taken = async {
        let rows = session.query("SELECT x FROM t", params![]).await.expect("a query");
        assert_eq!(rows.columns()[0].name, "x");
        rows.map(|row| row.expect("a row")).collect::<Vec<_>>().await.len()
    };
    assert_eq!(tokio::join!(taken, served).0, 5);
}
