//! Connects tonic to a Unix domain socket or, on Windows, to a named pipe.

#[cfg(unix)]
#[path = "connector/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "connector/windows.rs"]
mod platform;

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint as Uri};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower::service_fn;

use crate::{
    endpoint::Endpoint,
    error::{Error, root_cause},
    proto::v1::skyline_db_service_client::SkylineDbServiceClient,
};

#[cfg(test)]
pub(crate) use platform::Somebody;
pub(crate) use platform::{look, open};

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

/// How long to try, and how often, while the daemon is there but more connect at once than its socket lets wait.
const CROWD_PATIENCE: Duration = Duration::from_secs(5);
const CROWD_PAUSE: Duration = Duration::from_millis(5);

/// Connects to the daemon there. The connection is made anew when it breaks and is needed again.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    // The authority is not used: the connector knows the socket. It has to be there, and localhost is usual.
    let channel = Uri::from_static("http://localhost")
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let place = endpoint.clone();
    let connector = service_fn(move |_| {
        let place = place.clone();
        async move { open(&place).await.map(TokioIo::new) }
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

/// Whether the daemon says of itself that it serves (`grpc.health.v1`), and is not about to end.
pub(crate) async fn check_health(channel: Channel, endpoint: &Endpoint) -> Result<(), Error> {
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let health = HealthClient::new(channel).check(request).await;
    match health.map_err(|status| Error::from_status(&status, endpoint))?.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        _ => Err(Error::Start(format!("the daemon at {endpoint} is ending"))),
    }
}
