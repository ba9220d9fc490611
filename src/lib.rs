//! Client library of SkylineDB.

pub mod endpoint;
pub mod proto;
