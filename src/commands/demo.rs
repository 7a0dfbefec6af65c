//! `demo`: the main job on one machine, live. To come.

use super::Failure;
use std::time::Duration;

/// Shows it.
///
/// # Errors
/// None yet.
pub fn demo(_span: Duration) -> Result<(), Failure> {
    Ok(())
}
