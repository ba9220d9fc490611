//! The protocol's messages and stubs, generated from `proto/skylinedb/v1/`, where each is documented.

/// `skylinedb.v1`, the only version there is.
#[allow(missing_docs, clippy::pedantic, clippy::unwrap_used, reason = "generated; the .proto files document it")]
pub mod v1 {
    tonic::include_proto!("skylinedb.v1");
    pub use crate::wire::QueryResponse;
}

/// The compiled descriptors of `skylinedb.v1`, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/skylinedb.bin"));
