//! Who may come in: decided for each connection by what the kernel says of its peer, before a byte of it is read.
//!
//! The socket file's mode is the first door, this is the second. It stays shut for whoever was not let in by an option,
//! even if somebody else has opened the first.

use std::{
    collections::HashMap,
    fmt, fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use skylinedb_local::socket::names;
use tokio::net::{UnixStream, unix::UCred};

/// The permissions of a socket's file with which others than its owner can connect: its group, or everybody.
pub(super) const OTHERS_CONNECT: u32 = 0o022;

/// How long a user's groups are remembered. A connection a second from each user asks the name service once.
const GROUPS_TIME: Duration = Duration::from_secs(5);

/// How often a refusal is logged at most.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Who is at the other end of a connection, as it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    /// The process's primary group.
    pub(crate) gid: u32,
    /// Not known for a process that is not to be seen from here, in another container say.
    pub(crate) pid: Option<i32>,
    /// What errors and the log call it: `process 4711 (python3), uid 1000`.
    pub(crate) name: Arc<str>,
}

/// What the options say.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The daemon's own user.
    pub(crate) own_uid: u32,
    /// `--allow-uid`
    pub(crate) uids: Vec<u32>,
    /// `--allow-gid`
    pub(crate) gids: Vec<u32>,
    /// `--socket-mode`
    pub(crate) socket_mode: u32,
}

/// What a policy says of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Admit,
    /// It depends on the other groups of the peer's user.
    AskGroups,
    Refuse,
}

/// The policy, with what it needs to be asked often.
#[derive(Debug)]
pub(crate) struct Access {
    policy: Policy,
    /// Users' groups, and when they were asked for. One question at a time: whoever is refused must not be able to keep
    /// many threads waiting for a slow name service.
    groups: tokio::sync::Mutex<HashMap<u32, (Instant, bool)>>,
    refused: Mutex<RefusedLog>,
}

#[derive(Debug, Default)]
struct RefusedLog {
    last: Option<Instant>,
    /// How many were refused since without a line.
    unsaid: u64,
}

impl Peer {
    /// The peer of a connection.
    pub(crate) fn of(stream: &UnixStream) -> std::io::Result<Self> {
        stream.peer_cred().map(Self::from)
    }

    /// Tells the debug log what this peer has begun.
    pub(crate) fn log(&self, event: &str) {
        tracing::debug!(target: "skylinedb_daemon::transport", uid = self.uid, gid = self.gid, pid = self.pid, "{event}");
    }
}

impl From<UCred> for Peer {
    fn from(peer: UCred) -> Self {
        let (uid, pid) = (peer.uid(), peer.pid().filter(|pid| *pid > 0));
        Self { uid, gid: peer.gid(), pid, name: name(uid, pid) }
    }
}

/// What a process is called. Its program's name is what the process says; the system gives it on Linux only.
fn name(uid: u32, pid: Option<i32>) -> Arc<str> {
    let Some(pid) = pid else { return format!("an unknown process, uid {uid}").into() };
    let program = if cfg!(target_os = "linux") { fs::read(format!("/proc/{pid}/comm")).ok() } else { None };
    match program {
        Some(program) => {
            let program = String::from_utf8_lossy(&program).trim_end().escape_debug().to_string();
            format!("process {pid} ({program}), uid {uid}").into()
        }
        None => format!("process {pid}, uid {uid}").into(),
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "uid {}, gid {}", self.uid, self.gid)?;
        self.pid.map_or(Ok(()), |pid| write!(formatter, ", pid {pid}"))
    }
}

impl Policy {
    fn has_allowed(&self) -> bool {
        !self.uids.is_empty() || !self.gids.is_empty()
    }

    /// Whether users other than the socket's owner may connect by the mode that was asked for.
    fn is_widened(&self) -> bool {
        self.socket_mode & OTHERS_CONNECT != 0
    }

    fn decide(&self, peer: &Peer) -> Decision {
        if peer.uid == self.own_uid || peer.uid == 0 {
            return Decision::Admit;
        }
        if !self.has_allowed() {
            // The kernel has checked the mode that was asked for. One that was not asked for lets nobody in.
            return if self.is_widened() { Decision::Admit } else { Decision::Refuse };
        }
        if self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid) {
            Decision::Admit
        } else if self.gids.is_empty() {
            Decision::Refuse
        } else {
            Decision::AskGroups
        }
    }

    /// What whoever starts the daemon may not expect of these options together, for a socket that the daemon makes.
    pub(crate) fn surprise(&self) -> Option<String> {
        if self.has_allowed() && !self.is_widened() {
            return Some(format!(
                "--allow-uid and --allow-gid let nobody else in while the socket's mode is {:04o}: add --socket-mode 0666, \
                 or --socket-mode 0660 with a --socket-group",
                self.socket_mode
            ));
        }
        (!self.has_allowed() && self.socket_mode & 0o002 != 0).then(|| {
            format!(
                "every user of this machine who can reach the socket may read and write the database (--socket-mode {:04o} \
                 without --allow-uid or --allow-gid)",
                self.socket_mode
            )
        })
    }
}

