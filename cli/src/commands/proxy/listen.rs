//! Where clients connect.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

use super::{log, platform::Socket};
use crate::{args::ListenAddress, failure::Failure};

/// How long to wait when a connection cannot be accepted, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A client's connection, whatever it is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where one listens.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Kind,
    address: ListenAddress,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(Socket),
}

impl Listener {
    pub(super) async fn bind(address: &ListenAddress) -> Result<Self, Failure> {
        let failed = |why| Failure::refused(format!("cannot listen on {address}: {why}"));
        match address {
            ListenAddress::Tcp(address) => {
                let explain = |error: io::Error| failed(format!("{error}; choose another address with --listen"));
                let listener = TcpListener::bind(address).await.map_err(explain)?;
                let address = ListenAddress::Tcp(listener.local_addr().map_err(explain)?);
                Ok(Self { socket: Kind::Tcp(listener), address })
            }
            ListenAddress::Unix(path) => {
                let socket = Socket::bind(path).map_err(failed)?;
                Ok(Self { socket: Kind::Unix(socket), address: address.clone() })
            }
        }
    }

    /// Where that is, with the port that the system has chosen.
    pub(super) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> Box<dyn Stream> {
        loop {
            match self.try_accept().await {
                Ok(stream) => return stream,
                Err(error) => {
                    log(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.socket {
            Kind::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?; // a call is a small message, and somebody waits for it
                Ok(Box::new(stream))
            }
            Kind::Unix(socket) => socket.accept().await,
        }
    }
}
