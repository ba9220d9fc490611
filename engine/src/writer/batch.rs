//! Runs a batch inside an open transaction, in a savepoint of its own, so that its failure undoes it and nothing else.

use super::super::{
    cancel::{Cancel, Interruption, Patience},
    collector::{Budget, Collector},
    connection::GuardedConnection,
    error::{Error, Kind},
    meta::{self, KeptAnswers},
    run::{self, Access, Ran, Stop},
    sqlite3,
    statement::{Answer, Batch, BatchResult, Mode, StatementResult},
};
use crate::ledger::Hold;

/// How the run of a batch ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is part of the transaction.
    Done(Done),
    /// It failed and was undone; the transaction is as it was before.
    Failed(Error),
    /// It has not run: it needs this access.
    Needs(Access),
    /// It, or in mode EACH the statement with this index, ended the whole transaction, others' batches with it.
    TransactionLost(Option<usize>, Error),
    /// It ran for too long while others of its group wait. It was undone, or has ended the whole transaction.
    TooLong,
}

/// A batch that is part of the transaction.
#[derive(Debug)]
pub(super) struct Done {
    /// What its client will get when the transaction is committed.
    pub(super) answer: Answer,
    /// How much memory its rows take until then.
    pub(super) answer_bytes: usize,
    /// Whether it may have changed the database.
    pub(super) writes: bool,
}

/// What a batch is allowed.
pub(super) struct Terms<'t> {
    /// What its statements may do.
    pub(super) access: Access,
    /// Whether the transaction is a session's, which commits it itself.
    pub(super) is_sessions: bool,
    /// The revision that the batch becomes if it writes.
    pub(super) revision: u64,
    /// Rows it may answer with.
    pub(super) max_answer_bytes: usize,
    /// How long it may take.
    pub(super) limit: Option<(std::time::Instant, Interruption)>,
    /// How long others wait for it.
    pub(super) patience: Option<Patience>,
    /// What is kept of answers to requests that may be repeated.
    pub(super) kept: KeptAnswers,
    /// Statements of a batch of mode EACH that have ended the transaction before: not to be run again.
    pub(super) condemned: &'t [(usize, Error)],
}

/// Runs a batch in the open transaction.
pub(super) fn run(connection: &GuardedConnection, batch: &Batch, cancel: &Cancel, terms: &Terms<'_>) -> Outcome {
    connection.watch.begin(cancel, terms.limit);
    if let Some(patience) = &terms.patience {
        connection.watch.allow(patience.clone());
    }
    let outcome = guarded(connection, batch, cancel, terms);
    let interruption = connection.watch.end();
    if let Outcome::Failed(_) = outcome
        && interruption == Some(Interruption::GroupTime)
    {
        return Outcome::TooLong;
    }
    if !connection.in_transaction() && terms.access != Access::OutsideTransaction {
        // INSERT OR ROLLBACK, RAISE(ROLLBACK), a full disk, an I/O error, an interrupted write: SQLite has rolled back
        // everything (https://sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction").
        return match outcome {
            Outcome::Failed(error) if batch.mode == Mode::Each && interruption.is_none() => {
                Outcome::TransactionLost(error.statement_index, error)
            }
            Outcome::Failed(error) => Outcome::TransactionLost(None, error),
            other => Outcome::TransactionLost(
                None,
                Error::internal(format_args!(
                    "running a batch: its transaction has gone, though it ended as {other:?}"
                )),
            ),
        };
    }
    outcome
}

fn guarded(connection: &GuardedConnection, batch: &Batch, cancel: &Cancel, terms: &Terms<'_>) -> Outcome {
    let request_id = batch.request.as_ref().map(|request| request.id.as_str());
    if let Some(id) = request_id {
        match meta::stored_answer(connection, id, batch) {
            Ok(Some(answer)) => {
                return Outcome::Done(Done {
                    answer_bytes: answer.len(),
                    answer: Answer::Replayed(answer),
                    writes: false,
                });
            }
            Ok(None) => {}
            Err(error) => return Outcome::Failed(error),
        }
    }
    let mut progress = Progress { budget: Budget::new(connection, terms.max_answer_bytes), writes: false };
    let attempt = in_savepoint(connection, &BATCH, terms, || {
        connection.forget_last_client().map_err(Stop::Failed)?;
        let results = match batch.mode {
            Mode::Atomic => atomic(connection, batch, terms, &mut progress),
            Mode::Each => each(connection, batch, terms, &mut progress),
        }?;
        let result = BatchResult { results, revision: terms.revision, hold: Hold::default() };
        if let Some(request) = &batch.request
            && progress.writes
        {
            let answer = (request.encode)(&result);
            meta::store_answer(connection, &request.id, batch, &answer, terms.kept).map_err(Stop::Failed)?;
        }
        if terms.is_sessions {
            // Its client has been told that nothing was kept, if it was given up while SQLite could not be stopped. Other
            // batches are left out when their group is committed.
            cancel.begin_commit().map_err(|interruption| Stop::Failed(interruption.error()))?;
        }
        Ok(result)
    });
    // COMMIT would set it back, but other batches come before that.
    if !terms.is_sessions
        && connection.policy.take_deferral()
        && let Err(error) = connection.run("PRAGMA defer_foreign_keys = OFF;")
    {
        return Outcome::Failed(error);
    }
    match attempt {
        Ok(mut result) => {
            let answer_bytes = progress.budget.used_bytes();
            result.hold = progress.budget.into_hold();
            Outcome::Done(Done { answer: Answer::Fresh(result), answer_bytes, writes: progress.writes })
        }
        Err(Stop::Failed(error)) => Outcome::Failed(error),
        Err(Stop::Needs(access)) => Outcome::Needs(access),
    }
}

