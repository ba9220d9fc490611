//! `query`: one statement that reads, its rows printed as they come.

use std::io::{self, IsTerminal};

use skylinedb::Error;
use tokio_stream::StreamExt;

use super::{connect, params, report};
use crate::{
    args::{DaemonArguments, QueryArguments},
    failure::{Failure, say},
    output::{Output, count},
    script,
    source::SourceStatement,
};

pub(super) async fn run(daemon: &DaemonArguments, arguments: QueryArguments) -> Result<(), Failure> {
    let params = params(arguments.parameters.list)?;
    let statement = only_statement(&arguments.sql)?;
    let failed = |error| {
        let writes = matches!(&error, Error::Database(error) if error.reason == "SQLITE_READONLY");
        let hint = if writes { "Statements that write are for: skylinedb-cli execute" } else { "" };
        report::failure(error, &[statement], 0, hint)
    };

    let client = connect(daemon).await?;
    let mut rows = client.query(statement.sql, params).await.map_err(failed)?;
    let mut output = Output::new(arguments.output.format);
    output.begin(rows.columns().iter().map(|column| column.name.as_str()))?;
    let mut printed = 0;
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => output.row(row.values())?,
            Err(error) => {
                output.abandon()?;
                return Err(failed(error).and(&format!("{} came before that.", count(printed, "row"))));
            }
        }
        printed += 1;
    }
    output.end()?;
    if !arguments.output.quiet && io::stdout().is_terminal() {
        say(&count(printed, "row"));
    }
    Ok(())
}

fn only_statement(sql: &str) -> Result<SourceStatement<'_>, Failure> {
    let statements = script::split(sql.as_bytes())
        .map_err(|error| Failure::usage(format!("cannot read the SQL on the command line: {error}")))?;
    match statements[..] {
        [statement] => Ok(SourceStatement { sql: statement.sql, line: statement.line, source: None }),
        [] => Err(Failure::usage("there is no SQL to run")),
        _ => Err(Failure::usage(format!(
            "query runs one statement, and these are {}; use execute for several",
            statements.len()
        ))),
    }
}
