//! The parts without which the daemon cannot serve: if one of them dies, the daemon reports itself as not serving, drains, and ends with an
//! error, so that its service manager or the next client starts another one.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;

use super::Lifecycle;

impl Lifecycle {
    /// Ends the daemon with an error. The first reason counts.
    pub(crate) fn fail(&self, reason: &str) {
        tracing::error!("{reason}: shutting down");
        let _ = self.failure.set(reason.to_owned()); // or another reason has come before
        self.draining.cancel();
    }

    /// Why the daemon has failed, if it has.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Does the work of one part. The daemon fails if the part panics, or ends before the daemon does.
    pub(crate) async fn part(&self, name: &str, work: impl Future<Output = ()>) {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(()) if self.is_draining() => {}
            Ok(()) => self.fail(&format!("{name} has ended")),
            Err(panic) => self.fail(&format!("{name} has panicked: {}", text(panic.as_ref()))),
        }
    }
}

/// What a panic says.
pub(super) fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Times, *};

    fn lifecycle() -> Lifecycle {
        Lifecycle::new(Times { drain: Duration::from_secs(10), idle: None })
    }

    #[tokio::test]
    async fn a_part_that_panics_ends_the_daemon_with_its_reason() {
        let lifecycle = lifecycle();
        let serving = lifecycle.part("accepting connections", async { panic!("injected") });
        tokio::join!(serving, lifecycle.run());
        assert_eq!(lifecycle.failure(), Some("accepting connections has panicked: injected"));
        assert!(lifecycle.is_draining() && lifecycle.closing().is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_ends_too_early_ends_the_daemon_and_one_that_ends_at_the_end_does_not() {
        let early = lifecycle();
        early.part("accepting connections", async {}).await;
        assert_eq!(early.failure(), Some("accepting connections has ended"));
        early.fail("another reason");
        assert_eq!(early.failure(), Some("accepting connections has ended"), "the first counts");

        let lifecycle = lifecycle();
        lifecycle.drain(None);
        lifecycle.part("accepting connections", async {}).await;
        assert_eq!(lifecycle.failure(), None);
    }
}
