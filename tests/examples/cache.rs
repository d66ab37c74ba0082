//! What is known of servers, on disk: the second login knows what the first has learnt, and takes fewer writes.
use std::path::Path;

use onetrip_core::Entity;
use onetrip_core::quickstart::{Cache, Policy};
use onetrip_core::stream::Stanza;
use onetrip_tests::echo::{Echo, Failure, Offers};

#[path = "memory.rs"]
#[allow(dead_code)] // It has a `main` of its own.
pub mod memory;

/// Logs in by what the file knows, and says how many writes it took.
pub fn log_in(server: &Echo, file: &Path) -> Result<usize, Failure> {
    // What cannot be read is not worth a thing: the first login is slower, and that is all.
    let stored = std::fs::read(file).unwrap_or_default();
    let cache = Cache::from_bytes(&stored).unwrap_or_default();
    let mut entity = Entity::new(cache, Policy::default());
    let message = Stanza::message(server.domain.as_str(), "Wherefore art thou?")?;
    let (_, writes) = memory::talk(server, &mut entity, &message)?;
    std::fs::write(file, entity.cache().to_bytes())?;
    Ok(writes)
}

fn main() -> Result<(), Failure> {
    let (server, file) = (
        Echo::new(Offers::NONE),
        std::env::temp_dir().join("onetrip.cache"),
    );
    for _ in 0..2 {
        println!("{} writes", log_in(&server, &file)?);
    }
    Ok(())
}
