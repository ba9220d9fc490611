//! Client library of SkylineDB, the local daemon that owns an SQLite database.
//!
//! ```
//! use skylinedb::{Batch, Error, Statement, TransactionKind, params, start::{StartOptions, start_daemon}};
//! use tokio_stream::StreamExt as _;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! # let built = std::env::current_dir()?.join("target/debug/skylinedb-daemon");
//! # let built = std::env::var_os("SKYLINEDB_TEST_BIN_DIR")
//! #     .map_or(built, |folder| std::path::PathBuf::from(folder).join("skylinedb-daemon"));
//! let options = StartOptions::new().database(folder.join("app.db")).endpoint(folder.join("app.sock"));
//! # let options = options.program(built);
//! let client = start_daemon(options).await?.client; // `Client::connect(path)` if one runs already
//!
//! client.execute("CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT UNIQUE)", params![]).await?;
//! let insert = |name| Statement::new("INSERT INTO person(name) VALUES (?)", params![name]);
//! let done = client.execute_batch(Batch::new().push(insert("Ada")).push(insert("Grace"))).await?;
//! println!("two rows on disk, as revision {}", done.revision);
//!
//! // Errors carry what SQLite said, for programs and for people.
//! match client.execute("INSERT INTO person(name) VALUES (?)", params!["Ada"]).await {
//!     Err(Error::Database(error)) if error.reason == "SQLITE_CONSTRAINT_UNIQUE" => println!("{error}"),
//!     outcome => panic!("there is an Ada already: {outcome:?}"),
//! }
//!
//! let mut rows = client.query("SELECT id, name FROM person WHERE id > ?", params![0]).await?;
//! while let Some(row) = rows.next().await {
//!     let row = row?;
//!     println!("{}: {}", row.get::<i64>("id")?, row.get::<String>(1)?);
//! }
//!
//! let mut session = client.session().await?;
//! let mut transaction = session.transaction(TransactionKind::Write).await?;
//! transaction.execute("DELETE FROM person WHERE name = ?", params!["Ada"]).await?;
//! transaction.commit().await?; // without it, nothing of the transaction is kept
//!
//! # assert_eq!(client.execute("SELECT name FROM person", params![]).await?.rows[0].get::<String>(0)?, "Grace");
//! # drop(session);
//! client.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod client;
mod code;
mod connector;
pub mod daemons;
mod error;
mod kept_stream;
mod params;
mod pipeline;
pub mod proto;
pub mod reason;
mod result;
mod rows;
mod session;
pub mod start;
mod statement;
#[cfg(test)]
mod test_listener;
mod value;
pub mod wire;

pub use client::{Client, Pong};
pub use code::Code;
pub use error::{DatabaseError, Error};
pub use params::Params;
pub use result::{BatchResult, Column, ColumnIndex, Row, StatementResult};
pub use rows::Rows;
pub use session::{Session, Transaction, TransactionKind};
pub use skylinedb_local::{ENDPOINT_VARIABLE, Endpoint, Scope, canonical_database, is_same_database};
pub use statement::{Batch, Statement, TransactionMode};
pub use value::{FromValue, Value};
