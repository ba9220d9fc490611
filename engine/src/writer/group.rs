//! Group commit: the batches that are waiting run in one transaction, which is committed once, and only then is anybody
//! answered. So a commit costs one fsync a group, not one a client. A group never waits for company: it takes what is
//! in the queue.

use std::time::{Duration, Instant};

use super::{
    super::{
        cancel::Interruption,
        error::{Error, Kind},
        meta::KeptAnswers,
        run::Access,
        statement::Answer,
    },
    Job,
    batch::{Done, Outcome, Terms},
    doubt::Verdict,
    thread::WriterThread,
    waiting::Task,
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
/// the group run again, so that a batch of n of them would take n² time.
const CONDEMNED_MAX: usize = 16;

/// What bounds a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// See [`GROUP_MAX_BATCHES`].
    pub(crate) batches: usize,
    /// See [`GROUP_MAX_BYTES`].
    pub(crate) size_bytes: usize,
    /// See [`GROUP_INTAKE_TIME`].
    pub(crate) intake_time: Duration,
    /// See [`BESIDE_OTHERS_TIME`].
    pub(crate) beside_others_time: Duration,
    /// What is kept of answers to requests that may be repeated.
    pub(crate) kept: KeptAnswers,
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
        self.waiting.hold(Task::Begin, first.cancel());
        if let Err(error) = self.begin() {
            // What hinders one hinders all: everybody who waits now has waited just as long.
            let waiting = std::iter::from_fn(|| self.next_waiting_batch()).collect::<Vec<_>>();
            for job in std::iter::once(first).chain(waiting) {
                self.waiting.end(job.cancel());
                answer(job, Err(error.clone()));
            }
            return;
        }
        self.waiting.goes_on(Task::Batch);
        let until = Instant::now() + self.bounds.intake_time;
        let mut group = Group::default();
        let mut postponed = None;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            self.waiting.end(job.cancel());
            if let Some(interruption) = job.cancel().interruption() {
                // Its client has given it up before it began.
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
        self.finish(group, Access::Shared);
        if let Some((job, access)) = postponed {
            self.alone(job, access);
        }
    }

    /// Runs a batch that cannot, or should not, share a transaction.
    fn alone(&mut self, job: Job, access: Access) {
        let is_outside = access == Access::OutsideTransaction;
        self.waiting.hold(if is_outside { Task::Outside } else { Task::Batch }, job.cancel());
        job.cancel().run_outside_transactions(is_outside);
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
        if is_outside {
            self.after_outside(&mut group);
        }
        self.finish(group, access);
        // Undoing a batch lets go of nothing, so one that has failed may have left a file behind, too.
        if access == Access::Alone {
            self.detach_all();
        }
    }

    /// What is left to do when a statement outside of transactions has run.
    fn after_outside(&mut self, group: &mut Group) {
        for member in &mut group.members {
            member.job.cancel().run_outside_transactions(false);
            // It commits by the log, too.
            if let State::Failed(error) = &mut member.state
                && [Kind::DataLoss, Kind::Exhausted].contains(&error.kind)
                && error.sqlite_code != 0
                && let Err(why) = self.settle(error, false)
            {
                error.message = format!("{}; whether it was done is not known ({})", error.message, why.message);
            }
        }
        // It has committed itself. The revision tells watchers that something has happened.
        if group.writes > 0
            && let Err(error) = self.count_revision()
        {
            tracing::error!(%error, "cannot count the revision of a statement outside transactions");
            group.uncount(self.committed_revision());
        }
        group.writes = 0;
    }

    fn count_revision(&mut self) -> Result<(), Error> {
        self.begin()?;
        let revision = self.committed_revision() + 1;
        self.commit(revision).map_err(|failure| self.judge(failure, revision).into_error())
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
            is_sessions: false,
            revision: base + 1,
            max_answer_bytes: self.config.max_answer_bytes,
            limit,
            patience: self.waiting.patience(self.config.batch_timeout),
            kept: self.bounds.kept,
            condemned: &member.condemned,
        };
        match self.run_batch(&member.job.batch, member.job.cancel(), &terms) {
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
            Outcome::TransactionLost(statement, error) => {
                let is_one_too_many = statement.is_some() && !member.condemned.is_empty();
                member.state = State::Failed(if is_one_too_many { too_many_rollbacks(&error) } else { error });
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
    fn finish(&mut self, mut group: Group, access: Access) {
        self.leave_out_given_up(&mut group, access);
        let writes = group.writes;
        if writes == 0 {
            self.roll_back();
        } else {
            self.waiting.goes_on(Task::Commit(writes));
            let revision = self.committed_revision() + writes;
            if let Err(failure) = self.commit(revision) {
                tracing::error!(error = %failure.error, batches = writes, "cannot commit; opening the database anew");
                let verdict = self.judge(failure, revision);
                if let Verdict::Undone(_) = verdict {
                    group.commit_undone();
                }
                group.fail(&verdict.into_error());
            }
        }
        for member in group.members {
            match member.state {
                State::Done(done) => answer(member.job, Ok(done.answer)),
                State::Failed(error) => answer(member.job, Err(error)),
                State::Waiting => answer(member.job, Err(Error::internal("running the batch: it was left out"))),
            }
        }
    }

    /// Takes out the batches that were given up since they were run: their clients have been told that nothing was kept. After
    /// this, none of the others can be given up.
    fn leave_out_given_up(&mut self, group: &mut Group, access: Access) {
        while group.writes > 0 && !group.begin_commit() {
            group.commit_undone();
            self.rerun(group, access);
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
            kept: KeptAnswers::default(),
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

    /// Marks what is to be committed. Returns whether all of it is wanted; what is not, has failed.
    fn begin_commit(&mut self) -> bool {
        let mut are_all_wanted = true;
        for member in &mut self.members {
            if let State::Done(Done { writes: true, .. }) = member.state
                && let Err(interruption) = member.job.cancel().begin_commit()
            {
                member.state = State::Failed(interruption.error());
                are_all_wanted = false;
            }
        }
        are_all_wanted
    }

    /// Takes the mark back.
    fn commit_undone(&self) {
        self.members.iter().for_each(|member| member.job.cancel().commit_undone());
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
    if let Err(error) = &result {
        let client = job.cancel().client();
        if error.kind == Kind::Internal {
            tracing::error!(client, %error, "a batch failed");
        } else if error.reason == Interruption::BatchTime.error().reason {
            tracing::warn!(client, %error, "ended a batch for which others waited too long");
        }
    }
    job.reply.send(result);
}

fn too_many_rollbacks(error: &Error) -> Error {
    Error::new(
        Kind::Precondition,
        "TOO_MANY_ROLLBACKS",
        format!(
            "more than {CONDEMNED_MAX} statements of the batch rolled back the whole transaction (OR ROLLBACK, \
             RAISE(ROLLBACK)), which the mode EACH allows no more often; nothing of the batch was kept. Use OR ABORT or \
             RAISE(ABORT), or send smaller batches. The last one's error: {}",
            error.message
        ),
    )
    .at(error.statement_index.unwrap_or_default())
}
