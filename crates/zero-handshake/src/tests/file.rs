//! The file form: what it says, and where it says that something is wrong.

use super::*;
use crate::{
    Acknowledgements, CertificateRule, Direction, FileError, Fingerprint, OnInvalid,
    OwnConnectionRule, PortRule, Problem, Source, TlsTerms,
};

/// The example of the crate's documentation.
const EXAMPLE: &str = include_str!("../../examples/agreement.toml");

/// The least that is an agreement.
const LEAST: &str = "\
ours = ['ground.example']
theirs = [
  'air.example',
  'muc.air.example',
]
address = '198.51.100.7:5299'
security = 'plain'

[[allowed-sources]]
network = '198.51.100.0/24'
";

fn error(text: &str) -> FileError {
    Agreement::from_toml(text).unwrap_err()
}

/// What is wrong with [`LEAST`] when a part of it is replaced.
fn spoilt(old: &str, new: &str) -> (usize, String, String) {
    assert!(LEAST.contains(old), "{old}");
    place(&error(&LEAST.replacen(old, new, 1)))
}

fn place(error: &FileError) -> (usize, String, String) {
    let whole = error.to_string();
    assert!(
        whole.starts_with(&format!("line {}: ", error.line)),
        "{whole}"
    );
    (error.line, error.field.clone(), error.problem.to_string())
}

fn expect(found: (usize, String, String), line: usize, field: &str, problem: &str) {
    assert_eq!((found.0, found.1.as_str()), (line, field), "{found:?}");
    assert!(found.2.contains(problem), "{found:?}");
}

#[test]
fn the_example_is_an_agreement() {
    let agreement = Agreement::from_toml(EXAMPLE).unwrap();
    let terms = agreement.terms();
    assert_eq!(terms.ours.len(), 2);
    assert_eq!(terms.direction, Direction::Either);
    assert!(terms.presets.acknowledgements.is_some());
    assert_eq!(Agreement::from_toml(&agreement.to_toml()), Ok(agreement));
}

#[test]
fn zh_04_what_is_not_said_is_at_its_default() {
    let mut expected = terms();
    expected.ours.truncate(1);
    assert_eq!(Agreement::from_toml(LEAST).unwrap().into_terms(), expected);
}

/// Terms with nothing at its default.
fn unusual(security: Security) -> Terms {
    let mut terms = terms();
    terms.security = security;
    terms.direction = Direction::OutboundOnly;
    terms.source_port = Some(5300);
    terms.address = "gw.air.example:5299".parse().ok();
    let named = Source::Name(domain("gw.air.example"));
    terms.allowed_sources = vec![
        SourceRule::new(
            Source::Network("2001:db8::/32".parse().unwrap()),
            PortRule::Exact(7),
        ),
        SourceRule::new(named, PortRule::Range(1..=9)),
    ];
    terms.reply_on_inbound = false;
    terms.own_connection_rule = OwnConnectionRule::Generally;
    terms.send_close = false;
    terms.on_invalid = OnInvalid::Bounce;
    terms.tolerate_stream_open = true;
    terms.language = Some("nb \"'\\ é".into());
    let times = [
        &mut terms.quiet,
        &mut terms.retry,
        &mut terms.stall,
        &mut terms.close_wait,
    ];
    for (seconds, time) in (1..).zip(times) {
        *time = std::time::Duration::from_secs(seconds);
    }
    terms.idle_close = Some(std::time::Duration::from_secs(11));
    terms.presets.keepalive = Some(std::time::Duration::from_secs(12));
    terms.presets.max_stanza_size = Some(12_345);
    let mut acks = Acknowledgements::default();
    (
        acks.request_after,
        acks.volunteer_after,
        acks.stanzas,
        acks.bytes,
    ) = (1, 2, 3, 4);
    acks.request_idle = std::time::Duration::from_secs(5);
    acks.answer_within = std::time::Duration::from_secs(6);
    terms.presets.acknowledgements = Some(acks);
    terms
}

