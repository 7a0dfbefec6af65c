//! Tests of the whole: what mistakes get as an answer, sources, the files in `conf/`, round trips.

mod egd_source;
mod listeners;
mod mdns;
mod mistakes;
mod netrng02;
mod round_trip;
mod secrets;
mod shipped;

/// Three keys; as texts they may stand for public, private and pre-shared ones. No part of
/// one occurs in another, so that a leak of a piece is seen.
pub(super) const KEY_1: &str = "+OXF4EQY4ZYNYtgy28MIOx4ysfIA1WtWx43AxuDA01w=";
pub(super) const KEY_2: &str = "nGkLZXxUbj2EM9W2tZ/6s0hJRlfFNbOvR4+emlxLLIk=";
pub(super) const KEY_3: &str = "8VMhjINHZVNEJZO9/84Lqn7x6o39AAN+Cl1h1TAyqw8=";

/// Puts the keys in place of `{1}`, `{2}` and `{3}`.
pub(super) fn with_keys(text: &str) -> String {
    text.replace("{1}", KEY_1).replace("{2}", KEY_2).replace("{3}", KEY_3)
}
