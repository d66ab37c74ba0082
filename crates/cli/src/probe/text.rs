//! What was found, for people.

use serde_json::Value;

use super::tried::Together;
use super::verdict::taken;
use crate::terminal::{COLUMNS, wrapped};

/// Where the text of a line begins.
const NAMES: usize = 19;

/// The lines about one place.
pub(super) fn text(findings: &Value) -> String {
    let text = |key: &str| match findings.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            if list.is_empty() {
                "nothing".to_owned()
            } else {
                list.join(", ")
            }
        }
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut out = format!(
        "  {:<16} {} ({})",
        text("way"),
        text("address"),
        text("found")
    );
    if findings.get("ok") != Some(&Value::Bool(true)) {
        return format!("{out}\n    not looked at: {}\n", text("reason"));
    }
    out.push_str(&format!(", {} ms away\n", text("rtt_ms")));
    let mut line = |name: &str, text: &str| {
        for (index, part) in wrapped(text, COLUMNS - NAMES).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            out.push_str(&format!("    {name:<14} {part}\n"));
        }
    };
    if let Some(required) = findings.get("starttls_required") {
        let required = if *required == Value::Bool(true) {
            "required"
        } else {
            "not required"
        };
        line(
            "before TLS",
            &format!("STARTTLS {required}; offered: {}", text("offered_in_clear")),
        );
    }
    line(
        "TLS",
        &format!("{}, certificate for {}", text("tls"), text("certificate")),
    );
    line("mechanisms", &text("mechanisms"));
    line("bindings", &text("channel_bindings"));
    line("offered", &text("offered"));
    for units in Together::ALL {
        let came = findings
            .get("together")
            .and_then(|together| together.get(units.key()));
        if let Some(came) = came.and_then(Value::as_str) {
            line("in one go", &format!("{}: {came}", units.text()));
        }
    }
    let logins = findings.get("logins").and_then(Value::as_array);
    for row in logins.into_iter().flatten() {
        line("login", &login(row));
    }
    for (index, said) in verdict(findings.get("verdict")).iter().enumerate() {
        line(if index == 0 { "verdict" } else { "" }, said);
    }
    out
}

/// What has become of one login.
fn login(row: &Value) -> String {
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = text("strategy");
    if taken(row) {
        return format!("{name}: taken");
    }
    let number = |key: &str| row.get(key).and_then(Value::as_u64).unwrap_or_default();
    let kept = match number("second_connections") {
        _ if number("lost") > 0 => "",
        0 => "; logged in all the same",
        _ => "; logged in on a second connection",
    };
    format!("{name}: not taken, {}{kept}", text("reason"))
}

fn verdict(verdict: Option<&Value>) -> Vec<String> {
    let found = |key: &str| {
        let trips = verdict?.get(key)?.as_f64()?;
        let by = verdict?.get(format!("{key}_by"))?.as_str()?;
        Some((trips, by))
    };
    let (Some((classic, _)), Some((safe, by))) = (found("connect_classic"), found("connect_safe"))
    else {
        return vec!["no strategy applies".to_owned()];
    };
    let mut said = vec![format!(
        "connect in {safe} round trips instead of {classic}: {by}"
    )];
    if let Some((best, by)) = found("connect_best").filter(|(best, _)| *best < safe) {
        said.push(format!(
            "in {best} if it takes what comes behind <auth/>, as a login (--user) tells: {by}"
        ));
    }
    let back = found("reconnect_classic").zip(found("reconnect_best"));
    if let Some(((classic, _), (best, by))) = back {
        said.push(format!("come back in {best} instead of {classic}: {by}"));
    }
    said
}
