//! Pipes and readiness: to come.
