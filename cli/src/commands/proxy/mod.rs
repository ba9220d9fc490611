//! `proxy`: a bridge for clients that cannot speak the daemon's transport. It forwards HTTP/2 requests with all that
//! streams in them, and knows nothing of what they ask for.
//!
//! `listen` accepts connections, `gate` lets calls in, `connection` serves one client, `forward` passes its calls on by
//! its `upstream`, a connection to the daemon of its own. What differs between systems is in `platform`.

mod answer;
mod connection;
mod forward;
mod gate;
mod listen;
mod platform;
mod token;
mod upstream;

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    args::{DaemonArguments, ProxyArguments},
    failure::{Failure, say},
};
use connection::Connections;
use gate::Gate;
use listen::Listener;
use platform::Signals;
use token::Token;
use upstream::Target;

/// How long calls in hand may take at the end.
const GRACE: Duration = Duration::from_secs(10);

/// Clients at once; each is two file descriptors here, of which there usually are 1,024. More wait until one goes.
const MAX_CONNECTIONS: usize = 400;

pub(super) async fn run(
    daemon: DaemonArguments,
    timeout: Option<Duration>,
    arguments: ProxyArguments,
) -> Result<(), Failure> {
    // First, so that no signal is lost.
    let mut signals =
        Signals::listen().map_err(|error| Failure::refused(format!("cannot wait for signals: {error}")))?;
    let target = Arc::new(Target::new(daemon, timeout));
    tokio::select! {
        outcome = target.look() => outcome?,
        _ = signals.next() => return Ok(()), // while a daemon starts, say
    }
    let listener = Listener::bind(&arguments.listen).await?;
    let token = Token::for_listener(&listener, arguments.token_file)?.map(Arc::new);

    announce(&listener, token.as_deref())?;
    let closing = CancellationToken::new();
    let connections = Connections::new(Gate::new(token), target, closing.clone());
    let name = serve(listener, &connections, &mut signals).await;
    log(&format!("{name}: no new calls are taken"));
    closing.cancel();
    connections.tracker().close();
    tokio::select! {
        () = connections.tracker().wait() => log("ended"),
        () = tokio::time::sleep(GRACE) => log(&format!("ended; calls that were not finished within {GRACE:?} were cut")),
        name = signals.next() => log(&format!("{name}: ended; calls that were not finished were cut")),
    }
    Ok(())
}

/// Lets clients in until a signal comes. Returns its name.
async fn serve(listener: Listener, connections: &Connections, signals: &mut Signals) -> &'static str {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        (place, listener.accept().await)
    };
    loop {
        tokio::select! {
            (place, stream) = next() => connections.serve(stream, place),
            name = signals.next() => return name,
        }
    }
}

/// Tells the program that has started this one where clients find it, and a person who reads the log.
fn announce(listener: &Listener, token: Option<&Token>) -> Result<(), Failure> {
    let mut facts = json!({ "listen": listener.address().to_string() });
    if let Some(token) = token {
        facts["token_file"] = json!(token.path());
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{facts}")?;
    stdout.flush()?;
    let how = token.map(|token| format!("; calls need the token in {}", token.path().display())).unwrap_or_default();
    log(&format!("listening on {}{how}", listener.address()));
    Ok(())
}

/// A line of the log, for people.
fn log(text: &str) {
    say(&format!("{} {text}", humantime::format_rfc3339_millis(SystemTime::now())));
}
