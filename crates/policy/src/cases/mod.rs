//! Tests of rule files: cases with facts and what is expected, run by the very functions that decide.
//!
//! A case says who asks for what, when and from where ([`Facts`]), and what must come of it ([`Expected`]): which rule
//! allows it, which refuses for want of an approval, or with which code it is refused. It may go on with statements and
//! commands, and what the rules about those must say of them. [`Coverage`] counts which rules have decided anything.
//!
//! Pure, like the rest of this crate: `now` is a fact of the case.

mod coverage;
mod facts;
mod file;
mod run;

pub use coverage::{Coverage, Covered};
pub use facts::{
    ApprovalFact, ConnectionFact, Facts, KindFact, Lacks, MfaBy, MfaFact, PersonFact, RoleFact, Situation,
};
pub use file::{
    Case, CaseError, Cases, ClusterCase, CommandCase, DialectName, Expected, RefusalCode, StatementCase,
};
pub use run::{CaseReport, Decided, StatementDecided, decide, decide_statement};
