//! Conditions in Rego, for what the fields of a rule cannot say.
//!
//! A rule file brings modules ([`Modules`]), and a rule names one of their rules ([`When`]). It holds if its value is
//! exactly `true`; whatever else comes of it is an [`Answer`] that says why not. What a module sees is the input document
//! ([`AccessInput`]) and nothing else: no network, no files, no clock, no chance.
//!
//! A module comes with the rules and is trusted as they are, but a mistake in it must not stop a gateway:
//! - its text is bounded, and so is its nesting, before the parser sees it;
//! - functions that make much out of little, that print, or that answer differently each time are refused when called;
//! - an evaluation takes [`TIME`] at most, on a stack of its own. The time is measured between steps: a single step that is slow in
//!   itself (two large values compared) is not cut off.

mod guard;
mod input;
mod modules;
mod statement;
mod when;

pub use input::{AccessInput, ConnectionInput, MfaInput, PersonInput, RequestInput, TimeInput};
pub(crate) use modules::Evaluation;
pub use modules::{ModuleError, ModuleName, Modules, TIME};
pub(crate) use statement::{Asked, LONGEST_IN_GRANT, Values};
pub use statement::{BoundValue, StatementRego};
pub use when::{Answer, NotAPath, When};
