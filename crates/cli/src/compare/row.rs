//! A line of the comparison.

use std::time::Duration;

use onetrip_core::quickstart::Level;
use onetrip_simulator::Strategy;
use onetrip_trace::Record;
use serde_json::{Value, json};

use crate::Failure;
use crate::exchange::Exchange;
use crate::socket::Attempt;

/// What a strategy came to, over its runs.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) strategy: Option<Strategy>,
    pub(super) mechanism: Option<&'static str>,
    /// The median run.
    pub(super) rtt: Option<(u32, u32)>,
    pub(super) ms: Option<(f64, f64)>,
    pub(super) spread: Option<(f64, f64)>,
    pub(super) bytes: (usize, usize),
    pub(super) reason: Option<String>,
    /// What no other strategy would change.
    pub(super) hopeless: Option<Failure>,
    /// How many runs needed a second connection, and how many were given up altogether.
    pub(super) second: u32,
    pub(super) lost: u32,
    pub(super) runs: u32,
    /// What has become of the stanzas of all exchanges that were cut: how many, never came, came twice, handed back.
    pub(super) exchanged: Option<[u32; 4]>,
    pub(super) levels: Vec<(Level, Duration)>,
    pub(super) record: Option<Record>,
}

impl Row {
    /// Takes the median run, and the spread of all.
    pub(super) fn summarise(&mut self, mut passed: Vec<(f64, f64, Attempt)>) {
        passed.sort_by(|a, b| a.1.total_cmp(&b.1));
        if let (Some(first), Some(last)) = (passed.first(), passed.last()) {
            self.spread = Some((first.1, last.1));
        }
        let middle = passed.len() / 2;
        if middle < passed.len() {
            let (send, answer, attempt) = passed.swap_remove(middle);
            self.ms = Some((send, answer));
            let measured = attempt.measured;
            self.rtt = measured
                .to_send
                .zip(measured.to_answer)
                .map(|((_, send), (_, answer))| (send, answer));
            self.bytes = (measured.bytes_sent, measured.bytes_received);
            self.mechanism = attempt.mechanism;
            self.record = Some(measured.record);
        }
    }

    /// Adds an exchange that was cut and went on.
    pub(super) fn count(&mut self, exchange: Option<&Exchange>) {
        let Some(exchange) = exchange else { return };
        let sums = self.exchanged.get_or_insert([0; 4]);
        for (sum, count) in sums.iter_mut().zip(exchange.counts()) {
            *sum = sum.saturating_add(count);
        }
    }

    pub(super) fn name(&self) -> String {
        self.strategy
            .map(|strategy| strategy.name())
            .unwrap_or_default()
    }

    pub(super) fn json(&self, classic: Option<f64>) -> Value {
        let gap = self
            .levels
            .last()
            .filter(|(level, _)| *level == Level::Paced)
            .map(|(_, gap)| gap.as_millis() as u64);
        json!({
            "strategy": self.name(),
            "mechanism": self.mechanism,
            "rtt_to_send": self.rtt.map(|rtt| rtt.0),
            "rtt_to_answer": self.rtt.map(|rtt| rtt.1),
            "bytes_sent": self.bytes.0,
            "bytes_received": self.bytes.1,
            "ms_to_send": self.ms.map(|ms| rounded(ms.0)),
            "ms_to_answer": self.ms.map(|ms| rounded(ms.1)),
            "ms_to_answer_min": self.spread.map(|spread| rounded(spread.0)),
            "ms_to_answer_max": self.spread.map(|spread| rounded(spread.1)),
            "ratio": self.ms.zip(classic).map(|((_, answer), classic)| rounded(answer / classic)),
            "ratio_min": self.ratios(classic).map(|ratios| rounded(ratios.0)),
            "ratio_max": self.ratios(classic).map(|ratios| rounded(ratios.1)),
            "runs": self.runs,
            "second_connections": self.second,
            "lost": self.lost,
            "stanzas": self.exchanged.map(|counts| counts[0]),
            "stanzas_lost": self.exchanged.map(|counts| counts[1]),
            "stanzas_twice": self.exchanged.map(|counts| counts[2]),
            "stanzas_handed_back": self.exchanged.map(|counts| counts[3]),
            "gap_ms": gap,
            "reason": self.reason,
            "ok": self.ms.is_some(),
        })
    }

    /// What stands in each column, behind the name.
    pub(super) fn line(name: &str, columns: [&str; 7]) -> String {
        let [trips, trips_answer, sent, received, ms, ms_answer, ratio] = columns;
        format!(
            "{name:<37}{trips:>4}{trips_answer:>4}{sent:>6}{received:>7}{ms:>8}{ms_answer:>8}{ratio:>6}"
        )
    }

    pub(super) fn text(&self, classic: Option<f64>) -> String {
        let Some((ms, ms_answer)) = self.ms else {
            return format!("{:<37}  not taken", self.name());
        };
        let trips =
            |of: fn((u32, u32)) -> u32| self.rtt.map_or("-".to_owned(), |rtt| of(rtt).to_string());
        let ratio = classic.map_or("-".to_owned(), |classic| {
            format!("{:.2}", ms_answer / classic)
        });
        Self::line(
            &self.name(),
            [
                &trips(|rtt| rtt.0),
                &trips(|rtt| rtt.1),
                &self.bytes.0.to_string(),
                &self.bytes.1.to_string(),
                &format!("{ms:.1}"),
                &format!("{ms_answer:.1}"),
                &ratio,
            ],
        )
    }

    /// What is to be said below the line.
    pub(super) fn notes(&self, classic: Option<f64>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some((least, most)) = self.spread.filter(|_| self.runs > 1) {
            let mut note = format!("{} runs: {least:.1} to {most:.1} ms", self.runs);
            if let Some((least, most)) = self.ratios(classic) {
                note.push_str(&format!(", ratio {least:.2} to {most:.2}"));
            }
            if self.second > 0 {
                note.push_str(&format!(", {} over a second connection", self.second));
            }
            if self.lost > 0 {
                note.push_str(&format!(", {} lost", self.lost));
            }
            if let Some((Level::Paced, gap)) = self.levels.last() {
                note.push_str(&format!(", gap {} ms", gap.as_millis()));
            }
            notes.push(note);
        }
        if let Some([stanzas, lost, twice, back]) = self.exchanged {
            notes.push(format!(
                "cut in mid-exchange and resumed: {stanzas} stanzas, {lost} lost, {twice} twice, {back} handed back"
            ));
        }
        match (&self.reason, self.ms) {
            (Some(reason), None) if self.second > 0 && self.lost == 0 => {
                notes.push(format!("{reason}; logged in on a second connection"));
            }
            (Some(reason), _) => notes.push(reason.clone()),
            (None, _) => {}
        }
        notes
    }

    /// The ratios of the quickest and the slowest run to the step-by-step way.
    fn ratios(&self, classic: Option<f64>) -> Option<(f64, f64)> {
        let ((least, most), classic) = self.spread.zip(classic)?;
        Some((least / classic, most / classic))
    }
}

pub(super) fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
