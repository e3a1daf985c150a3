//! The engine as a whole, in memory: exact bytes, orders of events, refusals, and peers that misbehave.

mod hostile;
mod login;
mod relay;
mod single;
mod split;
