//! Log lines on their way out: a bounded buffer, and the thread that writes it.
//!
//! Logging must never end, block or panic what logs. So nothing but this thread touches the log: it may wait for a reader that does not
//! read, and it drops what cannot be written. A line that finds the buffer full is dropped, too. How many were dropped is logged as soon as
//! the log can be written again.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What may wait to be written: some 10,000 lines. As much again may be with the thread.
const WAITING_MAX_BYTES: usize = 1 << 20;

/// How long the thread waits after a panic, or when a descriptor that does not block is full.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the log is written.
pub(super) trait Output: Write + Send {
    /// Opens it anew, if it is a file. Returns whether it is one.
    fn reopen(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// The log's file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when there is something to write, and when it is written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that were dropped, and that the log does not mention yet.
    lost: u64,
    is_writing: bool,
    must_reopen: bool,
}

impl Queue {
    /// Starts the thread.
    pub(super) fn start(output: impl Output + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        thread::Builder::new().name("log".into()).spawn({
            let (queue, mut output) = (Arc::clone(&queue), output);
            move || {
                loop {
                    // It ends by a panic only; what it was writing then is lost.
                    let _ = catch_unwind(AssertUnwindSafe(|| queue.write_for_ever(&mut output)));
                    thread::sleep(PAUSE);
                }
            }
        })?;
        Ok(queue)
    }

    /// Has the thread open the log anew.
    #[cfg(any(unix, test))]
    pub(super) fn reopen(&self) {
        self.state().must_reopen = true;
        self.changed.notify_all();
    }

    /// Waits until all is written, but no longer than this. Returns whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let is_unwritten = |state: &mut State| !state.waiting.is_empty() || state.is_writing;
        let waited = self.changed.wait_timeout_while(self.state(), limit, is_unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.waiting.len() + line.len() > WAITING_MAX_BYTES {
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.changed.notify_all();
    }

    fn write_for_ever(&self, output: &mut impl Output) {
        let mut is_line_begun = false;
        loop {
            let (mut bytes, must_reopen) = self.next();
            if must_reopen {
                match output.reopen() {
                    Ok(true) => {
                        is_line_begun = false;
                        tracing::info!("opened the log anew");
                    }
                    Ok(false) => tracing::info!("the log is standard error, which cannot be opened anew (--log-file)"),
                    Err(error) => {
                        tracing::error!(%error, "cannot open the log anew (--log-file); it stays where it is");
                    }
                }
            }
            if is_line_begun && !bytes.is_empty() {
                bytes.insert(0, b'\n');
            }
            let written = write_what_can_be(output, &bytes);
            if let Some(last) = bytes[..written].last() {
                is_line_begun = *last != b'\n';
            }
            let lost = self.wrote(&bytes[written..]);
            if lost > 0 {
                tracing::warn!(lost, "log lines were lost, because the log could not be written, or not fast enough");
            }
        }
    }

    /// Waits for something to do: what to write, and whether to open the log anew before.
    fn next(&self) -> (Vec<u8>, bool) {
        let mut state = self.state();
        state.is_writing = false;
        self.changed.notify_all();
        let is_nothing_to_do = |state: &mut State| state.waiting.is_empty() && !state.must_reopen;
        let mut state = self.changed.wait_while(state, is_nothing_to_do).unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.must_reopen))
    }

    /// Takes note of what could not be written. If all could, returns how many lines were lost before.
    fn wrote(&self, unwritten: &[u8]) -> u64 {
        let mut state = self.state();
        if unwritten.is_empty() {
            return std::mem::take(&mut state.lost);
        }
        state.lost += unwritten.split_inclusive(|byte| *byte == b'\n').count() as u64;
        0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event a call, as the formatter writes them. It never fails.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns how many bytes could be written.
fn write_what_can_be(output: &mut impl Output, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(number) => written += number,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    written
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let file = super::open(&path)?;
        Ok(Self { path, file })
    }
}

impl Output for LogFile {
    fn reopen(&mut self) -> io::Result<bool> {
        self.file = super::open(&self.path)?;
        Ok(true)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Output for io::Stderr {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    /// An output that takes a write each time that the test lets it, as the test says.
    struct Slow {
        turns: Receiver<Turn>,
        written: SyncSender<Vec<u8>>,
    }

    enum Turn {
        Write(usize),
        Fail,
        Panic,
    }

    impl Output for Slow {}

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.turns.recv().expect("a turn") {
                Turn::Write(most) => {
                    let number = bytes.len().min(most);
                    self.written.send(bytes[..number].to_vec()).expect("the test");
                    Ok(number)
                }
                Turn::Fail => Err(ErrorKind::StorageFull.into()),
                Turn::Panic => panic!("injected"),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Arc<Queue>, SyncSender<Turn>, Receiver<Vec<u8>>) {
        let (turn, turns) = sync_channel(100);
        let (written, writes) = sync_channel(100);
        (Queue::start(Slow { turns, written }).expect("a thread"), turn, writes)
    }

    #[test]
    fn an_output_that_takes_nothing_holds_nothing_up_and_the_buffer_is_bounded() {
        let (queue, turn, writes) = slow();
        let line = [b'x'; 1000];
        for _ in 0..10_000 {
            queue.push(&line);
        }
        assert!(queue.state().waiting.len() <= WAITING_MAX_BYTES);
        assert!(queue.state().lost > 5_000);
        assert!(!queue.flush(Duration::from_millis(10)));
        for _ in 0..2 {
            turn.send(Turn::Write(usize::MAX)).expect("a turn");
        }
        assert!(queue.flush(PATIENCE));
        assert_eq!(queue.state().lost, 0, "it is logged, and no more counted");
        drop(writes);
    }

    #[test]
    fn after_a_failure_it_goes_on_with_a_new_line_and_after_a_panic_too() {
        let (queue, turn, writes) = slow();
        queue.push(b"one\n");
        for action in [Turn::Write(2), Turn::Fail] {
            turn.send(action).expect("a turn");
        }
        assert_eq!(writes.recv_timeout(PATIENCE).expect("a part"), b"on");
        assert!(queue.flush(PATIENCE));
        assert_eq!(queue.state().lost, 1);
        queue.push(b"two\n");
        turn.send(Turn::Write(100)).expect("a turn");
        assert_eq!(writes.recv_timeout(PATIENCE).expect("a line"), b"\ntwo\n");
        queue.push(b"three\n");
        turn.send(Turn::Panic).expect("a turn");
        assert!(queue.flush(PATIENCE));
        queue.push(b"four\n");
        turn.send(Turn::Write(100)).expect("a turn");
        assert_eq!(writes.recv_timeout(PATIENCE).expect("a line"), b"four\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let queue = Queue::start(LogFile::open(&path).expect("a log")).expect("a thread");
        queue.push(b"one\n");
        assert!(queue.flush(PATIENCE));
        std::fs::rename(&path, &old).expect("move it away");
        queue.reopen();
        queue.push(b"two\n");
        assert!(queue.flush(PATIENCE));
        let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("one\n", "two\n"));
    }
}
