//! Whether the daemon is used: by each connection from its first request on that does more than ask how the daemon is, until it closes.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

#[derive(Debug)]
pub(super) struct Usage {
    state: Mutex<State>,
    /// Told when the last use has ended.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    uses: usize,
    /// When the last use ended, or the daemon began.
    since: Instant,
}

/// A use of the daemon, until it is dropped.
#[derive(Debug)]
struct Use(Arc<Usage>);

/// What a connection marks its use of the daemon with. The use ends when the connection and all its requests have dropped this.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionUse(Arc<OfConnection>);

#[derive(Debug)]
struct OfConnection {
    usage: Arc<Usage>,
    using: OnceLock<Use>,
}

impl ConnectionUse {
    pub(super) fn new(usage: &Arc<Usage>) -> Self {
        Self(Arc::new(OfConnection { usage: Arc::clone(usage), using: OnceLock::new() }))
    }

    /// Marks the connection as a use of the daemon, if it is none yet.
    pub(crate) fn begin(&self) {
        self.0.using.get_or_init(|| Usage::begin(&self.0.usage));
    }
}

impl Usage {
    fn begin(usage: &Arc<Self>) -> Use {
        usage.state().uses += 1;
        Use(Arc::clone(usage))
    }

    /// Waits until nobody has used the daemon for so long, from now on; without a limit for ever.
    pub(super) async fn idle(&self, limit: Option<Duration>) -> Duration {
        let Some(limit) = limit else { return std::future::pending().await };
        let begin = Instant::now();
        loop {
            let ended = self.ended.notified();
            let (is_used, since) = {
                let state = self.state();
                (state.uses > 0, state.since.max(begin))
            };
            if is_used {
                ended.await;
            } else if since.elapsed() >= limit {
                return limit;
            } else {
                match since.checked_add(limit) {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Usage {
    fn default() -> Self {
        Self { state: Mutex::new(State { uses: 0, since: Instant::now() }), ended: Notify::new() }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.uses -= 1;
        if state.uses == 0 {
            state.since = Instant::now();
            drop(state);
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idleness_begins_anew_with_the_end_of_each_use() {
        let usage = Arc::new(Usage::default());
        let limit = Duration::from_secs(10);
        let begin = Instant::now();
        let seconds = |number| Duration::from_secs(number);
        let using = async {
            tokio::time::sleep(seconds(8)).await;
            let (first, second) = (Usage::begin(&usage), Usage::begin(&usage));
            tokio::time::sleep(seconds(30)).await;
            drop(first);
            tokio::time::sleep(seconds(30)).await;
            drop(second);
        };
        tokio::join!(using, usage.idle(Some(limit)));
        assert_eq!(begin.elapsed(), seconds(8 + 60 + 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_a_use_from_its_first_request_until_it_and_its_requests_have_ended() {
        let usage = Arc::new(Usage::default());
        let is_used = || usage.state().uses;
        let connection = ConnectionUse::new(&usage);
        assert_eq!(is_used(), 0);
        let request = connection.clone();
        request.begin();
        connection.clone().begin();
        assert_eq!(is_used(), 1);
        drop(connection);
        assert_eq!(is_used(), 1);
        drop(request);
        assert_eq!(is_used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_is_never_idle() {
        let idle = Usage::default();
        tokio::time::timeout(Duration::from_hours(1_000), idle.idle(None)).await.expect_err("it waits for ever");
    }
}
