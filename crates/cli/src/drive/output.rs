//! What `drive` prints: one JSON object per line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onetrip_core::negotiation::sasl;
use onetrip_core::stream::{Content, Frame, Jid, Stanza};
use onetrip_core::stream_management as sm;
use onetrip_core::{End, EntityEvent, Event, Request};
use serde_json::{Value, json};

use super::{link, sasl2, servers};

pub(super) fn emit(value: &Value) {
    anstream::println!("{value}");
}

pub(super) fn emit_bytes(key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => emit(&json!({key: text})),
        Err(_) => emit(&json!({format!("{key}_b64"): STANDARD.encode(bytes)})),
    }
}

pub(super) fn stanza_json(stanza: &Stanza) -> Value {
    let head = stanza.head();
    json!({"stanza": {
        "name": head.kind.name(),
        "ns": head.content.namespace(),
        "to": head.to.as_deref(),
        "from": head.from.as_deref(),
        "id": head.id.as_deref(),
        "type": head.type_.as_deref(),
        "bytes": String::from_utf8_lossy(stanza.bytes()),
    }})
}

pub(super) fn frame_json(frame: &Frame) -> Value {
    let address = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string);
    match frame {
        Frame::Header(header) => {
            json!({"event": "header", "to": address(&header.to), "from": address(&header.from), "id": header.id,
            "lang": header.lang, "version": format!("{}.{}", header.version.major, header.version.minor),
            "content": header.content.map(Content::namespace), "dialback": header.dialback})
        }
        Frame::Element(element) => {
            json!({"event": "element", "name": element.name(), "ns": element.ns()})
        }
        Frame::Stanza(stanza) => stanza_json(stanza),
        _ => json!({"event": "footer"}),
    }
}

/// A question for the script, or for the account that was given.
pub(super) fn request_json(request: &Request) -> Value {
    let name = match request {
        Request::Derive(_) => "derive",
        Request::Sasl {
            request: sasl::Request::Password { .. },
            ..
        } => "sasl-password",
        Request::Sasl {
            request: sasl::Request::Keys { .. },
            ..
        } => "sasl-keys",
        Request::Sasl {
            request: sasl::Request::Certificate { .. },
            ..
        } => "sasl-certificate",
        Request::Sasl { .. } => "sasl-anonymous",
        Request::Bind { .. } => "bind",
        Request::Enable {
            owner, resume, max, ..
        } => {
            return json!({"request": "enable", "owner": owner.to_string(), "resume": resume, "max": max});
        }
        Request::Resume { account, previd } => {
            return json!({"request": "resume", "account": account.to_string(), "previd": previd});
        }
        Request::InstantResume { account, swap, .. } => {
            return json!({"request": "instant-resume", "account": account.as_ref().map(Jid::to_string), "h": swap.h});
        }
        Request::KeySwap { account, swap } => {
            return json!({"request": "key-swap", "account": account.as_ref().map(Jid::to_string), "previd": swap.claim.session, "mechanism": swap.claim.mechanism, "h": swap.h});
        }
        _ => {
            return servers::request_json(request)
                .or_else(|| sasl2::request_json(request))
                .unwrap_or(json!({"request": "unknown"}));
        }
    };
    json!({"request": name})
}

/// How a stream ended.
pub(super) fn end_name(end: &End) -> &'static str {
    match end {
        End::Clean => "clean",
        End::Cut => "cut",
        End::PeerError(_) => "peer-error",
        End::Failed(_) => "failed",
        End::Refused => "refused",
        End::HandedOver => "handed-over",
        End::Abandoned(_) => "abandoned",
        _ => "unknown",
    }
}

/// What outlives the connection.
pub(super) fn emit_lesson(event: &EntityEvent) {
    if let Some(report) = event.report() {
        let difference = report.difference.as_ref().map(ToString::to_string);
        let outcome: String = format!("{:?}", report.outcome).chars().take(80).collect();
        return emit(&json!({"event": "learned", "outcome": outcome, "difference": difference}));
    }
    if let Some(resumption) = event.resumption() {
        let session = &resumption.session;
        let unacked: Vec<_> = session
            .unacked
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes))
            .collect();
        emit(&json!({
            "event": "suspended",
            "id": session.id,
            "owner": session.owner.to_string(),
            "acked": session.acked.value(),
            "handled": session.handled.value(),
            "unacked": unacked,
            "token": resumption.ticket.is_some(),
        }));
    }
}

fn management_json(event: &sm::Event) -> Value {
    match event {
        sm::Event::Enabled(granted) => {
            json!({"event": "management-enabled", "id": granted.id, "max": granted.max, "location": granted.location})
        }
        sm::Event::Refused { condition } => {
            json!({"event": "management-refused", "condition": condition})
        }
        sm::Event::Acked(handles) => json!({"event": "acked", "stanzas": handles.len()}),
        sm::Event::Failed(entry) => {
            json!({"event": "not-kept", "bytes": String::from_utf8_lossy(&entry.bytes)})
        }
        sm::Event::HandedBack(entries) => {
            let bytes: Vec<_> = entries
                .iter()
                .map(|entry| String::from_utf8_lossy(&entry.bytes))
                .collect();
            json!({"event": "handed-back", "stanzas": bytes})
        }
        _ => json!({"event": "unknown"}),
    }
}