struct Progress<'c> {
    budget: Budget<'c>,
    writes: bool,
}

type Results = Vec<Result<StatementResult, Error>>;

fn atomic(
    connection: &GuardedConnection,
    batch: &Batch,
    terms: &Terms<'_>,
    progress: &mut Progress<'_>,
) -> Result<Results, Stop> {
    (0..batch.statements.len()).map(|index| statement(connection, batch, index, terms, progress).map(Ok)).collect()
}

fn each(
    connection: &GuardedConnection,
    batch: &Batch,
    terms: &Terms<'_>,
    progress: &mut Progress<'_>,
) -> Result<Results, Stop> {
    let mut results = Vec::with_capacity(batch.statements.len());
    for index in 0..batch.statements.len() {
        if let Some((_, error)) = terms.condemned.iter().find(|(condemned, _)| *condemned == index) {
            results.push(Err(error.clone()));
            continue;
        }
        let used_bytes = progress.budget.used_bytes();
        match in_savepoint(connection, &STATEMENT, terms, || statement(connection, batch, index, terms, progress)) {
            Ok(result) => results.push(Ok(result)),
            Err(Stop::Failed(error)) => {
                let error = error.at(index);
                if !connection.in_transaction() || connection.watch.interruption().is_some() {
                    return Err(Stop::Failed(error));
                }
                progress.budget.go_back_to(used_bytes);
                results.push(Err(error));
            }
            Err(needs) => return Err(needs),
        }
    }
    Ok(results)
}

fn statement(
    connection: &GuardedConnection,
    batch: &Batch,
    index: usize,
    terms: &Terms<'_>,
    progress: &mut Progress<'_>,
) -> Result<StatementResult, Stop> {
    if let Some(interruption) = connection.watch.is_over() {
        return Err(Stop::Failed(interruption.error().at(index)));
    }
    progress.budget.add_statement().map_err(|error| Stop::Failed(error.at(index)))?;
    let mut collector = Collector::new(&mut progress.budget);
    let ran = run::run(connection, &batch.statements[index], terms.access, &mut collector);
    match ran {
        Ok(Ran { result, writes }) => {
            let result = collector.into_result(result);
            progress.writes |= writes;
            Ok(result)
        }
        Err(Stop::Failed(error)) => Err(Stop::Failed(error.at(index))),
        Err(Stop::Needs(Access::OutsideTransaction)) if batch.statements.len() > 1 => Err(Stop::Failed(
            Error::new(
                Kind::Precondition,
                "OUTSIDE_TRANSACTION",
                "the statement cannot run inside a transaction, and a batch is one; send it as the only statement of a \
                 batch, outside a session's transaction",
            )
            .at(index),
        )),
        Err(needs) => Err(needs),
    }
}

struct Savepoint {
    open: &'static str,
    undo: &'static str,
    release: &'static str,
}

const BATCH: Savepoint = Savepoint { open: "SAVEPOINT batch;", undo: "ROLLBACK TO batch;", release: "RELEASE batch;" };
const STATEMENT: Savepoint =
    Savepoint { open: "SAVEPOINT statement;", undo: "ROLLBACK TO statement;", release: "RELEASE statement;" };

/// Runs something in a savepoint, which is undone if it fails.
fn in_savepoint<T>(
    connection: &GuardedConnection,
    savepoint: &Savepoint,
    terms: &Terms<'_>,
    run: impl FnOnce() -> Result<T, Stop>,
) -> Result<T, Stop> {
    if terms.access == Access::OutsideTransaction {
        return run();
    }
    connection.run(savepoint.open).map_err(Stop::Failed)?;
    let outcome = run().and_then(|done| {
        // Unless COMMIT is the client's own, a deferred foreign key would only fail there, and with it everybody else's batch
        // (https://sqlite.org/foreignkeys.html#fk_deferred).
        if !terms.is_sessions && sqlite3::has_deferred_violations(&connection.sqlite) {
            return Err(Stop::Failed(Error::of_code(
                rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
                "FOREIGN KEY constraint failed: a deferred foreign key is still violated at the end of the batch",
            )));
        }
        Ok(done)
    });
    if !connection.in_transaction() {
        return outcome;
    }
    let undone = if outcome.is_err() { connection.run(savepoint.undo) } else { Ok(()) };
    if let Err(error) = undone.and_then(|()| connection.run(savepoint.release)) {
        // Half of it could still be in the transaction: better no transaction than that.
        connection.run("ROLLBACK;").map_err(Stop::Failed)?;
        return Err(Stop::Failed(error));
    }
    outcome
}
