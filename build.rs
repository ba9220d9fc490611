//! Turns `proto/` into Rust: protox compiles it (no protoc needed), tonic-prost-build generates the bindings, and the
//! descriptors are kept for server reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["skylinedb/v1/skylinedb.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("skylinedb.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .extern_path(".skylinedb.v1.QueryResponse", "crate::wire::QueryResponse")
        .compile_fds(descriptors)?;
    Ok(())
}