/// Hides passwords, tokens and keys, unless they are to be shown.
pub(super) fn masked(bytes: &[u8], show: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    if show {
        return text.into_bytes();
    }
    let text = SECRET_TEXTS.iter().fold(text, |text, tag| mask(&text, tag));
    let text = SECRET_ATTRIBUTES
        .iter()
        .fold(text, |text, name| mask_attribute(&text, name));
    text.into_bytes()
}

/// Elements whose text is a secret, or proves one.
const SECRET_TEXTS: [&str; 6] = [
    "<auth ",
    "<response ",
    "<response>",
    "<initial-response>",
    "<db:result ",
    "<db:verify ",
];

/// Attributes that hold tokens and keys: instant stream resumption's in its three texts, and FAST's.
const SECRET_ATTRIBUTES: [&str; 3] = ["tok='", "key='", "token='"];

/// Replaces the values of an attribute.
fn mask_attribute(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut hidden = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find('\'').and_then(|end| part.get(end..));
        hidden.extend([name, "[hidden]", rest.unwrap_or_default()]);
    }
    hidden
}

/// Replaces whatever stands between `tag …>` and the next `<`.
fn mask(text: &str, tag: &str) -> String {
    let mut parts = text.split(tag);
    let mut hidden = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let open = match tag.ends_with('>') {
            true => 0,
            false => part.find('>').map_or(part.len(), |end| end + 1),
        };
        let (attributes, rest) = part.split_at(open);
        let (secret, rest) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        let shown = if secret.is_empty() { "" } else { "[hidden]" };
        hidden.extend([tag, attributes, shown, rest]);
    }
    hidden
}

pub(super) fn event_json(event: &Event) -> Value {
    match event {
        Event::Secured => json!({"event": "secured"}),
        Event::Authenticated {
            mechanism,
            identity,
        } => {
            json!({"event": "authenticated", "mechanism": mechanism.name(), "identity": identity.as_ref().map(ToString::to_string)})
        }
        Event::AuthenticationRefused(failure) => {
            json!({"event": "authentication-refused", "condition": failure.refusal.name(), "text": failure.text})
        }
        Event::NoMechanism { offered } => json!({"event": "no-mechanism", "offered": offered}),
        Event::BindRefused(refusal) => {
            json!({"event": "bind-refused", "condition": refusal.condition})
        }
        Event::Online {
            jid,
            provisional,
            resumed,
        } => {
            json!({"event": "online", "jid": jid.to_string(), "provisional": provisional, "resumed": resumed})
        }
        Event::Confirmed => json!({"event": "confirmed"}),
        Event::Stanza(stanza) => stanza_json(stanza),
        Event::PeerError(error) => {
            json!({"event": "peer-error", "condition": error.condition.name(), "text": error.text})
        }
        Event::Closed(end) => json!({"event": "closed", "end": end_name(end)}),
        Event::Management(event) => management_json(event),
        Event::InstantResumeRefused { condition } => {
            json!({"event": "instant-resume-refused", "condition": condition})
        }
        Event::TokenExposed(_) => json!({"event": "token-exposed"}),
        Event::ProofExposed { session } => json!({"event": "proof-exposed", "session": session}),
        Event::TokenConfirmed { session } => {
            json!({"event": "token-confirmed", "session": session})
        }
        _ => servers::event_json(event)
            .or_else(|| link::event_json(event))
            .or_else(|| sasl2::event_json(event))
            .unwrap_or(json!({"event": "unknown"})),
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn every_secret_of_a_write_is_hidden() {
        let bytes =
            b"<db:result to='a'>k1</db:result><db:result to='b'>k2</db:result><auth m='P'/>";
        let hidden = String::from_utf8(masked(bytes, false)).unwrap();
        assert_eq!(
            hidden,
            "<db:result to='a'>[hidden]</db:result><db:result to='b'>[hidden]</db:result><auth m='P'/>"
        );
        assert_eq!(masked(bytes, true), bytes);
    }

    #[test]
    fn proofs_tokens_and_keys_of_sasl2_are_hidden() {
        let bytes = b"<authenticate mechanism='HT-SHA-256-NONE'><initial-response>SECRET1</initial-response></authenticate>\
            <response xmlns='urn:xmpp:sasl:2'>SECRET2</response><token xmlns='urn:xmpp:fast:0' expiry='1970' token='SECRET3'/>\
            <enabled isr:key='SECRET4' id='s1'/><a tok='SECRET5'/><b token='SECRET6'/>";
        let hidden = String::from_utf8(masked(bytes, false)).unwrap();
        assert_eq!(hidden.matches("[hidden]").count(), 6, "{hidden}");
        assert!(!hidden.contains("SECRET"), "{hidden}");
        assert!(hidden.contains("mechanism='HT-SHA-256-NONE'"), "{hidden}");
    }
}
