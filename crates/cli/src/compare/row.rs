//! A line of the comparison.

use std::time::Duration;

use onetrip_core::quickstart::Level;
use onetrip_simulator::Strategy;
use onetrip_trace::Record;
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::options::Format;
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

    pub(super) fn text(&self, classic: Option<f64>) -> String {
        let name = self.name();
        let mechanism = self.mechanism.unwrap_or("-");
        let Some((ms, ms_answer)) = self.ms else {
            let reason = self.reason.as_deref().unwrap_or("failed");
            let kept = if self.second > 0 && self.lost == 0 {
                "; logged in on a second connection"
            } else {
                ""
            };
            return format!("{name:<38}  not taken: {reason}{kept}");
        };
        let [send, answer] = match self.rtt {
            Some((send, answer)) => [send.to_string(), answer.to_string()],
            None => ["-".to_owned(), "-".to_owned()],
        };
        let ratio = classic
            .map(|classic| format!("{:.2}", ms_answer / classic))
            .unwrap_or_else(|| "-".to_owned());
        let mut line = format!(
            "{name:<38} {mechanism:<18} {send:>3} {answer:>3} {:>6} {:>6} {ms:>8.1} {ms_answer:>8.1} {ratio:>5}",
            self.bytes.0, self.bytes.1
        );
        if self.runs > 1 {
            let (least, most) = self.spread.unwrap_or_default();
            line.push_str(&format!(
                "\n{:38} {} runs, {least:.1} to {most:.1} ms, second connection {} times, lost {}",
                "", self.runs, self.second, self.lost
            ));
            if let Some((Level::Paced, gap)) = self.levels.last() {
                line.push_str(&format!(", gap {} ms", gap.as_millis()));
            }
        }
        if let Some([stanzas, lost, twice, back]) = self.exchanged {
            line.push_str(&format!(
                "\n{:38} cut in mid-exchange and resumed: {stanzas} stanzas there and back, {lost} lost, {twice} twice, {back} handed back",
                ""
            ));
        }
        if let Some(reason) = &self.reason {
            line.push_str(&format!("\n{:38} note: {reason}", ""));
        }
        line
    }
}

pub(super) fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(super) fn print(row: &Row, classic: Option<f64>, format: Format) {
    match format {
        Format::Json => anstream::println!("{}", row.json(classic)),
        Format::Text => anstream::println!("{}", row.text(classic)),
    }
}
