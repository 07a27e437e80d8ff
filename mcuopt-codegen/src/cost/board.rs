//! Boards: a chip's clock, current and memories, for latency and energy.

use toml::de::{DeTable, DeValue};

use super::core::Core;
use crate::error::Error;

/// A chip on a board, from its datasheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    /// The name that options use.
    pub name: String,
    /// Its core, or that of its cores that runs networks.
    pub core: Core,
    /// The clock in hertz.
    pub hertz: f64,
    /// The supply current at that clock while the core computes, in milliamperes.
    pub milliamperes: f64,
    /// The supply voltage at which that current flows.
    pub volts: f64,
    /// Bytes of RAM.
    pub ram: usize,
    /// Bytes of flash; 0 where that is a chip of its own.
    pub flash: usize,
    /// Where the figures come from.
    pub source: String,
}

const KNOWN: &str = include_str!("boards.toml");

impl Board {
    /// The boards that this crate knows, by core.
    pub fn all() -> Vec<Board> {
        Self::read(KNOWN).expect("boards.toml is well-formed")
    }

    /// The one that this crate knows under a name.
    pub fn of(name: &str) -> Option<Board> {
        Self::all().into_iter().find(|board| board.name == name)
    }

    /// Reads boards from a TOML text: a table for each, with all of this struct's fields under their names, but `name`
    /// is the table's, `hertz` is given as `megahertz`, `ram` and `flash` as `ram_kib` and `flash_kib`; `source` may be missing.
    ///
    /// ```
    /// let text = r#"
    ///     [my-board]
    ///     core = "cortex-m4"
    ///     megahertz = 64
    ///     milliamperes = 3.3
    ///     volts = 3.0
    ///     ram_kib = 256
    ///     flash_kib = 1024
    /// "#;
    /// let boards = mcuopt_codegen::cost::Board::read(text).unwrap();
    /// assert_eq!(boards[0].hertz, 64e6);
    /// ```
    ///
    /// # Errors
    /// What is missing, unknown or out of range.
    pub fn read(text: &str) -> Result<Vec<Board>, Error> {
        let tables = DeTable::parse(text);
        let tables = tables.map_err(|error| Error::options(format!("not valid TOML: {}", error.message())))?;
        let boards = tables.get_ref().iter();
        boards.map(|(name, value)| Fields { name: name.get_ref(), value: value.get_ref() }.board()).collect()
    }

    /// Seconds that so many cycles take.
    pub fn seconds(&self, cycles: u64) -> f64 {
        cycles as f64 / self.hertz
    }

    /// Joules that so many cycles take: of the whole chip, as the core computes and nothing else happens.
    pub fn joules(&self, cycles: u64) -> f64 {
        self.seconds(cycles) * self.volts * self.milliamperes / 1e3
    }
}

/// One board's table.
struct Fields<'a> {
    name: &'a str,
    value: &'a DeValue<'a>,
}

const FIELDS: [&str; 7] = ["core", "megahertz", "milliamperes", "volts", "ram_kib", "flash_kib", "source"];

impl Fields<'_> {
    fn board(&self) -> Result<Board, Error> {
        let Some(table) = self.value.as_table() else {
            return Err(self.wrong("", "is not a table: `[name]` starts one, with its fields below".into()));
        };
        if let Some(unknown) = table.keys().map(|key| key.get_ref()).find(|key| !FIELDS.contains(&key.as_ref())) {
            return Err(self.wrong(unknown, format!("is not one of {}", FIELDS.join(", "))));
        }
        let core = self.text("core")?.ok_or_else(|| self.wrong("core", "is missing".into()))?;
        let known = || format!("is \"{core}\"; known are {}", Core::ALL.map(Core::name).join(", "));
        Ok(Board {
            name: self.name.into(),
            core: Core::of(core).ok_or_else(|| self.wrong("core", known()))?,
            hertz: self.number("megahertz", false)? * 1e6,
            milliamperes: self.number("milliamperes", false)?,
            volts: self.number("volts", false)?,
            ram: (self.number("ram_kib", false)? * 1024.0) as usize,
            flash: (self.number("flash_kib", true)? * 1024.0) as usize,
            source: self.text("source")?.unwrap_or_default().into(),
        })
    }

    fn text(&self, field: &str) -> Result<Option<&str>, Error> {
        match self.field(field) {
            None => Ok(None),
            Some(DeValue::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, "is not a text".into())),
        }
    }

    fn number(&self, field: &str, may_be_zero: bool) -> Result<f64, Error> {
        let digits = match self.field(field) {
            None => return Err(self.wrong(field, "is missing".into())),
            Some(DeValue::Integer(digits)) => digits.as_str(),
            Some(DeValue::Float(digits)) => digits.as_str(),
            Some(_) => return Err(self.wrong(field, "is not a number".into())),
        };
        let number: f64 = digits.replace('_', "").parse().unwrap_or(f64::NAN);
        let fits = number.is_finite() && (number > 0.0 || may_be_zero && number == 0.0);
        if fits { Ok(number) } else { Err(self.wrong(field, format!("is {number}, but must be positive"))) }
    }

    fn field(&self, name: &str) -> Option<&DeValue<'_>> {
        self.value.as_table()?.get(name).map(|value| value.get_ref())
    }

    fn wrong(&self, field: &str, what: String) -> Error {
        let field = if field.is_empty() { String::new() } else { format!(", `{field}`") };
        Error::options(what).part(format!("board `{}`{field}", self.name))
    }
}
