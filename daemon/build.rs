//! The server's half of the bindings, with the daemon's own codec. The messages are those of the client library.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../proto");
    let descriptors = protox::compile(["skylinedb/v1/skylinedb.proto"], ["../proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".skylinedb.v1", "::skylinedb::proto::v1")
        .codec_path("crate::service::messages::Codec")
        .compile_fds(descriptors)?;
    Ok(())
}
