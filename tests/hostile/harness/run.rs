//! One case: hostile clients beside bystanders.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    bystanders::{Bystanders, Kind},
    case::{Case, Ends},
    figures::Figures,
    hostile::{End, Hostile, Stop},
    process,
};

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Hostile clients at once.
    pub(crate) clients: usize,
    /// For so long a hostile client begins anew when it is answered.
    pub(crate) time: Duration,
    pub(crate) stop: Stop,
    /// How much longer an answer is waited for than it should take.
    pub(crate) patience: Duration,
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) bystanders: Vec<(Kind, Figures)>,
    /// How the hostile requests ended.
    pub(crate) ends: Vec<End>,
    /// How long the hostile clients' next requests took on the same sessions.
    pub(crate) next_request: Duration,
    /// How long the daemon worked on when all clients had been answered; `None` if it did not come to rest.
    pub(crate) rest: Option<Duration>,
    pub(crate) peak_rss_bytes: u64,
    /// What could not be done at all: a client that was not answered, or a daemon that has ended.
    pub(crate) failure: Option<String>,
}

/// The daemon may work on for so long before it counts as one that does not come to rest.
const REST_PATIENCE: Duration = Duration::from_secs(5);

/// Runs a case against the daemon.
pub(crate) fn run(case: &Case, endpoint: &Path, pid: u32, settings: Settings) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let hostile = runtime.block_on(async {
        let mut hostile = Vec::new();
        for _ in 0..settings.clients {
            hostile.push(Hostile::connect(endpoint).await?);
        }
        hostile[0].set_up(case).await?;
        anyhow::Ok(hostile)
    })?;
    let rests = process::wait_for_idle(pid, REST_PATIENCE);
    anyhow::ensure!(rests.is_some(), "the daemon does not come to rest after the set-up");
    process::reset_peak_rss(pid);

    let bystanders = Bystanders::start(endpoint);
    let outcome = runtime.block_on(attack(case, hostile, settings));
    let measured = bystanders.stop();
    let peak_rss_bytes = process::peak_rss_bytes(pid);
    let (ends, next_request, mut failure) = outcome;
    runtime.shutdown_background();
    let rest = if failure.is_none() { process::wait_for_idle(pid, REST_PATIENCE) } else { None };
    if !process::is_running(pid) {
        failure = Some("the daemon has ended".to_owned());
    }
    let bystanders = measured.unwrap_or_else(|error| {
        failure.get_or_insert(format!("{error:#}"));
        Vec::new()
    });
    Ok(Report { bystanders, ends, next_request, rest, peak_rss_bytes, failure })
}

type Outcome = (Vec<End>, Duration, Option<String>);

async fn attack(case: &Case, hostile: Vec<Hostile>, settings: Settings) -> Outcome {
    let attacks = hostile.into_iter().map(|hostile| attack_alone(case, hostile, settings));
    let mut all: Outcome = Default::default();
    for (ends, next_request, failure) in join_all(attacks).await {
        all.0.extend(ends);
        all.1 = all.1.max(next_request);
        all.2 = all.2.or(failure);
    }
    all
}

async fn attack_alone(case: &Case, mut hostile: Hostile, settings: Settings) -> Outcome {
    let begin = Instant::now();
    let (Stop::Deadline(longest) | Stop::Cancel(longest)) = settings.stop;
    let patience = longest + settings.patience;
    let mut ends = Vec::new();
    while begin.elapsed() < settings.time {
        match tokio::time::timeout(patience, hostile.run(case, settings.stop)).await {
            Ok(Ok(end)) => ends.push(end),
            // The end of a session is an answer, too, such as to a message that is too long.
            Ok(Err(error)) => {
                ends.push(End { how: Ends::Refused, error: format!("{error:#}"), took: begin.elapsed() });
                return (ends, Duration::ZERO, None);
            }
            Err(_) => return (ends, patience, Some(format!("not answered within {patience:?}"))),
        }
    }
    match tokio::time::timeout(settings.patience, hostile.next_request()).await {
        Ok(Ok(took)) => (ends, took, None),
        Ok(Err(error)) => (ends, Duration::ZERO, Some(format!("the next request: {error:#}"))),
        Err(_) => (ends, settings.patience, Some("the session's next request is not answered".to_owned())),
    }
}

/// All futures at once, on this task: they borrow the case.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        let mut all_done = true;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => all_done = false,
                }
            }
        }
        if all_done {
            std::task::Poll::Ready(running.iter_mut().filter_map(|(_, output)| output.take()).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

impl Report {
    pub(crate) fn of(&self, kind: Kind) -> Figures {
        self.bystanders.iter().find(|(of, _)| *of == kind).map(|(_, figures)| figures.clone()).unwrap_or_default()
    }

    /// The slowest end of a hostile request.
    pub(crate) fn slowest(&self) -> Duration {
        self.ends.iter().map(|end| end.took).max().unwrap_or_default()
    }

    /// How the requests ended, each way once, with the first error.
    pub(crate) fn ends(&self) -> String {
        let mut ways: Vec<(Ends, usize)> = Vec::new();
        for end in &self.ends {
            match ways.iter_mut().find(|(how, _)| *how == end.how) {
                Some((_, times)) => *times += 1,
                None => ways.push((end.how, 1)),
            }
        }
        let ways: Vec<_> = ways.iter().map(|(how, times)| format!("{times} {how:?}")).collect();
        let error = self.ends.iter().find(|end| end.how == Ends::Refused).map(|end| end.error.as_str());
        let error: String = error.unwrap_or_default().chars().take(60).collect();
        format!("{} {}", ways.join(", "), error.replace(['|', '\n'], " ")).trim().to_owned()
    }

    /// Whether each request ended as the case wants.
    pub(crate) fn ends_as(&self, wanted: Ends) -> bool {
        self.ends.iter().all(|end| match wanted {
            Ends::Somehow => true,
            Ends::Stopped => end.how != Ends::Answered,
            wanted => end.how == wanted,
        })
    }
}
