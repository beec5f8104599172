//! One row of the table: what an operation needs, takes and answers.

/// The methods there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

impl Verb {
    /// As HTTP writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody.
    Nobody,
    /// Whoever can sign the body.
    Signature,
    /// Any valid token.
    Token,
    /// A token with the scope `push`.
    Push,
    /// A token with the scope `read`.
    Read,
    /// A token with the scope `admin`.
    Admin,
    /// The operator.
    Operator,
}

/// What a success looks like; the names are those of `schemas.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One of these.
    One(&'static str),
    /// A bare array of these.
    Many(&'static str),
    /// Plain text.
    Text,
}

/// How else than as JSON a body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Also {
    /// No other way.
    Nothing,
    /// As a form.
    Form,
    /// As JSON lines.
    Lines,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The method.
    pub verb: Verb,
    /// The path as the router has it, with its parameters in braces.
    pub path: &'static str,
    /// Who may ask.
    pub needs: Needs,
    /// One line on what it does.
    pub summary: &'static str,
    /// The status of a success.
    pub status: u16,
    /// Its body.
    pub answer: Shape,
    /// Another answer that is no error: its status and body.
    pub or: Option<(u16, Shape)>,
    /// The schema of the request's body; `None` when it takes none.
    pub body: Option<&'static str>,
    /// How else that body may come.
    pub also: Also,
    /// Query parameters it reads.
    pub query: &'static [&'static str],
    /// Header parameters it reads.
    pub headers: &'static [&'static str],
}

const fn row(
    verb: Verb,
    path: &'static str,
    needs: Needs,
    summary: &'static str,
    status: u16,
    answer: Shape,
) -> Operation {
    Operation {
        verb,
        path,
        needs,
        summary,
        status,
        answer,
        or: None,
        body: None,
        also: Also::Nothing,
        query: &[],
        headers: &[],
    }
}

macro_rules! verbs {
    ($($name:ident $verb:ident),+) => {$(
        /// A row of this method.
        pub const fn $name(
            path: &'static str,
            needs: Needs,
            summary: &'static str,
            status: u16,
            answer: Shape,
        ) -> Operation {
            row(Verb::$verb, path, needs, summary, status, answer)
        }
    )+};
}

verbs!(get Get, post Post, put Put, delete Delete);

impl Operation {
    /// It may answer this instead.
    pub const fn or(mut self, status: u16, answer: Shape) -> Self {
        self.or = Some((status, answer));
        self
    }

    /// It takes a body of this schema.
    pub const fn with(mut self, schema: &'static str) -> Self {
        self.body = Some(schema);
        self
    }

    /// The body may be a form.
    pub const fn as_form(mut self) -> Self {
        self.also = Also::Form;
        self
    }

    /// The body may be JSON lines.
    pub const fn as_lines(mut self) -> Self {
        self.also = Also::Lines;
        self
    }

    /// It reads these query parameters.
    pub const fn asking(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    /// It reads an `Idempotency-Key`.
    pub const fn keyed(mut self) -> Self {
        self.headers = &["Idempotency-Key"];
        self
    }

    /// A header names the store.
    pub const fn for_store(mut self) -> Self {
        self.headers = &["X-Hub-Store"];
        self
    }

    /// The names of the parameters in its path.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.path.split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
