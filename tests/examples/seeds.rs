//! Writes the seeds of every fuzz target, one folder each, below the folder that is named.

use std::path::PathBuf;

use onetrip_tests::fuzz::{TARGETS, seeds};

fn main() -> std::io::Result<()> {
    let below: PathBuf = std::env::args_os()
        .nth(1)
        .unwrap_or_else(|| "seeds".into())
        .into();
    for target in TARGETS {
        let folder = below.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(target.name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