#[test]
fn every_term_makes_the_round_trip() {
    let pins = vec![Fingerprint::of(b"a"), Fingerprint::of(b"b")];
    let mut securities = vec![Security::Plain];
    for rule in [
        CertificateRule::Names,
        CertificateRule::PinnedCertificate(pins.clone()),
        CertificateRule::PinnedKey(pins),
    ] {
        let mut tls = TlsTerms::new(rule);
        tls.client_certificates = false;
        (tls.sni, tls.alpn) = (Some(domain("x.example")), Some("xmpp-server".into()));
        securities.push(Security::Tls(tls));
    }
    for security in securities {
        let agreement = Agreement::new(unusual(security)).unwrap();
        assert_eq!(Agreement::from_toml(&agreement.to_toml()), Ok(agreement));
    }
    let mut inward = terms();
    (inward.direction, inward.address) = (Direction::InboundOnly, None);
    (inward.allowed_sources, inward.insecure_implicit) = (vec![], true);
    inward.on_invalid = OnInvalid::Drop;
    let agreement = Agreement::new(inward).unwrap();
    assert_eq!(Agreement::from_toml(&agreement.to_toml()), Ok(agreement));
}

#[test]
fn parts_of_a_second_are_rounded_up_in_the_file() {
    let mut short = terms();
    short.presets.keepalive = Some(std::time::Duration::from_millis(1));
    let text = Agreement::new(short).unwrap().to_toml();
    let read = Agreement::from_toml(&text).unwrap();
    assert_eq!(
        read.terms().presets.keepalive,
        Some(std::time::Duration::from_secs(1))
    );
}

#[test]
fn what_is_no_toml_has_a_line() {
    for (old, new, line) in [
        ("security = 'plain'", "security = plain", 7),
        ("security = 'plain'", "security 'plain'", 7),
        ("[[allowed", "[allowed", 10),
        ("network = '", "network = 'a", 10),
    ] {
        let found = spoilt(old, new);
        assert!(found.0 == line || found.0 == line - 1, "{new}: {found:?}");
    }
    let found = error("ours = ['ground.example']\n\n?\n");
    assert!(matches!(found.problem, Problem::Syntax(_)));
    assert_eq!((found.line, found.field.as_str()), (3, ""));
    let twice = error(&format!("ours = []\n{LEAST}"));
    assert_eq!(
        (twice.line, matches!(twice.problem, Problem::Syntax(_))),
        (2, true)
    );
}

#[test]
fn unknown_keys_are_refused_in_every_table() {
    expect(
        spoilt("security", "zlib = true\nsecurity"),
        7,
        "zlib",
        "expected a key that means something here",
    );
    expect(
        spoilt("network", "port = 'any'\nnetwork"),
        10,
        "allowed-sources.port",
        "expected a key that means something here",
    );
    for (table, needed) in [
        ("presets", ""),
        ("presets.acknowledgements", ""),
        ("tls", "certificate = 'names'\n"),
    ] {
        let found = error(&format!(
            "{LEAST}\n[{table}]\n{needed}compression = 'zlib'\n"
        ));
        let line = 13 + needed.lines().count();
        expect(
            place(&found),
            line,
            &format!("{table}.compression"),
            "expected a key that means something here",
        );
    }
}

#[test]
fn missing_keys_are_named_with_the_line_of_their_table() {
    expect(
        spoilt("ours = ['ground.example']", ""),
        1,
        "ours",
        "got none",
    );
    expect(spoilt("security = 'plain'", ""), 1, "security", "got none");
    let found = error(&format!("{LEAST}\n[tls]\nsni = 'x.example'\n"));
    expect(place(&found), 12, "tls.certificate", "got none");
}