impl Access {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, groups: tokio::sync::Mutex::default(), refused: Mutex::default() }
    }

    /// Whether this peer may come in.
    pub(crate) async fn admits(&self, peer: &Peer) -> bool {
        match self.policy.decide(peer) {
            Decision::Admit => true,
            Decision::Refuse => false,
            Decision::AskGroups => self.is_member(peer.uid).await,
        }
    }

    /// Whether a user is in one of the allowed groups.
    async fn is_member(&self, uid: u32) -> bool {
        let mut known = self.groups.lock().await;
        known.retain(|_, (asked, _)| asked.elapsed() < GROUPS_TIME);
        if let Some((_, is_member)) = known.get(&uid) {
            return *is_member;
        }
        let groups = tokio::task::spawn_blocking(move || names::groups_of(uid)).await.unwrap_or_default();
        let is_member = groups.iter().any(|gid| self.policy.gids.contains(gid));
        known.insert(uid, (Instant::now(), is_member));
        is_member
    }

    /// Tells the log that a peer was refused; not more often than once a second.
    pub(crate) fn log_refused(&self, peer: &Peer) {
        let Some(unsaid) = self.refused.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now()) else {
            return;
        };
        let pid = peer.pid;
        tracing::warn!(
            target: "skylinedb_daemon::transport",
            uid = peer.uid, gid = peer.gid, pid, refused_before = unsaid,
            "refused a connection: its user may not come in (--socket-mode, --allow-uid and --allow-gid say who may)"
        );
    }
}

/// What a refused peer is told, whatever it asks for.
pub(crate) fn refusal(peer: &Peer) -> String {
    format!(
        "this daemon serves other users than yours ({peer}), and nothing of the request was run; whoever runs it can let you \
         in: skylinedb-daemon --help, --socket-mode and --allow-uid"
    )
}

impl RefusedLog {
    /// Counts a refusal. If it is time for a line, says how many there were without one.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < LOG_PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1000;

    fn policy(socket_mode: u32, uids: &[u32], gids: &[u32]) -> Policy {
        Policy { own_uid: OWN, uids: uids.to_vec(), gids: gids.to_vec(), socket_mode }
    }

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { uid, gid, pid: Some(1), name: "a test".into() }
    }

    #[test]
    fn the_own_user_and_root_always_come_in() {
        for policy in [policy(0o600, &[], &[]), policy(0o660, &[2000], &[]), policy(0o666, &[], &[3000])] {
            assert_eq!(policy.decide(&peer(OWN, 7)), Decision::Admit, "{policy:?}");
            assert_eq!(policy.decide(&peer(0, 7)), Decision::Admit, "{policy:?}");
        }
    }

    #[test]
    fn others_come_in_as_the_options_say() {
        for (socket_mode, uids, gids, decision) in [
            (0o600, [].as_slice(), [].as_slice(), Decision::Refuse),
            (0o644, &[], &[], Decision::Refuse), // connecting needs the permission to write
            (0o660, &[], &[], Decision::Admit),
            (0o606, &[], &[], Decision::Admit),
            (0o666, &[2000], &[], Decision::Admit),
            (0o600, &[2000], &[], Decision::Admit), // by a socket that was made by somebody else
            (0o666, &[2001], &[], Decision::Refuse),
            (0o666, &[], &[200], Decision::Admit),
            (0o666, &[], &[201], Decision::AskGroups),
            (0o666, &[2001], &[201], Decision::AskGroups),
            (0o666, &[2000], &[201], Decision::Admit),
        ] {
            let policy = policy(socket_mode, uids, gids);
            assert_eq!(policy.decide(&peer(2000, 200)), decision, "{policy:?}");
        }
    }

    #[test]
    fn options_that_do_not_do_what_they_seem_to_are_said() {
        assert_eq!(policy(0o600, &[], &[]).surprise(), None);
        assert_eq!(policy(0o660, &[], &[]).surprise(), None);
        assert_eq!(policy(0o666, &[2000], &[]).surprise(), None);
        assert!(policy(0o666, &[], &[]).surprise().is_some_and(|text| text.contains("every user")));
        assert!(policy(0o600, &[2000], &[]).surprise().is_some_and(|text| text.contains("let nobody else in")));
    }

    #[test]
    fn refusals_are_logged_once_a_second_with_the_number_of_the_others() {
        let mut log = RefusedLog::default();
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        assert_eq!(log.count(at(0)), Some(0));
        assert_eq!([log.count(at(1)), log.count(at(999))], [None, None]);
        assert_eq!(log.count(at(1_000)), Some(2));
        assert_eq!(log.count(at(2_500)), Some(0));
    }

    #[test]
    fn a_process_is_named_with_its_program() {
        let own = i32::try_from(std::process::id()).expect("a PID");
        let named = name(7, Some(own));
        assert!(named.starts_with(&format!("process {own} (")) && named.ends_with("), uid 7"), "{named}");
        assert_eq!(&*name(7, None), "an unknown process, uid 7");
    }

    #[tokio::test]
    async fn groups_that_are_not_the_primary_one_come_from_the_name_service() {
        let root = Access::new(policy(0o666, &[], &[0]));
        assert!(root.is_member(0).await, "root is in the group root");
        assert!(!root.is_member(4_000_000_000).await, "a user who is not there is in no group");
        assert!(!root.admits(&peer(4_000_000_000, 4_000_000_000)).await);
    }
}
