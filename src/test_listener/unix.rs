use skylinedb_local::Endpoint;
use tokio::net::{UnixListener, UnixStream};

pub(crate) struct TestListener {
    socket: UnixListener,
    folder: tempfile::TempDir,
}

impl TestListener {
    pub(crate) fn listen() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { socket: UnixListener::bind(folder.path().join("sock")).expect("a socket"), folder }
    }

    /// One that accepts no connection, and for which as many wait as may.
    pub(crate) fn with_full_backlog() -> Self {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sock");
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddrUnix::new(&path).expect("an address")).expect("bind");
        listen(&socket, 0).expect("listen");
        let socket = std::os::unix::net::UnixListener::from(socket);
        socket.set_nonblocking(true).expect("not blocking");
        // Linux lets one more wait than it is told.
        drop(std::os::unix::net::UnixStream::connect(&path).expect("the one that waits"));
        Self { socket: UnixListener::from_std(socket).expect("a listener"), folder }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.folder.path().join("sock").into()
    }

    pub(crate) async fn accept(self) -> UnixStream {
        self.socket.accept().await.expect("a client").0
    }
}