#[test]
fn values_of_another_type_are_named_with_their_line() {
    expect(spoilt("['ground.example']", "7"), 1, "ours", "invalid type");
    expect(
        spoilt("  'air.example'", "  3"),
        3,
        "theirs",
        "invalid type",
    );
    expect(spoilt("'plain'", "'ssl'"), 7, "security", "unknown variant");
    expect(
        spoilt("'198.51.100.7:5299'", "5299"),
        6,
        "address",
        "invalid type",
    );
    expect(
        spoilt("'198.51.100.0/24'", "24"),
        10,
        "allowed-sources.network",
        "invalid type",
    );
    for (line, field, problem) in [
        ("source-port = 65536", "source-port", "invalid value"),
        ("source-port = -1", "source-port", "invalid value"),
        ("send-close = 'yes'", "send-close", "invalid type"),
        ("stall-seconds = 1.5", "stall-seconds", "invalid type"),
        ("direction = 'both'", "direction", "unknown variant"),
        (
            "own-connection = 'may'",
            "own-connection",
            "unknown variant",
        ),
        ("on-invalid = 'ignore'", "on-invalid", "unknown variant"),
    ] {
        expect(
            spoilt("security", &format!("{line}\nsecurity")),
            7,
            field,
            problem,
        );
    }
    let found = error(&format!("{LEAST}\n[presets]\nkeepalive-seconds = 'x'\n"));
    expect(
        place(&found),
        13,
        "presets.keepalive-seconds",
        "invalid type",
    );
}

#[test]
fn values_that_cannot_be_read_are_named_with_their_line() {
    expect(
        spoilt("'ground.example'", "'ground example'"),
        1,
        "ours",
        "`ground example`: not a domain",
    );
    expect(
        spoilt("'muc.air.example'", "'*.air.example'"),
        4,
        "theirs",
        "not a domain",
    );
    expect(
        spoilt("100.7:5299", "100.7"),
        6,
        "address",
        "expected a host and a port, such as air.example:5299",
    );
    let network = "allowed-sources.network";
    expect(
        spoilt("100.0/24", "100.7/24"),
        10,
        network,
        "bits behind its prefix",
    );
    expect(
        spoilt("100.0/24", "100.0/33"),
        10,
        network,
        "at most 32 bits",
    );
    let source = "network = '198.51.100.0/24'";
    let name = "allowed-sources.name";
    expect(spoilt(source, "name = 'a b'"), 10, name, "not a domain");
    let both = format!("{source}\nname = 'a'");
    expect(
        spoilt(source, &both),
        9,
        "allowed-sources",
        "either `network` or `name`",
    );
    expect(
        spoilt(source, "ports = 'any'"),
        9,
        "allowed-sources",
        "either `network` or `name`",
    );
    for ports in ["", "some", "1-", "-1", "+1", "1-65536", "1-2-3"] {
        let found = spoilt(source, &format!("{source}\nports = '{ports}'"));
        expect(found, 11, "allowed-sources.ports", "not `any`");
    }
    let tls = |lines: &str| {
        error(&format!(
            "{}\n[tls]\n{lines}",
            LEAST.replace("'plain'", "'tls'")
        ))
    };
    let pins = tls("certificate = 'key'\npins = [\n  'ab',\n]");
    expect(
        place(&pins),
        15,
        "tls.pins",
        "`ab`: expected 64 hexadecimal digits, got something else",
    );
    expect(
        place(&tls("certificate = 'names'\npins = []")),
        14,
        "tls.pins",
        "uses none",
    );
    expect(
        place(&tls("certificate = 'names'\nsni = ''")),
        14,
        "tls.sni",
        "not a domain",
    );
    let found = error(&format!("{LEAST}\n[tls]\ncertificate = 'names'\n"));
    expect(place(&found), 12, "tls", "come together");
    expect(spoilt("'plain'", "'tls'"), 7, "security", "come together");
}

