//! The options that say who may come in.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(crate) use imp::AccessArguments;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::AccessArguments;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        access: AccessArguments,
    }

    /// The options, given so.
    pub(super) fn parse(arguments: &[&str]) -> AccessArguments {
        CommandLine::parse_from([&["daemon"], arguments].concat()).access
    }
}
