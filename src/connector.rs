//! Connects tonic to a Unix domain socket or, on Windows, to a named pipe.

use hyper_util::rt::TokioIo;
use skylinedb_local::Endpoint;
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint as Uri},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower::service_fn;

use crate::{
    error::{Error, root_cause},
    proto::v1::skyline_db_service_client::SkylineDbServiceClient,
};

/// The generated client.
pub(crate) type Grpc = SkylineDbServiceClient<Channel>;

/// The service whose health is asked for.
const SERVICE_NAME: &str = "skylinedb.v1.SkylineDbService";

/// What the daemon may send in one call before it is taken. A larger window lets a stream of rows flow without waiting for
/// this side; it also is what rows cost in memory when nobody takes them.
const CALL_WINDOW_BYTES: u32 = 1 << 20;

/// The same for all calls of a connection together: as much as HTTP/2 allows, so that calls whose rows nobody takes hold
/// up no other.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// Connects to the daemon there. The connection is made anew when it breaks and is needed again.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    // The authority is not used: the connector knows the socket. It has to be there, and localhost is usual.
    let channel = Uri::from_static("http://localhost")
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let place = endpoint.clone();
    let connector = service_fn(move |_| {
        let place = place.clone();
        async move { skylinedb_local::connect(&place).await.map(TokioIo::new) }
    });
    channel
        .connect_with_connector(connector)
        .await
        .map_err(|error| Error::NotRunning { looked: vec![(endpoint.clone(), root_cause(&error))] })
}

/// The calls over a connection. The daemon has its own limits; here, whatever the caller has asked for is taken.
pub(crate) fn grpc(channel: Channel) -> Grpc {
    Grpc::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
}

/// What a call was answered with, or the error behind its status.
pub(crate) async fn answered<T>(answer: Result<Response<T>, Status>, endpoint: &Endpoint) -> Result<T, Error> {
    match answer {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => match Error::of_call(&status, endpoint) {
            Some(error) => Err(error),
            None => Err(unsent(endpoint).await),
        },
    }
}

/// The error for a request that was not sent, because the connection had ended before.
pub(crate) async fn unsent(endpoint: &Endpoint) -> Error {
    match skylinedb_local::probe(endpoint).await {
        Ok(()) => Error::shut_down_before(),
        Err(error) => Error::NotRunning { looked: vec![(endpoint.clone(), error.to_string())] },
    }
}

/// Whether the daemon says of itself that it serves (`grpc.health.v1`), and is not about to end.
pub(crate) async fn check_health(channel: Channel, endpoint: &Endpoint) -> Result<(), Error> {
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let health = HealthClient::new(channel).check(request).await;
    match answered(health, endpoint).await?.status() {
        ServingStatus::Serving => Ok(()),
        _ => Err(Error::Start(format!("the daemon at {endpoint} is ending"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::test_listener::TestListener;

    /// The error for a request that hyper says was not sent.
    async fn unsent_error(endpoint: &Endpoint) -> Error {
        let mut status = Status::new(Code::Cancelled, "the connection's own word");
        status.set_source(std::sync::Arc::new(std::io::Error::other("operation was canceled")));
        answered::<()>(Err(status), endpoint).await.expect_err("it was not sent")
    }

    #[tokio::test]
    async fn a_request_that_was_not_sent_may_be_sent_again_to_the_next_daemon() {
        let next = TestListener::listen();
        let error = unsent_error(&next.endpoint()).await;
        assert!(matches!(&error, Error::Database(error) if error.reason == "SHUTTING_DOWN"), "{error:?}");
    }

    #[tokio::test]
    async fn a_request_that_was_not_sent_finds_no_daemon_where_none_listens() {
        let error = unsent_error(&Endpoint::new("/not/there.sock")).await;
        assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    }

    /// A connect that blocks would stop the runtime's only thread, and this test with it.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_daemon_whose_backlog_is_full_is_there_and_stops_no_thread() {
        let busy = TestListener::with_full_backlog();
        let error = unsent_error(&busy.endpoint()).await;
        assert!(matches!(&error, Error::Database(error) if error.reason == "SHUTTING_DOWN"), "{error:?}");
    }
}
