//! Group commit: the batches that are waiting run in one transaction, which is committed once, and only then is anybody
//! answered. So a commit costs one fsync a group, not one a client. A group never waits for company: it takes what is
//! in the queue.

use std::time::{Duration, Instant};

use super::{
    super::{
        cancel::Interruption,
        error::{Error, Kind},
        run::Access,
        statement::Answer,
    },
    Job,
    batch::{Done, Outcome, Terms},
    thread::WriterThread,
};

/// Batches in a group. Beyond some hundreds the fsync's share of a batch's time is too small to matter.
const GROUP_MAX_BATCHES: usize = 1_024;

/// Bytes of requests in a group: a large import must not hold up the answers of those beside it.
const GROUP_MAX_BYTES: usize = 4 << 20;

/// Time for which a group takes new batches.
const GROUP_INTAKE_TIME: Duration = Duration::from_millis(5);

/// How long a batch may run while others of its group wait for the commit: after that it is stopped, the others are run
/// again without it and answered, and it is run on its own. Ten times the intake, so that what is run twice stays a
/// small part of the work.
const BESIDE_OTHERS_TIME: Duration = Duration::from_millis(50);

/// Statements of one batch of mode EACH that may end the transaction before the batch fails as a whole: each of them makes
/// the group run again.
const CONDEMNED_MAX: usize = 16;

/// What bounds a group.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Bounds {
    /// See [`GROUP_MAX_BATCHES`].
    pub(in super::super) batches: usize,
    /// See [`GROUP_MAX_BYTES`].
    pub(in super::super) size_bytes: usize,
    /// See [`GROUP_INTAKE_TIME`].
    pub(in super::super) intake_time: Duration,
    /// See [`BESIDE_OTHERS_TIME`].
    pub(in super::super) beside_others_time: Duration,
}

/// The batches of the open transaction.
#[derive(Default)]
struct Group {
    members: Vec<Member>,
    size_bytes: usize,
    /// Members that have changed the database: so many revisions the group will be.
    writes: u64,
}

struct Member {
    job: Job,
    state: State,
    /// Statements of a batch of mode EACH that have ended the transaction.
    condemned: Vec<(usize, Error)>,
}

enum State {
    /// To be run (again).
    Waiting,
    /// In the transaction.
    Done(Done),
    /// Failed, and not in the transaction.
    Failed(Error),
}

