//! End-to-end tests. What they share is in `hoop-testkit`; each file of `tests/` tells one story.
