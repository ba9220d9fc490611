//! Who may come in through `skylinedb-cli proxy`: its token, its socket's mode, and where it will not listen.
#![cfg(unix)]

mod support;

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
};

use rustix::process::Signal;
use serde_json::json;
use support::{Daemon, Folder, Output, PATIENCE, Proxy, Running, User, can_make_users, open_folder, run};

const PING: &str = "skylinedb.v1.SkylineDbService/Ping";
const EXECUTE: &str = "skylinedb.v1.SkylineDbService/Execute";

#[test]
fn over_tcp_nothing_is_done_without_the_token() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let proxy = Proxy::tcp(daemon.folder());
    let token = proxy.token();
    let insert = json!({"statements": [{"sql": "INSERT INTO t VALUES (1)"}]}).to_string();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    // It would ask for the protocol first, which is a call as well.
    let flags = ["-import-path", proto, "-proto", "skylinedb/v1/skylinedb.proto", "-d", &insert];

    let cut = format!("authorization: Bearer {}", &token[1..]);
    let other_scheme = format!("authorization: Basic {token}");
    let twice = format!("authorization: Bearer {token}");
    for (headers, why) in [
        (&[][..], "this proxy wants a token"),
        (&["-H", "x-token: what"], "this proxy wants a token"),
        (&["-H", "authorization: Bearer"], "this is not the proxy's token"),
        (&["-H", &cut], "this is not the proxy's token"),
        (&["-H", &other_scheme], "this is not the proxy's token"),
        (&["-H", &twice, "-H", "authorization: Bearer x"], "this is not the proxy's token"),
    ] {
        let refused = proxy.grpcurl_with(headers, &flags, &[EXECUTE]);
        assert_ne!(refused.code, Some(0), "{headers:?}: {refused:#?}");
        for text in ["Code: Unauthenticated", why, "authorization: Bearer TOKEN", path(proxy.token_file())] {
            assert!(refused.stderr.contains(text), "{headers:?}: no {text:?} in {refused:#?}");
        }
        assert!(!refused.stderr.contains(&token), "the answer must not have the token");
    }
    let list = proxy.grpcurl_with(&[], &[], &["list"]);
    assert_ne!(list.code, Some(0), "not even what there is to be called: {list:#?}");
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 0);

    proxy.grpcurl(&flags, &[EXECUTE]).success();
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 1);
}

#[test]
fn the_token_is_new_each_time_its_users_alone_and_removed_at_the_end() {
    let daemon = Daemon::start();
    let mut tokens = Vec::new();
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = Proxy::tcp(daemon.folder());
        let file = fs::metadata(proxy.token_file()).expect("the token file");
        assert_eq!(file.mode() & 0o7777, 0o600);
        assert_eq!(file.uid(), rustix::process::geteuid().as_raw());
        assert!(proxy.token_file().starts_with(daemon.folder().path().join("state/skylinedb")));
        let token = proxy.token();
        assert_eq!(token.len(), 64);
        assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
        assert!(!tokens.contains(&token));
        tokens.push(token);

        proxy.signal(signal);

        assert!(proxy.wait().0.success());
        assert!(!proxy.token_file().exists());
    }
}

#[test]
fn the_token_file_may_be_named_but_must_not_be_there() {
    let daemon = Daemon::start();
    let file = daemon.folder().path().join("token");
    let arguments = ["--token-file", "token"]; // in the working directory
    let mut proxy = Proxy::start(daemon.folder(), arguments);
    assert_eq!(proxy.token_file().canonicalize().expect("it is there"), file.canonicalize().expect("the same"));
    proxy.grpcurl(&[], &[PING]).success();
    proxy.stop();
    assert!(!file.exists());

    fs::write(&file, "precious").expect("a file");
    let refused = refuse(daemon.folder(), &arguments, 1);
    assert!(refused.stderr.contains("--token-file"), "{refused:#?}");
    assert_eq!(fs::read_to_string(&file).expect("it is left"), "precious");
    let unused = refuse(daemon.folder(), &["--listen", "unix:x.sock", "--token-file", "t"], 2);
    assert!(unused.stderr.contains("needs no token"), "{unused:#?}");
    assert!(!daemon.folder().path().join("x.sock").exists());
}

