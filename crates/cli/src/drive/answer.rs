//! Answers of a script to what a machine asks.

use onetrip_core::Answer;
use onetrip_core::negotiation::{bind, sasl};
use onetrip_core::stream_management as sm;
use serde_json::Value;

use super::sasl2;
use crate::Failure;

/// Reads an answer.
pub(super) fn read(value: &Value) -> Result<Answer, Failure> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(answer) = sasl2::answer(value)? {
        return Ok(answer);
    }
    let answer = if let Some(identity) = text("accept") {
        Answer::Sasl(sasl::Answer::Accept { identity })
    } else if let Some(name) = text("refuse") {
        let refusal = sasl::Refusal::ALL
            .iter()
            .copied()
            .find(|refusal| refusal.name() == name);
        Answer::Sasl(sasl::Answer::Refuse(refusal.ok_or_else(|| {
            Failure::Usage(format!("no SASL failure '{name}'"))
        })?))
    } else if let Some(jid) = text("bind") {
        let jid = jid
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}: '{jid}'")))?;
        Answer::Bind(bind::Answer::Bound { jid })
    } else if let Some(id) = value.get("enable") {
        let mut granted = sm::Granted::default();
        granted.id = id.as_str().map(str::to_owned);
        Answer::Enable((id != &Value::Bool(false)).then_some(granted))
    } else if let Some(value) = value.get("session") {
        Answer::Session(Box::new(session(value)?))
    } else if let Some(h) = value.get("no_session") {
        let h = h.as_u64().and_then(|h| u32::try_from(h).ok());
        Answer::NoSession {
            h: h.map(sm::Count::new),
        }
    } else if value.get("conflict").is_some() {
        Answer::Bind(bind::Answer::Refused {
            condition: "conflict",
        })
    } else {
        return Err(Failure::Usage(
            "an answer is accept, refuse, bind, conflict, enable, session, no_session, checked, reverse, \
            awaited, or of a task begin, reply, abort, done, demand, further or deny"
                .to_owned(),
        ));
    };
    Ok(answer)
}

/// A session, as `drive` prints it when it is suspended.
fn session(value: &Value) -> Result<sm::Session, Failure> {
    let usage = |what: &str| Failure::Usage(format!("a session needs {what}"));
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let count = |key: &str| {
        let number = value.get(key).and_then(Value::as_u64);
        number
            .and_then(|number| u32::try_from(number).ok())
            .map(sm::Count::new)
    };
    let id = text("id").ok_or_else(|| usage("id"))?;
    let owner = text("owner").and_then(|owner| owner.parse().ok());
    let owner = owner.ok_or_else(|| usage("owner, a full address"))?;
    let acked = count("acked").ok_or_else(|| usage("acked"))?;
    let handled = count("handled").ok_or_else(|| usage("handled"))?;
    let unacked = value.get("unacked").and_then(Value::as_array);
    let unacked = unacked
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|bytes| bytes.to_owned().into())
        .collect();
    Ok(sm::Session::new(id, &owner, acked, handled, unacked))
}