#[test]
fn terms_that_are_no_agreement_are_named_with_their_line() {
    expect(
        spoilt("['ground.example']", "[]"),
        1,
        "ours",
        "expected at least one, got none",
    );
    expect(
        spoilt("'muc.air.example'", "'AIR.example'"),
        4,
        "theirs",
        "expected each once, got one twice",
    );
    expect(
        spoilt("'muc.air.example'", "'ground.example'"),
        4,
        "theirs",
        "expected domains of the peer's, got ground.example, which is ours",
    );
    expect(
        spoilt("100.7:5299", "100.7:0"),
        6,
        "address",
        "expected ports that a connection can have, got one that none has",
    );
    expect(
        spoilt("198.51.100.7:", "203.0.113.1:"),
        6,
        "address",
        "expected an address of the allowed sources",
    );
    expect(
        spoilt("address = '198.51.100.7:5299'", ""),
        1,
        "address",
        "got none",
    );
    expect(
        spoilt("198.51.100.0/24", "0.0.0.0/0"),
        9,
        "allowed-sources",
        "every address",
    );
    let (bare, _) = LEAST.split_once("[[").unwrap();
    expect(
        place(&error(bare)),
        1,
        "allowed-sources",
        "expected something that proves who the peer is",
    );
    expect(
        spoilt("security", "insecure-implicit = true\nsecurity"),
        7,
        "insecure-implicit",
        "something proves",
    );
    expect(
        spoilt("security", "direction = 'inbound-only'\nsecurity"),
        6,
        "address",
        "expected none in this direction",
    );
    for key in ["quiet", "retry", "idle-close", "stall", "close-wait"] {
        let key = format!("{key}-seconds");
        expect(
            spoilt("security", &format!("{key} = 0\nsecurity")),
            7,
            &key,
            "expected more than zero",
        );
    }
    for (line, problem) in [
        (
            "source-port = 0",
            "expected ports that a connection can have, got one that none has",
        ),
        (
            "language = \"\\u0001\"",
            "expected what can stand in a stream header, got something else",
        ),
    ] {
        let key = line.split(' ').next().unwrap();
        expect(
            spoilt("security", &format!("{line}\nsecurity")),
            7,
            key,
            problem,
        );
    }
    let inward = LEAST.replace(
        "address = '198.51.100.7:5299'",
        "direction = 'inbound-only'\nreply-on-inbound = false",
    );
    expect(
        place(&error(&inward)),
        7,
        "reply-on-inbound",
        "expected a way to send something, got none: open connections, or reply on the peer's",
    );
    let presets = |line: &str| place(&error(&format!("{LEAST}\n[presets]\n{line}\n")));
    expect(
        presets("keepalive-seconds = 0"),
        13,
        "presets.keepalive-seconds",
        "expected more than zero",
    );
    expect(
        presets("max-stanza-size = 9999"),
        13,
        "presets.max-stanza-size",
        "expected at least 10000",
    );
    let found = presets("[presets.acknowledgements]\nstanzas = 0");
    expect(
        found,
        13,
        "presets.acknowledgements",
        "expected more than zero",
    );
    let tls = |lines: &str| {
        place(&error(&format!(
            "{}\n[tls]\n{lines}",
            LEAST.replace("'plain'", "'tls'")
        )))
    };
    expect(
        tls("certificate = 'key'"),
        12,
        "tls.pins",
        "expected at least one, got none",
    );
    expect(
        tls("certificate = 'key'\npins = []"),
        14,
        "tls.pins",
        "expected at least one, got none",
    );
    let pin = Fingerprint::of(b"x");
    let twice = format!("certificate = 'certificate'\npins = [\n'{pin}',\n'{pin}']");
    expect(
        tls(&twice),
        16,
        "tls.pins",
        "expected each once, got one twice",
    );
    expect(
        tls("certificate = 'names'\nalpn = ''"),
        14,
        "tls.alpn",
        "between 1 and 255",
    );
}
