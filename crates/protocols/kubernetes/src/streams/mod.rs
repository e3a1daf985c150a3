//! The legs of `exec`, `attach` and `portforward`.
