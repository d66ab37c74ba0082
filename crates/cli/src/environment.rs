//! What the machines are not given by themselves: time, unpredictable bytes, secrets from outside.

use std::path::Path;
use std::time::{Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use onetrip_core::fast::DateTime;
use onetrip_core::stream::Instant;
pub(crate) use onetrip_tls::rustls::SystemEntropy;

use crate::Failure;

/// A clock that begins when it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(SystemInstant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(SystemInstant::now())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_epoch(self.0.elapsed())
    }
}

impl onetrip_core::stream::Clock for Clock {
    fn now(&mut self) -> Instant {
        Self::now(self)
    }
}

/// What day it is, for tokens that outlive a process.
pub(crate) fn date() -> DateTime {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    DateTime::from_unix_seconds(passed.unwrap_or_default().as_secs())
}

/// A password from a file, its line end left out, or from the environment.
pub(crate) fn password(file: Option<&Path>) -> Result<Option<String>, Failure> {
    match file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        None => Ok(std::env::var("ONETRIP_PASSWORD").ok()),
    }
}
