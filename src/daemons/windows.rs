//! On Windows daemons are found by their pipes, which the system lists and which end with their process.

use std::fs;

use super::Place;
use crate::{
    endpoint::Endpoint,
    scope::{NAME, PIPES, Scope},
};

/// The places of scopes where there is a daemon, and this one, if there is one.
pub(super) fn occupied(endpoint: Option<Endpoint>) -> Vec<Place> {
    let pipes = fs::read_dir(PIPES).into_iter().flatten().flatten();
    let mut names: Vec<_> = pipes.filter_map(|pipe| pipe.file_name().into_string().ok()).collect();
    names.sort();
    names.dedup(); // a pipe may be listed once an instance
    let mut places: Vec<Place> = names
        .iter()
        .filter_map(|name| {
            let scope = match name.strip_prefix(NAME)? {
                "" => Scope::Machine,
                rest if rest.starts_with("-user-") => Scope::User,
                rest if rest.starts_with('-') => Scope::Database,
                _ => return None,
            };
            Some(Place { scope: Some(scope), endpoint: Endpoint::new(format!("{PIPES}{name}")), holder: None })
        })
        .collect();
    if let Some(endpoint) = endpoint
        && !places.iter().any(|place| place.endpoint == endpoint)
        && crate::connector::look(endpoint.path()).is_ok()
    {
        places.push(Place { scope: None, endpoint, holder: None });
    }
    places
}
