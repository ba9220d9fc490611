//! Where tests have the writer fail, block or panic. In the daemon itself there is nothing here.

use super::super::error::Error;

/// A place on a batch's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before its transaction is opened.
    Begin,
    /// While it runs.
    Batch,
    /// Instead of COMMIT.
    Commit,
    /// After COMMIT, before any client is answered.
    Committed,
    /// Before a failed commit's frames are overwritten.
    Marker,
    /// Outside of all that is caught.
    Thread,
}

/// What fails where.
#[cfg(not(test))]
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(());

#[cfg(not(test))]
impl Faults {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as in tests")]
    pub(super) fn at(&self, _: Stage) -> Result<(), Error> {
        Ok(())
    }
}

/// What fails where; each fault once.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Faults(std::sync::Arc<std::sync::Mutex<Vec<(Stage, Fault)>>>);

#[cfg(test)]
type Fault = Box<dyn FnOnce() -> Result<(), Error> + Send>;

#[cfg(test)]
impl Faults {
    /// The next time that the writer comes there, it does this.
    pub(crate) fn add(&self, stage: Stage, fault: impl FnOnce() -> Result<(), Error> + Send + 'static) {
        self.0.lock().expect("the faults").push((stage, Box::new(fault)));
    }

    pub(super) fn at(&self, stage: Stage) -> Result<(), Error> {
        let fault = {
            let mut faults = self.0.lock().expect("the faults");
            faults.iter().position(|(at, _)| *at == stage).map(|index| faults.remove(index).1)
        };
        fault.map_or(Ok(()), |fault| fault())
    }
}

#[cfg(test)]
impl std::fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Faults")
    }
}