#[test]
fn after_a_kill_the_next_one_starts_in_the_same_place() {
    let daemon = Daemon::start();
    let mut proxy = Proxy::tcp(daemon.folder());
    let address = proxy.listen().to_owned();
    let (file, token) = (proxy.token_file().to_owned(), proxy.token());
    proxy.signal(Signal::KILL);
    proxy.wait();
    assert!(file.exists(), "nobody has removed it");
    let proxy = Proxy::start(daemon.folder(), ["--listen", &address]);
    assert_eq!((proxy.listen(), proxy.token_file()), (&*address, &*file));
    assert_ne!(proxy.token(), token);
    proxy.grpcurl(&[], &[PING]).success();

    let mut proxy = Proxy::unix(daemon.folder());
    proxy.signal(Signal::KILL);
    proxy.wait();
    assert!(proxy.socket().exists(), "nobody has removed it");
    let proxy = Proxy::unix(daemon.folder());
    proxy.grpcurl(&[], &[PING]).success();
}

#[test]
fn it_listens_where_no_other_machine_can_connect_or_not_at_all() {
    let folder = Folder::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7700", "10.0.0.1:0"] {
        let refused = refuse(&folder, &["--listen", address], 2);
        assert!(refused.stderr.contains("not a loopback address"), "{refused:#?}");
    }
    for address in ["localhost:0", "7700", "/tmp/x.sock", "unix:"] {
        refuse(&folder, &["--listen", address], 2);
    }
    let daemon = Daemon::start();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let proxy = Proxy::start(daemon.folder(), ["--listen", address]);
        proxy.grpcurl(&[], &[PING]).success();
        let taken = refuse(daemon.folder(), &["--listen", proxy.listen()], 1);
        assert!(taken.stderr.contains("--listen"), "{taken:#?}");
        proxy.grpcurl(&[], &[PING]).success();
    }
}

#[test]
fn a_unix_socket_is_its_owners_alone_and_takes_nothings_place() {
    let daemon = Daemon::start();
    let folder = daemon.folder().path();
    let proxy = Proxy::unix(daemon.folder());
    let file = fs::metadata(proxy.socket()).expect("the socket");
    assert_eq!(file.mode() & 0o7777, 0o600);
    let refused = |path: &Path, text: &str| {
        let refused = refuse(daemon.folder(), &["--listen", &format!("unix:{}", path.display())], 1);
        assert!(refused.stderr.contains(text), "no {text:?} in {refused:#?}");
    };

    refused(proxy.socket(), "another program listens there");
    refused(&daemon.folder().endpoint(), "another program listens there");
    refused(&daemon.folder().database(), "not a socket");
    refused(&folder.join("x".repeat(200)), "107 bytes");
    let shared = folder.join("shared");
    fs::create_dir(&shared).expect("a folder");
    for (mode, who) in [(0o777, "every user"), (0o775, "the group")] {
        fs::set_permissions(&shared, Permissions::from_mode(mode)).expect("its mode");
        refused(&shared.join("x.sock"), &format!("the folder {} can be written by {who}", shared.display()));
    }
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).expect("its mode");
    refused(&shared.join("deep/er/x.sock"), &format!("the folder {} can be written by every user", shared.display()));
    refused(&shared.join("x.sock"), "choose another --listen unix:PATH");
    let names = || fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").file_name());
    assert!(!names().any(|name| name.to_string_lossy().ends_with(".starting")), "{:?}", names().collect::<Vec<_>>());

    proxy.grpcurl(&[], &[PING]).success();
    daemon.cli(["ping"]).success();
}