impl WriterThread {
    /// Commits a batch and those that are waiting behind it.
    pub(super) fn group(&mut self, first: Job) {
        if let Err(error) = self.begin() {
            // What hinders one hinders all: everybody who waits now has waited just as long.
            let waiting = std::iter::from_fn(|| self.next_waiting_batch()).collect::<Vec<_>>();
            std::iter::once(first).chain(waiting).for_each(|job| answer(job, Err(error.clone())));
            return;
        }
        let until = Instant::now() + self.bounds.intake_time;
        let mut group = Group::default();
        let mut postponed = None;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            if let Some(interruption) = job.cancel.interruption() {
                // Its client has gone before it began: nothing is owed to anybody.
                answer(job, Err(interruption.error()));
            } else {
                let mut member = Member { job, state: State::Waiting, condemned: Vec::new() };
                let limit = (!group.members.is_empty())
                    .then(|| (Instant::now() + self.bounds.beside_others_time, Interruption::GroupTime));
                match self.run_with(&mut member, &group, Access::Shared, limit) {
                    Step::In => group.push(member),
                    Step::Postponed(access) => postponed = Some((member.job, access)),
                    Step::TransactionLost => {
                        group.push(member);
                        self.rerun(&mut group, Access::Shared);
                        break;
                    }
                    Step::TooLong => {
                        postponed = Some((member.job, Access::Shared));
                        if !self.is_open() {
                            self.rerun(&mut group, Access::Shared);
                        }
                    }
                }
            }
            if postponed.is_some() || group.is_full(self.bounds) || Instant::now() >= until {
                break;
            }
            next = self.next_waiting_batch();
        }
        self.finish(group);
        if let Some((job, access)) = postponed {
            self.alone(job, access);
        }
    }

    /// Runs a batch that cannot, or should not, share a transaction.
    fn alone(&mut self, job: Job, access: Access) {
        if access != Access::OutsideTransaction
            && let Err(error) = self.begin()
        {
            return answer(job, Err(error));
        }
        let mut group = Group::default();
        let mut member = Member { job, state: State::Waiting, condemned: Vec::new() };
        // Two turns: a batch may turn out to need more when it runs.
        match self.run_with(&mut member, &group, access, None) {
            Step::In => group.push(member),
            Step::TransactionLost => {
                group.push(member);
                self.rerun(&mut group, access);
            }
            Step::Postponed(more) if more != access => {
                self.roll_back();
                return self.alone(member.job, more);
            }
            Step::Postponed(_) | Step::TooLong => {
                member.state = State::Failed(Error::internal("running a batch on its own"));
                group.push(member);
            }
        }
        // It has committed itself. The revision tells watchers that something has happened.
        if access == Access::OutsideTransaction
            && group.writes > 0
            && let Err(error) = self.begin()
        {
            tracing::error!(%error, "cannot count the revision of a statement outside transactions");
            group.uncount(self.committed_revision());
        }
        self.finish(group);
        // Undoing a batch lets go of nothing, so one that has failed may have left a file behind, too.
        if access == Access::Alone {
            self.detach_all();
        }
    }

    fn run_with(
        &mut self,
        member: &mut Member,
        group: &Group,
        access: Access,
        limit: Option<(Instant, Interruption)>,
    ) -> Step {
        let base = self.committed_revision() + group.writes;
        let terms = Terms {
            access,
            checks_deferred_keys: true,
            revision: base + 1,
            max_answer_bytes: self.config.max_answer_bytes,
            limit,
            condemned: &member.condemned,
        };
        match self.run_batch(&member.job, &terms) {
            Outcome::Done(mut done) => {
                if let Answer::Fresh(result) = &mut done.answer
                    && !done.writes
                {
                    result.revision = base;
                }
                member.state = State::Done(done);
                Step::In
            }
            Outcome::Failed(error) => {
                member.state = State::Failed(error);
                Step::In
            }
            Outcome::Needs(access) => Step::Postponed(access),
            Outcome::TransactionLost(Some(statement), error) if member.condemned.len() < CONDEMNED_MAX => {
                member.condemned.push((statement, error));
                member.state = State::Waiting;
                Step::TransactionLost
            }
            Outcome::TransactionLost(_, error) => {
                member.state = State::Failed(error);
                Step::TransactionLost
            }
            Outcome::TooLong => Step::TooLong,
        }
    }

    /// Runs the members of a lost transaction again, without the one that lost it: nobody has been answered yet. Each
    /// round takes one culprit out, so it ends.
    fn rerun(&mut self, group: &mut Group, access: Access) {
        'round: loop {
            self.roll_back();
            if access == Access::Alone {
                self.detach_all();
            }
            if let Err(error) = self.begin() {
                return group.fail(&error);
            }
            let members = std::mem::take(&mut group.members);
            group.size_bytes = 0;
            group.writes = 0;
            let mut members = members.into_iter();
            while let Some(mut member) = members.next() {
                if !matches!(member.state, State::Failed(_)) {
                    member.state = State::Waiting;
                    match self.run_with(&mut member, group, access, None) {
                        Step::In => {}
                        Step::TransactionLost => {
                            group.push(member);
                            members.for_each(|member| group.push(member));
                            continue 'round;
                        }
                        Step::Postponed(_) | Step::TooLong => {
                            member.state = State::Failed(Error::internal("running a group again"));
                        }
                    }
                }
                group.push(member);
            }
            return;
        }
    }

    /// Commits the group and answers its members.
    fn finish(&mut self, mut group: Group) {
        let writes = group.writes;
        if writes == 0 {
            self.roll_back();
        } else if let Err(error) = self.commit(self.committed_revision() + writes) {
            tracing::error!(%error, batches = writes, "cannot commit; opening the database anew");
            self.give_up_connection();
            group.fail(&Error {
                message: format!("the commit failed, nothing was written: {}", error.message),
                ..error
            });
        }
        for member in group.members {
            match member.state {
                State::Done(done) => answer(member.job, Ok(done.answer)),
                State::Failed(error) => answer(member.job, Err(error)),
                State::Waiting => answer(member.job, Err(Error::internal("running the batch: it was left out"))),
            }
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            batches: GROUP_MAX_BATCHES,
            size_bytes: GROUP_MAX_BYTES,
            intake_time: GROUP_INTAKE_TIME,
            beside_others_time: BESIDE_OTHERS_TIME,
        }
    }
}

/// How a member's run ended.
enum Step {
    /// It is in the transaction, or has failed alone.
    In,
    /// It has to run on its own, with this access.
    Postponed(Access),
    /// It has ended the transaction.
    TransactionLost,
    /// It ran too long, and may have ended the transaction.
    TooLong,
}

impl Group {
    fn push(&mut self, member: Member) {
        self.size_bytes += member.job.batch.size_bytes;
        if let State::Done(done) = &member.state {
            self.size_bytes += done.answer_bytes;
            self.writes += u64::from(done.writes);
        }
        self.members.push(member);
    }

    fn is_full(&self, bounds: Bounds) -> bool {
        self.members.len() >= bounds.batches || self.size_bytes >= bounds.size_bytes
    }

    /// Makes the members' answers those of batches that are not counted.
    fn uncount(&mut self, revision: u64) {
        self.writes = 0;
        for member in &mut self.members {
            if let State::Done(done) = &mut member.state {
                done.writes = false;
                if let Answer::Fresh(result) = &mut done.answer {
                    result.revision = revision;
                }
            }
        }
    }

    /// Fails every member, with the error of the whole unless it has one of its own.
    fn fail(&mut self, error: &Error) {
        self.writes = 0;
        for member in &mut self.members {
            if !matches!(member.state, State::Failed(_)) {
                member.state = State::Failed(error.clone());
            }
        }
    }
}

/// Answers a client; one that has gone does not matter.
fn answer(job: Job, result: Result<Answer, Error>) {
    if let Err(error) = &result
        && error.kind == Kind::Internal
    {
        tracing::error!(%error, "a batch failed");
    }
    let _ = job.reply.send(result);
}
