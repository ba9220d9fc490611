//! The rows of a query, as they come.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use skylinedb_local::Endpoint;
use tokio_stream::Stream;
use tonic::Streaming;

use crate::{
    error::Error,
    pipeline::Parts,
    proto::v1::{self as proto, session_response::Response},
    result::{self, Column, Row},
    wire::Reader,
};

/// The rows of a query: a [`Stream`] of rows or an error, after which it ends. Rows are fetched as they are taken, so that
/// any number of them needs little memory. Dropping it ends the query.
///
/// Rows of a transaction (`Rows<'_>`) keep it busy: its next answer comes after them.
#[derive(Debug)]
pub struct Rows<'t> {
    source: Source,
    columns: Arc<[Column]>,
    /// Those that have come and are not taken yet.
    ready: Reader,
    transaction: PhantomData<&'t mut ()>,
}

#[derive(Debug)]
enum Source {
    /// A call of its own.
    Call {
        messages: Box<Streaming<proto::QueryResponse>>,
        endpoint: Endpoint,
    },
    /// A part of a session.
    Session(Parts),
    Ended,
}

impl Rows<'_> {
    /// All the rows of an answer that is here.
    pub(crate) fn of_answer(answer: proto::QueryResponse) -> Self {
        Self {
            source: Source::Ended,
            columns: result::columns(answer.columns),
            ready: answer.rows.into_reader(),
            transaction: PhantomData,
        }
    }

    /// Waits for the columns, which come first.
    pub(crate) async fn of_call(messages: Streaming<proto::QueryResponse>, endpoint: Endpoint) -> Result<Self, Error> {
        Self::begin(Source::Call { messages: Box::new(messages), endpoint }).await
    }

    /// Waits for the columns, which come first.
    pub(crate) async fn of_session(parts: Parts) -> Result<Self, Error> {
        Self::begin(Source::Session(parts)).await
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn begin(source: Source) -> Result<Self, Error> {
        let mut rows = Self { source, columns: Arc::default(), ready: Reader::default(), transaction: PhantomData };
        if let Some(first) = std::future::poll_fn(|context| rows.poll_part(context)).await {
            let first = first?;
            rows.columns = result::columns(first.columns);
            rows.ready = first.rows.into_reader();
        }
        Ok(rows)
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<proto::QueryResponse, Error>>> {
        let part = match &mut self.source {
            Source::Call { messages, endpoint } => ready!(Pin::new(messages.as_mut()).poll_next(context))
                .map(|part| part.map_err(|status| Error::from_status(&status, endpoint))),
            Source::Session(parts) => ready!(parts.poll_next(context)).map(|part| match part {
                Ok(Response::Query(part)) => Ok(part),
                Ok(_) => Err(Error::Protocol("a query was answered with something else".to_owned())),
                Err(error) => Err(error),
            }),
            Source::Ended => None,
        };
        if !matches!(part, Some(Ok(_))) {
            self.source = Source::Ended;
        }
        Poll::Ready(part)
    }
}

impl Stream for Rows<'_> {
    type Item = Result<Row, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let columns = self.columns.len();
            if let Some(values) = self.ready.next(columns) {
                let row = values.map(|values| Row::new(&self.columns, values));
                return Poll::Ready(Some(row.map_err(|error| Error::Protocol(error.to_string()))));
            }
            match ready!(self.poll_part(context)) {
                Some(Ok(part)) => self.ready = part.rows.into_reader(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
