//! The daemon's own tables in the database: `skylinedb_meta` has the revision and the tables' format in one row,
//! `skylinedb_requests` the answers to requests that may be repeated. Programs that open the file themselves may read them.

mod requests;
mod schema;

pub use requests::MAX_REQUEST_ID_BYTES;
pub(super) use requests::{KeptAnswers, store_answer, stored_answer};
pub(super) use schema::{create, create_in_transaction, find_revision, is_referred_to_by, revision, set_revision};
