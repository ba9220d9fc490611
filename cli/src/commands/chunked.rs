//! A script that is too long for one message: part by part, in one transaction.

use skylinedb::{Client, Transaction, TransactionKind};

use super::{
    execute::{Done, batch_of},
    report,
};
use crate::{failure::Failure, output::Output, source::SourceStatement};

/// A part: below what the most careful operator sets for `--max-message-bytes`, but long enough that the way to the
/// daemon and back does not count.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
pub(super) const CHUNK_STATEMENTS: usize = 5_000;

const CONSEQUENCE: &str = "Nothing was kept: all statements are one transaction.";

/// Runs the statements and commits only if all of them have succeeded. Their rows are printed before that.
pub(super) async fn run(
    client: &Client,
    statements: &[SourceStatement<'_>],
    output: &mut Output,
) -> Result<Done, Failure> {
    let mut session = client.session().await?;
    let mut transaction = session.transaction(TransactionKind::Write).await?;
    let mut done = Done::default();
    if let Err(failure) = run_chunks(&mut transaction, statements, &mut done, output).await {
        // The end of the session would do the same; this way other writers need not wait for it.
        transaction.rollback().await.ok();
        return Err(failure);
    }
    done.revision = transaction.commit().await.map_err(|error| Failure::from(error).and(CONSEQUENCE))?;
    Ok(done)
}

async fn run_chunks(
    transaction: &mut Transaction<'_>,
    statements: &[SourceStatement<'_>],
    done: &mut Done,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut rest = statements;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunk_length(rest));
        let before = statements.len() - rest.len();
        let result = transaction.execute_batch(batch_of(chunk)).await;
        done.print(result.map_err(|error| report::failure(error, chunk, before, CONSEQUENCE))?, output)?;
        rest = after;
    }
    Ok(())
}

/// How many of the statements make the next part: at least one.
fn chunk_length(statements: &[SourceStatement<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = statements.iter().take(CHUNK_STATEMENTS).take_while(|statement| {
        bytes += statement.sql.len();
        bytes <= CHUNK_BYTES
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bounded_by_statements_and_by_bytes() {
        let quarter = " ".repeat(CHUNK_BYTES / 4);
        let statement = |sql| SourceStatement { sql, line: 1, source: None };
        assert_eq!(chunk_length(&[statement("SELECT 1"); 3]), 3);
        assert_eq!(chunk_length(&vec![statement("SELECT 1"); 20_000]), CHUNK_STATEMENTS);
        assert_eq!(chunk_length(&[statement(&quarter); 9]), 4);
        assert_eq!(chunk_length(&[statement(&quarter.repeat(9)); 2]), 1);
    }
}
