//! What becomes of a commit that has failed.
//!
//! A COMMIT in WAL mode writes its frames to the end of the log, flushes the log, and then counts the frames in the
//! wal-index (<https://sqlite.org/walformat.html>). If the flush fails, the frames are whole in the log, at least as the
//! operating system shows it; they are not counted, so no connection of this process sees them. But whoever opens the
//! database after a crash rebuilds the index from the log, and counts them: a commit that was said to have failed comes back.
//!
//! So nobody is answered until these frames are overwritten. The index still ends before them, and the next commit
//! begins at their place. The writer commits a marker there, the smallest transaction there is, and flushes it. A frame's
//! checksum continues that of the frame before it, so what is left of the failed commit behind the marker counts for
//! nothing. Then it is known that nothing was kept.
//!
//! Linux reports a failed flush once, and may then take pages that never came to the disk for clean ones
//! (<https://wiki.postgresql.org/wiki/Fsync_Errors>). A second flush of the same pages would succeed without having written
//! them, so the failed commit is never flushed again. The marker does not rely on such a page: its frame begins at the
//! byte where the failed one began, which makes all pages that it lies on dirty again, the one that it shares with the
//! newest good frame too. It is written and flushed by a connection that is opened anew, and so through a descriptor that
//! hears of each failure that comes after its opening. Frames before it were flushed with success by the commits that were
//! acknowledged.
//!
//! Until the new connection has committed the marker, the old one stays open, rolled back and unused: when the last
//! connection to a log is closed, or the first one opened, SQLite reads the log anew, and would count the frames.
//!
//! If the marker cannot be committed either, that is the answer: it is not known whether the commit was kept. The writer
//! tries the marker again before it begins anything else, so nothing is acknowledged on top of what is in doubt.

use super::{
    super::{
        connection::{GuardedConnection, Synchronous},
        error::{Error, Kind},
    },
    fault::Stage,
    thread::WriterThread,
};

/// A commit whose frames may be in the log.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The connection that has failed; it keeps the wal-index as it is.
    _connection: GuardedConnection,
}

/// Why a commit has failed.
#[derive(Debug)]
pub(super) struct CommitFailure {
    pub(super) error: Error,
    /// Whether COMMIT itself was run.
    pub(super) is_tried: bool,
}

/// What has become of a failed commit, with the error that says so.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing was kept.
    Undone(Error),
    /// What it wrote to the database itself was kept, but not what it wrote to an attached file.
    KeptInPart(Error),
    /// It is not known.
    Unknown(Error),
}

/// Has a frame written though the revision stays as it is.
const MARKER: &str = "
    BEGIN IMMEDIATE;
    UPDATE skylinedb_meta SET revision = revision + 1 WHERE id = 1;
    UPDATE skylinedb_meta SET revision = revision - 1 WHERE id = 1;
    COMMIT;";

impl Verdict {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Undone(error) | Self::KeptInPart(error) | Self::Unknown(error) => error,
        }
    }
}

impl WriterThread {
    /// Finds out what has become of a failed commit, which would have been this revision.
    pub(super) fn judge(&mut self, failure: CommitFailure, revision: u64) -> Verdict {
        let error = failure.error;
        let undone = |error: Error| {
            Verdict::Undone(Error {
                message: format!("the commit failed, nothing was written: {}", error.message),
                ..error
            })
        };
        if !failure.is_tried {
            self.roll_back();
            self.give_up_connection();
            return undone(error);
        }
        // A lock or a constraint: these come before anything is written.
        if matches!(error.kind, Kind::Unavailable | Kind::Precondition | Kind::AlreadyExists) {
            self.roll_back();
            return undone(error);
        }
        let before = self.committed_revision();
        let has_attached = self.has_attached();
        match self.settle(&error, has_attached) {
            Ok(()) if revision > before && self.committed_revision() == revision => Verdict::KeptInPart(Error {
                message: format!(
                    "the commit failed in an attached file; what was written to the database itself was kept: {}",
                    error.message
                ),
                ..error
            }),
            Ok(()) => undone(error),
            Err(why) => Verdict::Unknown(Error {
                message: format!(
                    "the commit failed, and whether it was kept is not known ({}); the daemon acknowledges nothing until \
                     the disk works again: {}",
                    why.message, error.message
                ),
                kind: Kind::DataLoss,
                ..error
            }),
        }
    }

    /// Makes sure that nothing is kept of what has just failed with this error. Fails if that is not to be had now.
    pub(super) fn settle(&mut self, error: &Error, has_attached: bool) -> Result<(), Error> {
        let Some(failed) = self.connection.take() else { return Ok(()) };
        if failed.in_transaction()
            && let Err(error) = failed.run("ROLLBACK;")
        {
            tracing::error!(%error, "cannot roll back a failed commit");
        }
        self.doubt = Some(Doubt { _connection: failed });
        let settled = self.connection().map(drop);
        if settled.is_err() && stops_before_the_last_frame(error) && !has_attached {
            self.doubt = None;
            return Ok(());
        }
        settled
    }

    /// Commits the marker, if there is something in doubt, by a connection that was opened since.
    pub(super) fn mark(&self, connection: &GuardedConnection) -> Result<(), Error> {
        if self.doubt.is_none() {
            return Ok(());
        }
        self.faults.at(Stage::Marker)?;
        connection.as_daemon(|sqlite| {
            // NORMAL would not flush it.
            sqlite.pragma_update(None, "synchronous", Synchronous::Full.name())?;
            sqlite.execute_batch(MARKER)?;
            sqlite.pragma_update(None, "synchronous", self.config.synchronous.name())
        })?;
        tracing::info!("the disk works again: a failed commit's frames have been overwritten in the write-ahead log");
        Ok(())
    }

    /// The error of what cannot begin while something is in doubt.
    pub(super) fn still_in_doubt(&self, error: Error) -> Error {
        if self.doubt.is_none() {
            return error;
        }
        Error {
            message: format!(
                "an earlier commit failed, and the daemon takes no writes until the disk works again; nothing of this \
                 request was written: {}",
                error.message
            ),
            ..error
        }
    }

    fn has_attached(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.has_attached().unwrap_or(true))
    }
}

/// Whether the error means that a frame could not be written. A commit's frames are written in their order, the last one is
/// what makes them a commit, and the first that fails is the last that is tried: so there is no commit in the log.
fn stops_before_the_last_frame(error: &Error) -> bool {
    use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_WRITE};
    [SQLITE_FULL, SQLITE_IOERR_WRITE].contains(&error.sqlite_code)
}
