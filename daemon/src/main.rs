//! `skylinedb-daemon`.

fn main() {}