/// Without a word between them, one could take another's new socket for the dead one's, and remove it.
#[test]
fn of_those_that_start_at_once_on_a_dead_ones_socket_one_serves() {
    let daemon = Daemon::start();
    let socket = Proxy::socket_in(daemon.folder());
    let listen = format!("unix:{}", socket.display());
    for round in 0..20 {
        drop(UnixListener::bind(&socket).expect("a socket that nobody listens on"));
        let start = |_| support::start(Proxy::command(daemon.folder()).args(["--listen", &listen]));
        let started: Vec<Running> = (0..4).map(start).collect();
        let serves = |proxy: &mut Running| !io::read_to_string(proxy.stdout().take(1)).expect("UTF-8").is_empty();
        let (mut serving, mut refused) = (Vec::new(), Vec::new());
        for mut proxy in started {
            if serves(&mut proxy) { serving.push(proxy) } else { refused.push(proxy) }
        }
        assert_eq!(serving.len(), 1, "round {round}");
        for mut proxy in refused {
            assert_eq!(proxy.wait().code(), Some(1), "round {round}");
        }
        let mut ping = support::command(support::program("skylinedb-cli"));
        run(ping.arg("--endpoint").arg(&socket).arg("ping"), b"").success();
        serving[0].signal(Signal::TERM);
        assert!(serving[0].wait().success(), "round {round}");
        assert!(!socket.exists() && !socket.with_extension("sock.starting").exists(), "round {round}");
    }
}

#[test]
fn a_socket_that_has_been_replaced_is_not_removed() {
    let daemon = Daemon::start();
    let mut proxy = Proxy::unix(daemon.folder());
    fs::remove_file(proxy.socket()).expect("remove it");
    let _other = UnixListener::bind(proxy.socket()).expect("another one");
    proxy.stop();
    assert!(proxy.socket().exists());
}

#[test]
fn another_user_gets_neither_the_token_nor_into_the_socket() {
    if !can_make_users() {
        return;
    }
    let stranger = User::new(&[]);
    let folder = open_folder(0o755);
    let daemon = Daemon::builder_in(&folder).start();
    let (over_tcp, over_unix) = (Proxy::tcp(&folder), Proxy::unix(&folder));
    let read = run(stranger.command("cat").arg(over_tcp.token_file()), b"");
    assert!(read.stdout.is_empty() && read.stderr.contains("Permission denied"), "{read:#?}");
    let folder_of_token = over_tcp.token_file().parent().expect("a folder");
    let replace = run(stranger.command("touch").arg(folder_of_token.join("another")), b"");
    assert!(replace.stderr.contains("Permission denied"), "{replace:#?}");

    let cli = support::program_for_all("skylinedb-cli", &folder);
    let ping = run(stranger.command(cli).arg("--endpoint").arg(over_unix.socket()).arg("ping"), b"").failure(3);
    assert!(ping.stderr.contains("Permission denied"), "{ping:#?}");
    daemon.cli(["ping"]).success();
}

/// Any user can open connections over TCP; they must not be able to keep them.
#[test]
fn whoever_stays_without_the_token_is_hung_up_on() {
    let daemon = Daemon::start();
    let proxy = Proxy::tcp(daemon.folder());
    let mut silent = TcpStream::connect(proxy.listen()).expect("connect");
    let mut speaks = TcpStream::connect(proxy.listen()).expect("connect");
    speaks.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("the preface");
    for stream in [&mut silent, &mut speaks] {
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        assert_end(stream);
    }
}

/// Another protocol on the port gets no answer that means anything, and harms nothing.
#[test]
fn what_a_browser_sends_is_hung_up_on() {
    let daemon = Daemon::start();
    let proxy = Proxy::tcp(daemon.folder());
    let mut browser = TcpStream::connect(proxy.listen()).expect("connect");
    browser.set_read_timeout(Some(PATIENCE)).expect("a limit");
    browser.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").expect("a request");
    let answer = assert_end(&mut browser);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    proxy.grpcurl(&[], &[PING]).success();
}

/// Reads to the end, however the other side has ended it.
#[track_caller]
fn assert_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    got
}

/// Runs a proxy that must not start.
#[track_caller]
fn refuse(folder: &Folder, arguments: &[&str], code: i32) -> Output {
    let refused = run(Proxy::command(folder).args(arguments), b"").failure(code);
    assert_eq!(refused.stdout, "", "{refused:#?}");
    refused
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
