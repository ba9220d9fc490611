//! The pipe, as clients see it.

use std::{io, sync::Arc};

use skylinedb_local::windows::pipe::{self, Server};

use super::*;

const ALLOWED: &str = "S-1-5-21-1-2-3-4000";

fn listener(of: &str) -> Listener {
    let path = PathBuf::from(format!(r"\\.\pipe\skylinedb-test-{of}-{}", std::process::id()));
    Listener::bind(&path, &SocketFile::default()).expect("a pipe")
}

#[test]
fn who_is_allowed_can_connect_and_cannot_add_an_instance() {
    const CREATE_PIPE_INSTANCE: u32 = 4;
    let own = "S-1-5-21-1-2-3-1000";
    assert_eq!(sddl(own, &[]), format!("O:{own}D:P(A;;GA;;;{own})(A;;GA;;;SY)(A;;GA;;;BA)"));
    assert_eq!(
        sddl(own, &[ALLOWED.to_owned()]),
        format!("O:{own}D:P(A;;GA;;;{own})(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12018b;;;{ALLOWED})")
    );
    assert_eq!(CLIENT_ACCESS & CREATE_PIPE_INSTANCE, 0);
    descriptor(own, &[ALLOWED.to_owned()]).expect("a descriptor");
}

#[tokio::test]
async fn a_peer_is_known_by_its_process_and_user() {
    let listener = listener("peer");
    let _client = Connection::open_trusted(&listener.path).expect("a connection to this user's own pipe");
    let peer = Peer::of(&listener.accept().await).expect("a peer");
    let own = user::own_sid().expect("this user");
    assert_eq!((peer.pid, peer.sid.as_deref()), (std::process::id(), Some(own.as_str())));
    let server = pipe::server(&listener.path).expect("a server");
    assert_eq!(server, Server { pid: Some(std::process::id()), owner: Some(own) });
}

#[tokio::test]
async fn whoever_has_come_in_the_last_instant_is_not_left_without_a_word() {
    let listener = listener("last");
    let path = listener.path();
    let client = Connection::open(&path).expect("a connection");
    let last = listener.close().await;
    assert_eq!(last.len(), 1);
    let error = Connection::open(&path).expect_err("closed");
    assert!(is_busy(&error), "while one is there: {error}");
    drop((client, last));
    let gone = async {
        while Connection::open(&path).expect_err("closed").kind() != io::ErrorKind::NotFound {
            tokio::time::sleep(ACCEPT_PAUSE).await; // what was under way on the pipe has to end
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("the pipe is gone");
}

#[tokio::test]
async fn a_client_that_has_gone_at_once_holds_nobody_up() {
    let listener = listener("gone");
    drop(Connection::open(&listener.path).expect("a connection"));
    drop(listener.accept().await);
    let client = Connection::open(&listener.path).expect("a connection");
    let peer = Peer::of(&listener.accept().await).expect("a peer");
    drop(client);
    assert_eq!(peer.pid, std::process::id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_ever_meets_no_pipe() {
    const CLIENTS: usize = 16;
    const TIMES: usize = 100;
    let listener = Arc::new(listener("crowd"));
    let path = listener.path();
    let accept = tokio::spawn({
        let listener = Arc::clone(&listener);
        async move {
            for _ in 0..CLIENTS * TIMES {
                drop(listener.accept().await);
            }
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let mut connected = 0;
                while connected < TIMES {
                    match Connection::open(&path) {
                        Ok(_) => connected += 1,
                        Err(error) => assert!(is_busy(&error), "{error}"),
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
    accept.await.expect("all of them");
}
