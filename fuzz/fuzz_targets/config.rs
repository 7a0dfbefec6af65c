//! Whatever stands in a configuration file: no panic, and an error is one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netrng::config::Config;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, Path::new("/nonexistent/netrng.toml")) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
});
