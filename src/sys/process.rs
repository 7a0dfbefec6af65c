//! Child processes and privileges: to come.
