//! Ends the calls of clients that do not take their answers: first those that keep the most from others.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use skylinedb_engine::Ledger;

use super::{super::ROWS_UNTAKEN, Call, State};
use crate::transport::Hangup;

/// How long an answer may be left untaken when others are refused because of it.
const UNTAKEN_WHEN_CONTENDED: Duration = Duration::from_secs(5);

/// How long the end of a call may take until its connection is ended: the client does not read from the socket, either.
const END_TIME: Duration = Duration::from_secs(2);

const LOOK: Duration = Duration::from_secs(1);

/// The calls of all connections.
#[derive(Debug)]
pub(in super::super) struct Calls {
    pub(super) ledger: Ledger,
    /// Those that have sent something large, or more than one message.
    watched: Mutex<Vec<Weak<Call>>>,
}

impl Calls {
    /// Calls that are watched for as long as this is kept.
    pub(in super::super) fn new(ledger: Ledger) -> Arc<Self> {
        let calls = Arc::new(Self { ledger, watched: Mutex::default() });
        tokio::spawn(watch(Arc::downgrade(&calls)));
        calls
    }

    /// A call that begins.
    pub(in super::super) fn begin(self: &Arc<Self>, hangup: Option<Hangup>) -> Arc<Call> {
        Arc::new(Call::new(Arc::clone(self), hangup))
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Call>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) {
        let calls: Vec<_> = {
            let mut watched = self.watched();
            watched.retain(|call| call.strong_count() > 0);
            watched.iter().filter_map(Weak::upgrade).collect()
        };
        let Ledger { requests, answers } = &self.ledger;
        let is_contended = requests.is_contended() || answers.is_contended();
        let patience = if is_contended { UNTAKEN_WHEN_CONTENDED } else { ROWS_UNTAKEN };
        let mut untaken: Vec<_> = calls.iter().filter_map(|call| Some((call.untaken_bytes(patience)?, call))).collect();
        untaken.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut freed_bytes = 0;
        for (bytes, call) in untaken {
            call.end(bytes);
            freed_bytes += bytes;
            // So much room serves the others for a while; who takes longer than they may be spared.
            if freed_bytes > answers.bytes() / 4 {
                break;
            }
        }
    }
}

async fn watch(calls: Weak<Calls>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(calls) = calls.upgrade() else { return };
        calls.look();
    }
}

impl Call {
    /// Has this call watched, if it is not yet.
    pub(super) fn watch(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_watched, true) {
            self.calls.watched().push(Arc::downgrade(self));
        }
    }

    /// What is kept for a client that has taken nothing for so long.
    fn untaken_bytes(&self, patience: Duration) -> Option<usize> {
        let mut state = self.state();
        let asked = self.asked.load(Ordering::Relaxed);
        if std::mem::replace(&mut state.asked_before, asked) != asked {
            state.taken = Instant::now();
        }
        let is_untaken = self.has_more.load(Ordering::Relaxed) || state.sending_bytes > 0;
        (is_untaken && state.taken.elapsed() >= patience).then(|| state.made_bytes() + state.sending_bytes)
    }

    fn end(&self, bytes: usize) {
        let Some(hangup) = &self.hangup else { return };
        let ended = self.state().ended;
        match ended {
            None => {
                self.state().ended = Some(Instant::now());
                tracing::warn!(bytes, "a client does not take what it has asked for; its call is ended");
                hangup.end_call();
            }
            Some(ended) if ended.elapsed() >= END_TIME => {
                tracing::warn!("a client does not read at all; its connection is ended");
                hangup.end_connection();
            }
            Some(_) => {}
        }
    }
}
