//! Hostile clients, and bystanders that must not feel them. The test (`tests/hostile`) asserts generous limits; the benchmark
//! (`skylinedb-compare --hostile`) prints milliseconds of the same cases.

pub(crate) mod bystanders;
pub(crate) mod case;
pub(crate) mod cases;
pub(crate) mod connection;
pub(crate) mod figures;
pub(crate) mod hostile;
pub(crate) mod process;
pub(crate) mod run;
pub(crate) mod tables;
