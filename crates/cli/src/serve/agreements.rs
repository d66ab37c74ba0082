//! The agreements of the command line.

use std::path::PathBuf;

use onetrip_core::stream::Domain;
use onetrip_core::zero_handshake::Agreement;

use crate::Failure;

/// Reads them, and holds them against the domains that are served and against one another.
pub(super) fn read(files: &[PathBuf], domains: &[Domain]) -> Result<Vec<Agreement>, Failure> {
    let mut agreements: Vec<Agreement> = Vec::new();
    for file in files {
        let wrong = |text: String| Failure::Usage(format!("{}: {text}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let agreement = Agreement::from_toml(&text).map_err(|error| wrong(error.to_string()))?;
        let terms = agreement.terms();
        if let Some(foreign) = terms.ours.iter().find(|name| !domains.contains(name)) {
            return Err(wrong(format!("{foreign} is not served here: --domain")));
        }
        let mut others = agreements.iter().flat_map(|other| &other.terms().theirs);
        if let Some(twice) = others.find(|name| terms.theirs.contains(name)) {
            return Err(wrong(format!("there is another agreement with {twice}")));
        }
        agreements.push(agreement);
    }
    Ok(agreements)
}
