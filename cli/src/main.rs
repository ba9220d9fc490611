//! `skylinedb-cli`.

fn main() {}
