//! How a command ends when it does not end well: what is told, and the exit code.

use std::{io, process::ExitCode};

use hoop_client::{Class, ClientError};

use crate::output::Out;

/// Exit codes. They are part of the command's contract, and stand in `hoop --help`.
pub(crate) mod code {
    /// This command or this machine failed.
    pub(crate) const OWN: u8 = 1;
    /// The arguments, or what they ask for, make no sense.
    pub(crate) const USAGE: u8 = 2;
    /// Not allowed, or not there.
    pub(crate) const DENIED: u8 = 3;
    /// No valid sign-in.
    pub(crate) const NOT_SIGNED_IN: u8 = 4;
    /// The gateway, agent or target is out of reach.
    pub(crate) const AWAY: u8 = 5;
    /// A verification found something.
    pub(crate) const FOUND: u8 = 6;
}

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell.
    Error(ClientError),
    /// A verification found something; it has been printed.
    Found,
    /// The program that was run ended so.
    Child(u8),
    /// Whoever read our output has had enough.
    ClosedPipe,
}

/// Shorthand of this crate.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Error(ClientError::own("HOOP-1016", error.to_string()))
    }
}

impl Failure {
    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Error(error) => match error.class {
                Class::Own => code::OWN,
                Class::Usage => code::USAGE,
                Class::Denied => code::DENIED,
                Class::NotSignedIn => code::NOT_SIGNED_IN,
                Class::Away => code::AWAY,
            },
            Self::Found => code::FOUND,
            Self::Child(code) => *code,
            Self::ClosedPipe => 0,
        }
    }

    /// Tells it on stderr, and gives the exit code.
    pub(crate) fn tell(&self, out: &Out) -> ExitCode {
        if let Self::Error(error) = self {
            out.error(&error.fault);
        }
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_as_documented() {
        let help = crate::args::EXIT_CODES;
        for (failure, code) in [
            (Failure::Error(ClientError::own("HOOP-1009", "x")), 1),
            (Failure::Error(ClientError::usage("HOOP-1005", "x")), 2),
            (Failure::Error(ClientError::answered(403, None)), 3),
            (Failure::Error(ClientError::answered(404, None)), 3),
            (Failure::Error(ClientError::not_signed_in("x")), 4),
            (Failure::Error(ClientError::answered(401, None)), 4),
            (Failure::Error(ClientError::answered(503, None)), 5),
            (Failure::Found, 6),
        ] {
            assert_eq!(failure.code(), code);
            assert!(help.contains(&format!("\n  {code}  ")), "{code} is not in the help");
        }
        assert_eq!(Failure::Child(42).code(), 42);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(), 0);
    }
}
