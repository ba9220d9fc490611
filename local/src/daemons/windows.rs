//! On Windows daemons are found by their pipes, which the system lists and which end with their process.

use std::{fs, path::Path};

use super::Candidate;
use crate::{
    endpoint::Endpoint,
    scope::{NAME, Scope},
    windows::pipe::{PIPES, probe},
};

/// The places of scopes where there is a daemon, and this one, if there is one.
pub(super) fn running(endpoint: Option<Endpoint>) -> Vec<Candidate> {
    let mut places: Vec<Candidate> = names()
        .iter()
        .filter_map(|name| {
            let scope = match name.strip_prefix(NAME)? {
                "" => Scope::Machine,
                rest if rest.starts_with("-user-") => Scope::User,
                rest if rest.starts_with('-') => Scope::Database,
                _ => return None,
            };
            Some(Candidate {
                scope: Some(scope),
                endpoint: Endpoint::of_scope(format!("{PIPES}{name}").into()),
                holder: None,
            })
        })
        .collect();
    if let Some(endpoint) = endpoint
        && !places.iter().any(|place| place.endpoint.path() == endpoint.path())
        && probe(endpoint.path()).is_ok()
    {
        places.push(Candidate { scope: None, endpoint, holder: None });
    }
    places
}

/// The names of all pipes. Where the system does not list them, as Wine does not, of those that daemons of the machine and of this
/// user would have.
fn names() -> Vec<String> {
    let mut names: Vec<String> = match fs::read_dir(PIPES) {
        Ok(pipes) => pipes.flatten().filter_map(|pipe| pipe.file_name().into_string().ok()).collect(),
        Err(_) => Scope::candidates(None, Path::new(""))
            .into_iter()
            .filter(|pipe| probe(pipe).is_ok())
            .filter_map(|pipe| Some(pipe.to_str()?.strip_prefix(PIPES)?.to_owned()))
            .collect(),
    };
    names.sort();
    names.dedup(); // a pipe may be listed once an instance
    names
}
