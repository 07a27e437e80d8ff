//! What goes wrong, where, and what would work instead.
//!
//! Every failure of a stage is an [`Error`]: a [`Site`] (file, node, operator, which part of it) and a [`Kind`].
//! A stage gathers the errors it can find into [`Errors`]; the pipeline stops between stages.

use std::fmt;

/// One problem with a model, its data or its options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Where it is.
    pub site: Site,
    /// What it is.
    pub kind: Kind,
}

/// The place an [`Error`] speaks of; parts that do not apply stay empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// The file, as the user wrote its path.
    pub file: String,
    /// The node's name in the file (or its first output's where it has none).
    pub node: String,
    /// The node's operator.
    pub op: String,
    /// Which input, attribute, tensor or option of it.
    pub part: String,
    /// The operator set that the operator belongs to, and its version: `ai.onnx 17`.
    pub opset: String,
}

/// The nature of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Valid, but not something this compiler can translate.
    Unsupported {
        /// What is not supported.
        what: String,
        /// The nearest form that works; empty where there is none.
        instead: String,
    },
    /// The file breaks the rules of its format or of ONNX.
    Invalid(String),
    /// A file cannot be read or written.
    Io(String),
    /// An option is unknown, misspelt or contradicts another.
    Options(String),
    /// Calibration data does not fit the model.
    Calibration(String),
    /// A limit that the user set is exceeded.
    Budget(String),
    /// An invariant of the compiler broke: please report it.
    Bug(String),
}

impl Error {
    fn new(kind: Kind) -> Self {
        Self { site: Site::default(), kind }
    }

    /// A valid model that this compiler cannot translate.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported { what: what.into(), instead: String::new() })
    }

    /// A model that breaks ONNX's rules.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(Kind::Invalid(what.into()))
    }

    /// A file that cannot be read or written.
    pub fn io(what: impl fmt::Display) -> Self {
        Self::new(Kind::Io(what.to_string()))
    }

    /// A wrong option.
    pub fn options(what: impl Into<String>) -> Self {
        Self::new(Kind::Options(what.into()))
    }

    /// Calibration data that does not fit.
    pub fn calibration(what: impl Into<String>) -> Self {
        Self::new(Kind::Calibration(what.into()))
    }

    /// An exceeded limit.
    pub fn budget(what: impl Into<String>) -> Self {
        Self::new(Kind::Budget(what.into()))
    }

    /// A broken invariant of the compiler itself.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(Kind::Bug(what.into()))
    }

    /// Adds what would work to an [`Kind::Unsupported`] error.
    pub fn instead(mut self, form: impl Into<String>) -> Self {
        if let Kind::Unsupported { instead, .. } = &mut self.kind {
            *instead = form.into();
        }
        self
    }

    /// Names the file, unless it is named already.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        if self.site.file.is_empty() {
            self.site.file = file.into();
        }
        self
    }

    /// Names the node and its operator, unless they are named already.
    pub fn at_node(mut self, node: &str, op: &str) -> Self {
        if self.site.node.is_empty() {
            self.site.node = node.into();
            self.site.op = op.into();
        }
        self
    }

    /// Names the operator set and its version, unless they are named already.
    pub fn in_opset(mut self, opset: impl Into<String>) -> Self {
        if self.site.opset.is_empty() {
            self.site.opset = opset.into();
        }
        self
    }

    /// Names the input, attribute, tensor or option, unless it is named already.
    pub fn part(mut self, part: impl Into<String>) -> Self {
        if self.site.part.is_empty() {
            self.site.part = part.into();
        }
        self
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if !self.file.is_empty() {
            write!(f, "{}", self.file)?;
            separator = ": ";
        }
        match (self.node.is_empty(), self.op.is_empty()) {
            (false, false) => write!(f, "{separator}node `{}` ({})", self.node, self.op)?,
            (false, true) => write!(f, "{separator}node `{}`", self.node)?,
            (true, false) => write!(f, "{separator}operator {}", self.op)?,
            (true, true) => {}
        }
        if !self.node.is_empty() || !self.op.is_empty() {
            separator = ", ";
        }
        if !self.part.is_empty() {
            write!(f, "{separator}{}", self.part)?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let site = self.site.to_string();
        if !site.is_empty() {
            write!(f, "{site}: ")?;
        }
        write!(f, "{}", self.kind)?;
        if self.site.opset.is_empty() { Ok(()) } else { write!(f, " [{}]", self.site.opset) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Unsupported { what, instead } if instead.is_empty() => write!(f, "not supported: {what}"),
            Kind::Unsupported { what, instead } => write!(f, "not supported: {what}; what works: {instead}"),
            Kind::Invalid(what) => write!(f, "invalid model: {what}"),
            Kind::Io(what) => write!(f, "{what}"),
            Kind::Options(what) => write!(f, "{what}"),
            Kind::Calibration(what) => write!(f, "calibration data: {what}"),
            Kind::Budget(what) => write!(f, "{what}"),
            Kind::Bug(what) => write!(f, "this is a bug in mcuopt, please report it: {what}"),
        }
    }
}

/// The errors of one stage, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Ok(value)` if `errors` is empty, else all of them.
    pub fn check<T>(errors: Vec<Error>, value: T) -> Result<T, Errors> {
        if errors.is_empty() { Ok(value) } else { Err(Errors(errors)) }
    }

    /// The errors, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }

    /// Names the file in each error that names none.
    pub fn in_file(self, file: &str) -> Self {
        Errors(self.0.into_iter().map(|error| error.in_file(file)).collect())
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Errors(vec![error])
    }
}

impl From<Vec<Error>> for Errors {
    /// # Panics
    /// If `errors` is empty.
    fn from(errors: Vec<Error>) -> Self {
        assert!(!errors.is_empty(), "Errors needs at least one error");
        Errors(errors)
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}
