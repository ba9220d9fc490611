//! What is compared.

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(crate) clients: usize,
    /// Requests under way at once, a client.
    pub(crate) pipeline: usize,
    /// How SkylineDB's clients send them.
    pub(crate) mode: &'static str,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Ping,
    Insert,
    PointRead,
    /// Reads a table of a million rows.
    Scan,
    /// Nine point reads to one insert.
    Mixed,
    /// Loads a CSV file of a million rows.
    Import,
}

/// Rows of the table that point reads read, and of the one that scans read.
pub(crate) const POINT_ROWS: i64 = 100_000;
pub(crate) const SCAN_ROWS: i64 = 1_000_000;

pub(crate) const CASES: &[Case] = &[
    case("insert, 1 client", Work::Insert, 1),
    case("insert, 16 clients", Work::Insert, 16),
    case("insert, 64 clients", Work::Insert, 64),
    case("point read, 1 client", Work::PointRead, 1),
    case("point read, 16 clients", Work::PointRead, 16),
    Case { name: "point read, 1 connection, 512 under way", pipeline: 512, ..case("", Work::PointRead, 1) },
    case("mixed, 16 clients", Work::Mixed, 16),
    case("scan of 1 M rows, 1 client", Work::Scan, 1),
    case("CSV file of 1 M rows, 1 client", Work::Import, 1),
    Case { name: "point read, 1 client, unary", mode: "unary", ..case("", Work::PointRead, 1) },
    Case { name: "point read, 16 clients, unary", mode: "unary", ..case("", Work::PointRead, 16) },
    case("ping, 1 client", Work::Ping, 1),
    Case { name: "ping, 1 connection, 512 under way", pipeline: 512, ..case("", Work::Ping, 1) },
];

const fn case(name: &'static str, work: Work, clients: usize) -> Case {
    Case { name, work, clients, pipeline: 1, mode: "session" }
}

impl Case {
    /// Whether others can do it, too: they have no pipelines, and no ping that is comparable.
    pub(crate) fn has_rivals(&self) -> bool {
        !matches!(self.work, Work::Ping | Work::Import) && self.pipeline == 1 && self.mode == "session"
    }

    /// Whether it is nothing but the way there and back.
    pub(crate) fn has_floor(&self) -> bool {
        self.work == Work::Ping
    }

    /// Rows of the table.
    pub(crate) fn rows(&self) -> i64 {
        match self.work {
            Work::Scan => SCAN_ROWS,
            Work::PointRead | Work::Mixed => POINT_ROWS,
            Work::Ping | Work::Insert | Work::Import => 0,
        }
    }
}

impl Work {
    /// Its name for `skylinedb-cli bench --workload`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Insert => "insert",
            Self::PointRead => "point-read",
            Self::Scan => "scan",
            Self::Mixed => "mixed",
            Self::Import => "import",
        }
    }
}
