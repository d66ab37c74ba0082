//! The table as it grows: rows on standard output, and on a terminal what is under way.

use onetrip_simulator::Strategy;

use super::row::Row;
use crate::Failure;
use crate::options::{Compare, Format};
use crate::terminal::{BOLD, Progress, notes};

/// See the module.
pub(super) struct Table<'a> {
    options: &'a Compare,
    format: Format,
    progress: Progress,
    /// What the last row logged in by.
    mechanism: Option<&'static str>,
    pub(super) rows: Vec<Row>,
}

impl<'a> Table<'a> {
    pub(super) fn new(options: &'a Compare, format: Format) -> Self {
        Self {
            options,
            format,
            progress: Progress::new(),
            mechanism: None,
            rows: Vec::new(),
        }
    }

    /// A strategy is tried now.
    pub(super) fn begin(&self, strategy: &Strategy) {
        let runs = self.options.runs;
        let runs = if runs > 1 {
            format!(", {runs} runs")
        } else {
            String::new()
        };
        self.progress
            .show(&format!("{}{runs} ...", strategy.name()));
    }

    /// Adds a row; `classic` is how long the step-by-step way took.
    ///
    /// Ends the comparison at what no other strategy would change, unless one has got through: then it is this one's
    /// alone.
    pub(super) fn push(&mut self, mut row: Row, classic: Option<f64>) -> Result<(), Failure> {
        self.progress.clear();
        if let Some(hopeless) = row.hopeless.take() {
            if self.rows.iter().all(|row| row.ms.is_none()) {
                return Err(hopeless);
            }
            row.reason.get_or_insert_with(|| hopeless.text().to_owned());
        }
        match self.format {
            Format::Json => anstream::println!("{}", row.json(classic)),
            Format::Text => self.print(&row, classic),
        }
        self.rows.push(row);
        Ok(())
    }

    fn print(&mut self, row: &Row, classic: Option<f64>) {
        if self.rows.is_empty() {
            anstream::println!("{}", headline(self.options));
        }
        if row.mechanism.is_some() && row.mechanism != self.mechanism {
            self.mechanism = row.mechanism;
            let by = row.mechanism.unwrap_or_default();
            anstream::println!("{BOLD}by {}{BOLD:#}", by.trim_start_matches("by "));
        }
        anstream::println!("{}", row.text(classic));
        notes(&row.notes(classic));
    }
}

fn headline(options: &Compare) -> String {
    let whom = match &options.target.jid {
        None => "the embedded server".to_owned(),
        Some(jid) => jid.to_bare().to_string(),
    };
    let link = match (options.target.rtt, options.target.rate) {
        (None, None) => "directly".to_owned(),
        (rtt, rate) => {
            let rtt = rtt
                .map(|rtt| format!(" {} ms there and back", rtt.as_millis()))
                .unwrap_or_default();
            let rate = rate
                .map(|rate| format!(" {rate} bit/s"))
                .unwrap_or_default();
            format!("over a link of{rtt}{rate}")
        }
    };
    let head = Row::line("", ["trips", "", "bytes", "", "milliseconds", "", ""]);
    let columns = ["snd", "ans", "sent", "rcvd", "send", "answer", "ratio"];
    format!(
        "Logging in to {whom}, {link}.\nRound trips with TCP's own, until a stanza may be sent and until it is answered.\n\n{}\n{BOLD}{}{BOLD:#}",
        head.trim_end(),
        Row::line("strategy", columns)
    )
}
