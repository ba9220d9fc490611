//! What a case is, and the words that the tables of cases are written in.

use skylinedb::Value;

/// A hostile request, what precedes it, and how it must end.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Run in this order before the hostile request, each as a write of its own.
    pub(crate) set_up: Vec<Step>,
    pub(crate) text: Text,
    pub(crate) parameters: fn() -> Vec<Value>,
    pub(crate) way: Way,
    pub(crate) each: bool,
    pub(crate) ends: Ends,
    /// Whether it changes the shared tables, so that the next case needs new ones.
    pub(crate) spoils: bool,
    pub(crate) tables: Tables,
}

/// What precedes the hostile request.
pub(crate) enum Step {
    /// A statement.
    Run(String),
    /// The hostile statement itself, several times, with these parameters, which make it cheap: the daemon remembers it as
    /// a short one.
    Warm(fn() -> Vec<Value>),
}

/// The hostile SQL. Long texts are made when they are needed.
#[derive(Clone)]
pub(crate) enum Text {
    One(&'static str),
    Made(fn() -> String),
    /// A batch.
    Many(fn() -> Vec<String>),
}

/// How the request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `execute` on a session, in order.
    Session,
    /// `execute` on a session, independent.
    Independent,
    /// The call `Execute`.
    Unary,
    /// The call `Query`; its rows are taken.
    Query,
}

/// How the request may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// With its result.
    Answered,
    /// With an error of its own: a limit, or a mistake in the SQL.
    Refused,
    /// At its deadline.
    Interrupted,
    /// Refused or at its deadline; not with a result.
    Stopped,
    /// In any of these ways.
    Somehow,
}

/// Which database the daemon serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// See `tables.rs`.
    Common,
    /// A schema of 10,000 tables.
    TenThousand,
}

/// `execute` of one statement that reads.
pub(crate) fn read(name: &'static str, sql: &'static str) -> Case {
    case(name, Text::One(sql))
}

/// `execute` of one statement that writes.
pub(crate) fn write(name: &'static str, sql: &'static str) -> Case {
    case(name, Text::One(sql))
}

/// A statement whose text is made by a function.
pub(crate) fn made(name: &'static str, sql: fn() -> String) -> Case {
    case(name, Text::Made(sql))
}

/// A batch of statements.
pub(crate) fn batch(name: &'static str, statements: fn() -> Vec<String>) -> Case {
    case(name, Text::Many(statements))
}

/// A read whose rows are streamed.
pub(crate) fn query(name: &'static str, sql: &'static str) -> Case {
    case(name, Text::One(sql)).by(Way::Query)
}

fn case(name: &'static str, text: Text) -> Case {
    Case {
        name,
        set_up: Vec::new(),
        text,
        parameters: Vec::new,
        way: Way::Session,
        each: false,
        ends: Ends::Somehow,
        spoils: false,
        tables: Tables::Common,
    }
}

impl Case {
    pub(crate) fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    pub(crate) fn with(mut self, parameters: fn() -> Vec<Value>) -> Self {
        self.parameters = parameters;
        self
    }

    /// Runs a statement first.
    pub(crate) fn after(mut self, sql: impl Into<String>) -> Self {
        self.set_up.push(Step::Run(sql.into()));
        self
    }

    /// Runs the hostile statement itself first, several times, while it is cheap.
    pub(crate) fn warmed(mut self) -> Self {
        self.set_up.push(Step::Warm(Vec::new));
        self
    }

    /// The same, with these parameters.
    pub(crate) fn warmed_with(mut self, parameters: fn() -> Vec<Value>) -> Self {
        self.set_up.push(Step::Warm(parameters));
        self
    }

    pub(crate) fn each(mut self) -> Self {
        self.each = true;
        self
    }

    pub(crate) fn spoils(mut self) -> Self {
        self.spoils = true;
        self
    }

    pub(crate) fn in_ten_thousand_tables(mut self) -> Self {
        self.tables = Tables::TenThousand;
        self
    }

    pub(crate) fn answered(mut self) -> Self {
        self.ends = Ends::Answered;
        self
    }

    pub(crate) fn refused(mut self) -> Self {
        self.ends = Ends::Refused;
        self
    }

    pub(crate) fn interrupted(mut self) -> Self {
        self.ends = Ends::Interrupted;
        self
    }

    pub(crate) fn stopped(mut self) -> Self {
        self.ends = Ends::Stopped;
        self
    }
}

impl Text {
    /// The statements.
    pub(crate) fn statements(&self) -> Vec<String> {
        match self {
            Self::One(sql) => vec![(*sql).to_owned()],
            Self::Made(make) => vec![make()],
            Self::Many(make) => make(),
        }
    }
}
