//! The smaller tables of the file form, and how single values are read and written.

use core::fmt::Display;
use core::str::FromStr;
use core::time::Duration;

use onetrip_stream::Domain;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    Acknowledgements, CertificateRule, Direction, Field, Fingerprint, OnInvalid, OwnConnectionRule,
    PortRule, Presets, Source, SourceRule, TlsTerms,
};

/// A value that cannot be read.
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) field: &'static str,
    pub(super) what: String,
}

/// A value, and where it stands.
pub(super) type At<T> = Option<Spanned<T>>;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DirectionForm {
    Either,
    OutboundOnly,
    InboundOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SecurityForm {
    Plain,
    Tls,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OwnConnectionForm {
    Must,
    Generally,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnInvalidForm {
    StreamError,
    Drop,
    Bounce,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CertificateForm {
    Names,
    Certificate,
    Key,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TlsForm {
    pub(super) certificate: CertificateForm,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pins: At<Vec<Spanned<String>>>,
    pub(super) client_certificates: Option<bool>,
    pub(super) sni: At<String>,
    pub(super) alpn: At<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SourceForm {
    network: At<String>,
    name: At<String>,
    ports: At<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PresetsForm {
    pub(super) keepalive_seconds: At<u64>,
    pub(super) max_stanza_size: At<usize>,
    pub(super) acknowledgements: At<AcknowledgementsForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AcknowledgementsForm {
    request_after: Option<u32>,
    request_idle_seconds: Option<u64>,
    answer_within_seconds: Option<u64>,
    volunteer_after: Option<u32>,
    stanzas: Option<usize>,
    bytes: Option<usize>,
}

/// Two enums with the same names, both ways.
macro_rules! same {
    ($form:ident <=> $real:ident: $($name:ident),+) => {
        impl From<$form> for $real {
            fn from(form: $form) -> Self {
                match form { $($form::$name => Self::$name,)+ }
            }
        }

        impl From<$real> for $form {
            fn from(real: $real) -> Self {
                match real { $($real::$name => Self::$name,)+ }
            }
        }
    };
}

same!(DirectionForm <=> Direction: Either, OutboundOnly, InboundOnly);
same!(OwnConnectionForm <=> OwnConnectionRule: Must, Generally);
same!(OnInvalidForm <=> OnInvalid: StreamError, Drop, Bounce);

pub(super) fn start<T>(value: &Spanned<T>) -> usize {
    value.span().start
}

pub(super) fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

pub(super) fn text(value: impl Display) -> Spanned<String> {
    at(value.to_string())
}

/// Whole seconds, rounded up: never zero where it was not.
pub(super) fn whole(value: Duration) -> u64 {
    let more = u64::from(value.subsec_nanos() > 0);
    value.as_secs().saturating_add(more)
}

pub(super) fn seconds(value: Duration) -> Spanned<u64> {
    at(whole(value))
}

pub(super) fn wrong(field: &'static str, value: &Spanned<String>, what: impl Display) -> Wrong {
    Wrong {
        at: start(value),
        field,
        what: format!("`{}`: {what}", value.get_ref()),
    }
}

pub(super) fn read<T: FromStr<Err: Display>>(
    field: &'static str,
    value: &Spanned<String>,
) -> Result<T, Wrong> {
    let parsed = value.get_ref().parse::<T>();
    parsed.map_err(|error| wrong(field, value, error))
}

pub(super) fn domain(field: &'static str, value: &Spanned<String>) -> Result<Domain, Wrong> {
    Domain::new(value.get_ref()).ok_or_else(|| wrong(field, value, "not a domain"))
}

pub(super) fn domains(field: &'static str, list: &[Spanned<String>]) -> Result<Vec<Domain>, Wrong> {
    list.iter().map(|value| domain(field, value)).collect()
}

pub(super) fn ports(value: &Spanned<String>) -> Result<PortRule, Wrong> {
    let field = "allowed-sources.ports";
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let port = text.parse::<u16>().ok().filter(|_| digits);
        port.ok_or_else(|| {
            wrong(
                field,
                value,
                "not `any`, a port, or two with `-` between them",
            )
        })
    };
    match (value.get_ref().as_str(), value.get_ref().split_once('-')) {
        ("any", _) => Ok(PortRule::Any),
        (_, Some((first, last))) => Ok(PortRule::Range(number(first)?..=number(last)?)),
        (one, None) => Ok(PortRule::Exact(number(one)?)),
    }
}

impl SourceForm {
    pub(super) fn to_rule(&self, place: usize) -> Result<SourceRule, Wrong> {
        let source = match (&self.network, &self.name) {
            (Some(network), None) => Source::Network(read("allowed-sources.network", network)?),
            (None, Some(name)) => Source::Name(domain("allowed-sources.name", name)?),
            _ => {
                return Err(Wrong {
                    at: place,
                    field: Field::AllowedSources.key(),
                    what: "either `network` or `name` is needed, and not both".to_owned(),
                });
            }
        };
        let ports = self.ports.as_ref().map_or(Ok(PortRule::Any), ports)?;
        Ok(SourceRule::new(source, ports))
    }

    pub(super) fn from_rule(rule: &SourceRule) -> Self {
        let (network, name) = match &rule.source {
            Source::Network(network) => (Some(text(network)), None),
            Source::Name(name) => (None, Some(text(name))),
        };
        let ports = Some(text(&rule.ports));
        Self {
            network,
            name,
            ports,
        }
    }
}

impl TlsForm {
    pub(super) fn to_terms(&self, place: usize) -> Result<TlsTerms, Wrong> {
        let pins = || {
            let list = self.pins.iter().flat_map(Spanned::get_ref);
            list.map(|pin| read(Field::Pins.key(), pin))
                .collect::<Result<Vec<Fingerprint>, Wrong>>()
        };
        let certificate = match self.certificate {
            CertificateForm::Names if self.pins.is_some() => {
                return Err(Wrong {
                    at: self.pins.as_ref().map_or(place, start),
                    field: Field::Pins.key(),
                    what: "given, and `certificate = \"names\"` uses none".to_owned(),
                });
            }
            CertificateForm::Names => CertificateRule::Names,
            CertificateForm::Certificate => CertificateRule::PinnedCertificate(pins()?),
            CertificateForm::Key => CertificateRule::PinnedKey(pins()?),
        };
        let mut terms = TlsTerms::new(certificate);
        terms.client_certificates = self.client_certificates.unwrap_or(true);
        terms.sni = self
            .sni
            .as_ref()
            .map(|sni| domain("tls.sni", sni))
            .transpose()?;
        terms.alpn = self.alpn.as_ref().map(|alpn| alpn.get_ref().clone());
        Ok(terms)
    }

    pub(super) fn from_terms(terms: &TlsTerms) -> Self {
        let list = |pins: &[Fingerprint]| Some(at(pins.iter().map(text).collect()));
        let (certificate, pins) = match &terms.certificate {
            CertificateRule::Names => (CertificateForm::Names, None),
            CertificateRule::PinnedCertificate(pins) => (CertificateForm::Certificate, list(pins)),
            CertificateRule::PinnedKey(pins) => (CertificateForm::Key, list(pins)),
        };
        Self {
            certificate,
            pins,
            client_certificates: Some(terms.client_certificates),
            sni: terms.sni.as_ref().map(text),
            alpn: terms.alpn.as_ref().map(text),
        }
    }
}

impl PresetsForm {
    pub(super) fn to_presets(&self) -> Presets {
        let acknowledgements = self.acknowledgements.as_ref();
        Presets {
            keepalive: self.keepalive_seconds.as_ref().map(span),
            max_stanza_size: self.max_stanza_size.as_ref().map(|size| *size.get_ref()),
            acknowledgements: acknowledgements.map(|form| form.get_ref().to_terms()),
        }
    }

    pub(super) fn from_presets(presets: &Presets) -> Self {
        let acknowledgements = presets.acknowledgements.as_ref();
        Self {
            keepalive_seconds: presets.keepalive.map(seconds),
            max_stanza_size: presets.max_stanza_size.map(at),
            acknowledgements: acknowledgements.map(|acks| at(AcknowledgementsForm::from(acks))),
        }
    }
}

pub(super) fn span(seconds: &Spanned<u64>) -> Duration {
    Duration::from_secs(*seconds.get_ref())
}

impl AcknowledgementsForm {
    pub(super) fn to_terms(&self) -> Acknowledgements {
        let usual = Acknowledgements::default();
        let time = |seconds: Option<u64>, usual| seconds.map_or(usual, Duration::from_secs);
        Acknowledgements {
            request_after: self.request_after.unwrap_or(usual.request_after),
            request_idle: time(self.request_idle_seconds, usual.request_idle),
            answer_within: time(self.answer_within_seconds, usual.answer_within),
            volunteer_after: self.volunteer_after.unwrap_or(usual.volunteer_after),
            stanzas: self.stanzas.unwrap_or(usual.stanzas),
            bytes: self.bytes.unwrap_or(usual.bytes),
        }
    }

    pub(super) fn from(acks: &Acknowledgements) -> Self {
        Self {
            request_after: Some(acks.request_after),
            request_idle_seconds: Some(whole(acks.request_idle)),
            answer_within_seconds: Some(whole(acks.answer_within)),
            volunteer_after: Some(acks.volunteer_after),
            stanzas: Some(acks.stanzas),
            bytes: Some(acks.bytes),
        }
    }
}
