use minidom::Element;
use onetrip_stream::{Build as _, ns};

use super::*;
use crate::{Dialect, Role};

const CERTIFICATE: &[u8] = b"certificate";

fn offer(hash: Hash) -> Security {
    Security::offer(Fingerprint::of(CERTIFICATE, hash))
}

fn gate(policy: Policy, theirs: &Security) -> Result<Gate, XtlsError> {
    let mut gate = Gate::new(policy, Role::Responder, Some(theirs))?;
    assert_eq!(gate.agreed(), None);
    assert_eq!(gate.transport_ready(), Some(Opened(TlsRole::Server)));
    Ok(gate)
}

fn in_content(security: Element) -> Element {
    Element::bare("content", ns::JINGLE_1).with_child(security)
}

#[test]
fn jxs_19_20_both_conditions_in_either_order_open_once() {
    for (role, tls) in [
        (Role::Initiator, TlsRole::Client),
        (Role::Responder, TlsRole::Server),
    ] {
        let new = || Gate::new(Policy::default(), role, Some(&offer(Hash::Sha256))).unwrap();
        let mut gate = new();
        assert_eq!(
            (gate.transport_ready(), gate.transport_ready()),
            (None, None)
        );
        assert_eq!((gate.agreed(), gate.agreed()), (Some(Opened(tls)), None));
        let mut gate = new();
        assert_eq!((gate.agreed(), gate.agreed()), (None, None));
        assert_eq!(
            (gate.transport_ready(), gate.agreed()),
            (Some(Opened(tls)), None)
        );
    }
}

#[test]
fn what_the_handshake_proves() {
    let announced = || gate(Policy::default(), &offer(Hash::Sha256)).unwrap();
    assert_eq!(
        announced().established(Some(CERTIFICATE)),
        Ok(Verification::Announced)
    );
    assert_eq!(
        announced().established(Some(b"other")),
        Err(XtlsError::Mismatch)
    );
    assert_eq!(announced().established(None), Err(XtlsError::Handshake));
    let pins = |certificate| Policy {
        pins: vec![Fingerprint::of(certificate, Hash::Sha256)],
        ..Policy::default()
    };
    let mut pinned = gate(pins(CERTIFICATE), &offer(Hash::Sha256)).unwrap();
    assert_eq!(
        pinned.established(Some(CERTIFICATE)),
        Ok(Verification::Pinned)
    );
    let mut another = gate(pins(b"other"), &offer(Hash::Sha256)).unwrap();
    assert_eq!(
        another.established(Some(CERTIFICATE)),
        Err(XtlsError::Mismatch)
    );
    let silent = Security::settled();
    let mut silent = gate(pins(CERTIFICATE), &silent).unwrap();
    assert_eq!(
        silent.established(Some(CERTIFICATE)),
        Ok(Verification::Pinned)
    );
    // The signalling was tampered with: a pin alone does not make up for it.
    let mut tampered = gate(pins(b"other"), &offer(Hash::Sha256)).unwrap();
    assert_eq!(
        tampered.established(Some(b"other")),
        Err(XtlsError::Mismatch)
    );
}

#[test]
fn nothing_is_proved_before_the_gate_has_opened_or_twice() {
    let mut early = Gate::new(
        Policy::default(),
        Role::Initiator,
        Some(&offer(Hash::Sha256)),
    )
    .unwrap();
    assert_eq!(
        early.established(Some(CERTIFICATE)),
        Err(XtlsError::OutOfOrder)
    );
    let mut gate = gate(Policy::default(), &offer(Hash::Sha256)).unwrap();
    gate.established(Some(CERTIFICATE)).unwrap();
    assert_eq!(
        gate.established(Some(CERTIFICATE)),
        Err(XtlsError::OutOfOrder)
    );
}

#[test]
fn jxs_r9_sha1_counts_only_by_policy_and_no_fingerprint_only_by_policy() {
    let sha1 = offer(Hash::Sha1);
    assert_eq!(
        gate(Policy::default(), &sha1).unwrap_err(),
        XtlsError::NoFingerprint
    );
    let allowed = Policy {
        allow_sha1_fingerprint: true,
        ..Policy::default()
    };
    assert_eq!(
        gate(allowed, &sha1).unwrap().established(Some(CERTIFICATE)),
        Ok(Verification::Announced)
    );
    let none = Security::settled();
    assert_eq!(
        gate(Policy::default(), &none).unwrap_err(),
        XtlsError::NoFingerprint
    );
    let allowed = Policy {
        allow_unannounced: true,
        ..Policy::default()
    };
    assert_eq!(
        gate(allowed, &none).unwrap().established(Some(b"any")),
        Ok(Verification::Unannounced)
    );
}

#[test]
fn jxs_r10_r11_what_is_stripped_or_has_no_x509_will_not_do() {
    let refused = |theirs| Gate::new(Policy::default(), Role::Initiator, theirs).unwrap_err();
    assert_eq!(refused(None), XtlsError::Stripped);
    let srp = Security {
        fingerprint: None,
        methods: vec![Method::Srp, Method::Other],
    };
    assert_eq!(refused(Some(&srp)), XtlsError::Method);
}

#[test]
fn jxs_r9_fingerprints_compare_without_case_colons_and_white_space() {
    let digits = Fingerprint::of(CERTIFICATE, Hash::Sha256)
        .digits()
        .to_uppercase();
    let spaced: String = digits.chars().flat_map(|c| [c, ':', '\n']).collect();
    assert!(
        Fingerprint::read(None, &spaced)
            .unwrap()
            .matches(CERTIFICATE)
    );
    for (algo, text) in [
        (Some("sha-1"), digits.as_str()),
        (Some("md5"), &digits),
        (None, &digits[1..]),
        (None, ""),
        (None, &"g".repeat(64)),
    ] {
        assert_eq!(Fingerprint::read(algo, text), None);
    }
}

#[test]
fn jxs_r4_r5_every_syntax_is_read() {
    for dialect in Dialect::ALL {
        let hash = if dialect == Dialect::Interim2009 {
            Hash::Sha1
        } else {
            Hash::Sha256
        };
        let read = Security::read(&in_content(offer(hash).to_element(dialect))).unwrap();
        assert_eq!(read.fingerprint, offer(hash).fingerprint);
        assert!(read.has_x509());
        let read = Security::read(&in_content(Security::settled().to_element(dialect))).unwrap();
        assert_eq!(read, Security::settled());
    }
    let digits = Fingerprint::of(CERTIFICATE, Hash::Sha1).digits().to_owned();
    let beside = format!(
        "<content xmlns='urn:xmpp:jingle:0'><security xmlns='urn:xmpp:jingle:security:xtls:0'/>\
         <offer xmlns='urn:xmpp:tmp:c2ctls'><keyinfo xmlns='urn:xmpp:tmp:pubkey'><name>{digits}</name></keyinfo>\
         <srp/></offer></content>"
    );
    let read = Security::read(&beside.parse().unwrap()).unwrap();
    assert_eq!(read.fingerprint, offer(Hash::Sha1).fingerprint);
    assert_eq!(read.methods, [Method::Srp]);
    let attribute = Security::settled().to_element(Dialect::Interim2009);
    assert_eq!(attribute.attr("method"), Some("x509"));
}
