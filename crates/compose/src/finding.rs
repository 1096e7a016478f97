//! What composing noticed: not wrong enough to stop, but somebody should look.

use std::fmt;

/// Something that composing noticed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A unit's second name leads to nothing.
    DanglingAlias {
        /// The second name.
        alias: String,
        /// What it leads to.
        target: String,
    },
    /// Our own preset enables a unit that cannot be enabled: it has no `[Install]` section.
    NothingToEnable {
        /// The preset file.
        file: String,
        /// The unit.
        unit: String,
    },
    /// An enabled unit asks for another one that is not there.
    AlsoMissing {
        /// The enabled unit.
        unit: String,
        /// The other one.
        also: String,
    },
    /// An enabled unit's `[Install]` section names what cannot be a unit.
    BadUnitName {
        /// The enabled unit.
        unit: String,
        /// What it names.
        name: String,
    },
    /// A file names a user or group that does not exist.
    UnknownAccount {
        /// The file, as on the host.
        file: String,
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A program's interpreter is not there.
    NoInterpreter {
        /// The program, as on the host.
        program: String,
        /// What should run it.
        interpreter: String,
    },
    /// A unit of the image starts a program that is not there.
    NoProgram {
        /// The unit's file, as on the host.
        unit: String,
        /// The program.
        program: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DanglingAlias { alias, target } => {
                write!(f, "the unit {alias} is a link to {target}, which is not there")
            }
            Self::NothingToEnable { file, unit } => {
                write!(f, "preset {file} enables {unit}, which has nothing to enable")
            }
            Self::AlsoMissing { unit, also } => {
                write!(f, "{unit} is enabled with {also}, which is not there")
            }
            Self::BadUnitName { unit, name } => {
                write!(f, "{unit} is enabled for `{name}`, which is no unit's name")
            }
            Self::UnknownAccount { file, kind, name } => {
                write!(f, "{file} names the {kind} {name}, which does not exist")
            }
            Self::NoInterpreter { program, interpreter } => {
                write!(f, "{program} needs {interpreter} to run, which is not there")
            }
            Self::NoProgram { unit, program } => {
                write!(f, "{unit} starts {program}, which is not there")
            }
        }
    }
}
