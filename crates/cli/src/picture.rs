//! Pictures of records: what a file gets is said by its suffix.

use std::path::Path;

use onetrip_simulator::{ANSWERED, ONLINE};
use onetrip_trace::{Record, Style, ladder, ladder_svg, mermaid, phases_svg, side_by_side_svg};

use crate::Failure;
use crate::options::{OutputOptions, Picture};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Svg,
    Mermaid,
    Json,
    Text,
}

/// What the suffix of a file says.
pub(crate) fn kind(file: &Path) -> Result<Kind, Failure> {
    match file.extension().and_then(|suffix| suffix.to_str()) {
        Some("svg") => Ok(Kind::Svg),
        Some("mmd") => Ok(Kind::Mermaid),
        Some("json") => Ok(Kind::Json),
        Some("txt") => Ok(Kind::Text),
        _ => Err(Failure::Usage(format!(
            "{}: a picture is .svg, .mmd, .json or .txt",
            file.display()
        ))),
    }
}

/// The ladder as text.
pub(crate) fn text(record: &Record, output: &OutputOptions) -> String {
    let style = Style {
        ascii: output.ascii,
        ..Style::default()
    };
    ladder(record, &style)
}

/// Writes records to the file that was asked for, if one was. Without a `picture` one record is a ladder, and two stand
/// beside each other.
pub(crate) fn write(
    records: &[&Record],
    picture: Option<Picture>,
    output: &OutputOptions,
) -> Result<(), Failure> {
    let Some(file) = &output.output else {
        return Ok(());
    };
    let joined = |draw: &dyn Fn(&Record) -> String| {
        records
            .iter()
            .map(|record| draw(record))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let drawn = match kind(file)? {
        Kind::Svg => svg(records, picture)?,
        Kind::Mermaid => joined(&mermaid),
        Kind::Json => joined(&Record::to_json) + "\n",
        Kind::Text => joined(&|record| text(record, output)),
    };
    store(file, &drawn)
}

/// Writes what was drawn.
pub(crate) fn store(file: &Path, drawn: &str) -> Result<(), Failure> {
    std::fs::write(file, drawn)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}

fn svg(records: &[&Record], picture: Option<Picture>) -> Result<String, Failure> {
    match (picture, records) {
        (None | Some(Picture::Ladder), [record]) => Ok(ladder_svg(record)),
        (Some(Picture::Phases), [record]) => Ok(phases_svg(record, ONLINE)),
        (None | Some(Picture::Beside), [one, other]) => {
            let title = "Until the first stanza is answered";
            Ok(side_by_side_svg(title, one, other, ANSWERED))
        }
        (Some(Picture::Slope), _) => Err(Failure::Usage(
            "slopes are drawn by simulate alone: they need links of many lengths".to_owned(),
        )),
        (_, records) => Err(Failure::Usage(format!(
            "{} records do not make that picture: a ladder or its phases show one, and two stand beside each other",
            records.len()
        ))),
    }
}
