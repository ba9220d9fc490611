//! `execute`: SQL that may write, as one batch or statement by statement.

use skylinedb::{Batch, BatchResult, Client, Code, Error, Params, Statement, StatementResult};

use super::{chunked, connect, params, report};
use crate::{
    args::{DaemonArguments, ExecuteArguments, Mode},
    dump,
    failure::{Failure, say},
    output::{Output, count},
    source::{self, SourceStatement},
};

/// What is longer goes to the daemon in parts. The daemon takes 64 MiB and 100,000 statements (proto/), its operator
/// may have set less.
const BATCH_MAX_BYTES: usize = 32 << 20;
const BATCH_MAX_STATEMENTS: usize = 50_000;

/// What has been done so far.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) statements: usize,
    pub(super) rows_affected: u64,
    pub(super) rows: u64,
    pub(super) revision: u64,
    pub(super) replayed: bool,
}

pub(super) async fn run(daemon: &DaemonArguments, arguments: ExecuteArguments) -> Result<(), Failure> {
    let mode = arguments.mode();
    let sources = source::read(&arguments)?;
    let mut statements = source::statements(&sources)?;
    if mode == Mode::Atomic {
        dump::unwrap_transaction(&mut statements);
    }
    let params = params(arguments.parameters.list)?;
    if statements.len() != 1 && !params.is_empty() {
        return Err(Failure::usage(format!(
            "parameters are for a single statement, and there are {}; run them one by one",
            statements.len()
        )));
    }
    let is_long = statements.len() > BATCH_MAX_STATEMENTS
        || statements.iter().map(|statement| statement.sql.len()).sum::<usize>() > BATCH_MAX_BYTES;
    let one_batch = statements.len() == 1 || (mode == Mode::Atomic && !is_long);
    if arguments.request_id.is_some() && !one_batch {
        return Err(Failure::usage(format!(
            "--request-id is for a single batch: --mode atomic with at most {BATCH_MAX_STATEMENTS} statements and \
             {} MiB",
            BATCH_MAX_BYTES >> 20
        )));
    }

    let client = connect(daemon).await?;
    let mut output = Output::new(arguments.output.format);
    if statements.len() > 1 {
        output = output.with_one_line_arrays();
    }
    let done = if statements.is_empty() {
        Done::default()
    } else if one_batch {
        atomic(&client, &statements, params, arguments.request_id, &mut output).await?
    } else if mode == Mode::Atomic {
        chunked::run(&client, &statements, &mut output).await?
    } else {
        each(&client, &statements, &mut output).await?
    };
    if !arguments.output.quiet {
        say(&done.summary());
    }
    Ok(())
}

async fn atomic(
    client: &Client,
    statements: &[SourceStatement<'_>],
    params: Params,
    request_id: Option<String>,
    output: &mut Output,
) -> Result<Done, Failure> {
    let mut batch = match statements {
        [statement] => Batch::new().push(Statement::new(statement.sql, params)),
        _ => batch_of(statements),
    };
    let is_divisible = statements.len() > 1 && request_id.is_none();
    if let Some(request_id) = request_id {
        batch = batch.request_id(request_id);
    }
    let consequence = if statements.len() > 1 { "Nothing was kept: all statements are one transaction." } else { "" };
    match client.execute_batch(batch).await {
        Ok(result) => {
            let mut done = Done::default();
            done.print(result, output)?;
            Ok(done)
        }
        // This daemon takes less in one message, or answers with less.
        Err(Error::Database(error)) if is_divisible && error.code == Code::ResourceExhausted => {
            chunked::run(client, statements, output).await
        }
        Err(error) => Err(report::failure(error, statements, 0, consequence)),
    }
}

/// Every statement is a batch of its own, because that is what VACUUM and its like ask for.
async fn each(client: &Client, statements: &[SourceStatement<'_>], output: &mut Output) -> Result<Done, Failure> {
    let session = client.session().await?;
    let mut done = Done::default();
    let mut failed = 0;
    for (before, statement) in statements.iter().enumerate() {
        match session.execute_batch(batch_of(&[*statement])).await {
            Ok(result) => done.print(result, output)?,
            Err(Error::Database(error)) => {
                failed += 1;
                say(&format!("Error: {}", report::describe(&error, &[*statement], before, "")));
            }
            Err(error) => {
                let more = format!("{} were run before that.", count(before as u64, "statement"));
                return Err(Failure::from(error).and(&more));
            }
        }
    }
    match failed {
        0 => Ok(done),
        _ => Err(Failure::refused(format!(
            "{failed} of {} failed; the others were kept",
            count(statements.len() as u64, "statement")
        ))),
    }
}

/// The statements as a batch, without parameters.
pub(super) fn batch_of(statements: &[SourceStatement<'_>]) -> Batch {
    statements
        .iter()
        .fold(Batch::new(), |batch, statement| batch.push(Statement::new(statement.sql, Params::default())))
}

impl Done {
    /// Prints the rows of a batch and counts it.
    pub(super) fn print(&mut self, result: BatchResult, output: &mut Output) -> Result<(), Failure> {
        self.revision = result.revision;
        self.replayed |= result.replayed;
        for statement in result.results {
            self.statements += 1;
            self.print_statement(&statement?, output)?;
        }
        Ok(())
    }

    fn print_statement(&mut self, result: &StatementResult, output: &mut Output) -> Result<(), Failure> {
        self.rows_affected += result.rows_affected;
        if result.columns.is_empty() {
            return Ok(());
        }
        output.begin(result.columns.iter().map(|column| column.name.as_str()))?;
        for row in &result.rows {
            output.row(row.values())?;
        }
        self.rows += result.rows.len() as u64;
        Ok(output.end()?)
    }

    fn summary(&self) -> String {
        let mut summary = count(self.statements as u64, "statement");
        if self.rows > 0 {
            summary = format!("{summary}, {}", count(self.rows, "row"));
        }
        if self.rows_affected > 0 || self.rows == 0 {
            summary = format!("{summary}, {} affected", count(self.rows_affected, "row"));
        }
        let replayed = if self.replayed { "; it was committed before, this is its first answer" } else { "" };
        format!("{summary} (revision {}{replayed})", self.revision)
    }
}
