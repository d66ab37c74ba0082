//! The keys of the file form, and what they mean.

use core::time::Duration;

use onetrip_stream::Domain;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::parts::{
    At, DirectionForm, OnInvalidForm, OwnConnectionForm, PresetsForm, SecurityForm, SourceForm,
    TlsForm, Wrong, at, domains, read, seconds, span, start, text,
};
use crate::{AgreementError, Field, Security, Terms};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Form {
    ours: Spanned<Vec<Spanned<String>>>,
    theirs: Spanned<Vec<Spanned<String>>>,
    direction: Option<DirectionForm>,
    address: At<String>,
    source_port: At<u16>,
    security: Spanned<SecurityForm>,
    insecure_implicit: At<bool>,
    reply_on_inbound: At<bool>,
    own_connection: Option<OwnConnectionForm>,
    quiet_seconds: At<u64>,
    retry_seconds: At<u64>,
    send_close: Option<bool>,
    on_invalid: Option<OnInvalidForm>,
    tolerate_stream_open: Option<bool>,
    language: At<String>,
    idle_close_seconds: At<u64>,
    stall_seconds: At<u64>,
    close_wait_seconds: At<u64>,
    tls: At<TlsForm>,
    presets: Option<PresetsForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_sources: At<Vec<Spanned<SourceForm>>>,
}

impl Form {
    pub(super) fn to_terms(&self) -> Result<Terms, Wrong> {
        let security = match (self.security.get_ref(), &self.tls) {
            (SecurityForm::Plain, None) => Security::Plain,
            (SecurityForm::Tls, Some(tls)) => Security::Tls(tls.get_ref().to_terms(start(tls))?),
            (SecurityForm::Plain, Some(tls)) => return Err(contradiction(start(tls), "tls")),
            (SecurityForm::Tls, None) => {
                return Err(contradiction(start(&self.security), "security"));
            }
        };
        let ours = domains(Field::Ours.key(), self.ours.get_ref())?;
        let theirs = domains(Field::Theirs.key(), self.theirs.get_ref())?;
        let mut terms = Terms::new(ours, theirs, security);
        let address = self.address.as_ref();
        terms.address = address.map(|a| read(Field::Address.key(), a)).transpose()?;
        let rules = self.allowed_sources.iter().flat_map(Spanned::get_ref);
        let rules = rules.map(|rule| rule.get_ref().to_rule(start(rule)));
        terms.allowed_sources = rules.collect::<Result<_, _>>()?;
        self.fill(&mut terms);
        Ok(terms)
    }

    /// The values that need no reading.
    fn fill(&self, terms: &mut Terms) {
        fn set<T: Clone>(place: &mut T, value: &At<T>) {
            if let Some(value) = value {
                place.clone_from(value.get_ref());
            }
        }
        let time = |place: &mut Duration, value: &At<u64>| {
            if let Some(value) = value {
                *place = span(value);
            }
        };
        terms.direction = self.direction.map_or(terms.direction, Into::into);
        terms.source_port = self.source_port.as_ref().map(|port| *port.get_ref());
        set(&mut terms.insecure_implicit, &self.insecure_implicit);
        set(&mut terms.reply_on_inbound, &self.reply_on_inbound);
        let own = self.own_connection.map(Into::into);
        terms.own_connection_rule = own.unwrap_or(terms.own_connection_rule);
        time(&mut terms.quiet, &self.quiet_seconds);
        time(&mut terms.retry, &self.retry_seconds);
        terms.send_close = self.send_close.unwrap_or(terms.send_close);
        terms.on_invalid = self.on_invalid.map_or(terms.on_invalid, Into::into);
        let tolerate = self.tolerate_stream_open;
        terms.tolerate_stream_open = tolerate.unwrap_or(terms.tolerate_stream_open);
        terms.language = self
            .language
            .as_ref()
            .map(|language| language.get_ref().clone());
        terms.idle_close = self.idle_close_seconds.as_ref().map(span);
        time(&mut terms.stall, &self.stall_seconds);
        time(&mut terms.close_wait, &self.close_wait_seconds);
        let presets = self.presets.as_ref();
        terms.presets = presets.map_or(terms.presets, PresetsForm::to_presets);
    }

    pub(super) fn from_terms(terms: &Terms) -> Self {
        let list = |domains: &[Domain]| at(domains.iter().map(text).collect());
        let (security, tls) = match &terms.security {
            Security::Plain => (SecurityForm::Plain, None),
            Security::Tls(tls) => (SecurityForm::Tls, Some(at(TlsForm::from_terms(tls)))),
        };
        let rules = terms.allowed_sources.iter();
        let rules: Vec<_> = rules.map(|rule| at(SourceForm::from_rule(rule))).collect();
        Self {
            ours: list(&terms.ours),
            theirs: list(&terms.theirs),
            direction: Some(terms.direction.into()),
            address: terms.address.as_ref().map(text),
            source_port: terms.source_port.map(at),
            security: at(security),
            insecure_implicit: Some(at(terms.insecure_implicit)),
            reply_on_inbound: Some(at(terms.reply_on_inbound)),
            own_connection: Some(terms.own_connection_rule.into()),
            quiet_seconds: Some(seconds(terms.quiet)),
            retry_seconds: Some(seconds(terms.retry)),
            send_close: Some(terms.send_close),
            on_invalid: Some(terms.on_invalid.into()),
            tolerate_stream_open: Some(terms.tolerate_stream_open),
            language: terms.language.as_ref().map(text),
            idle_close_seconds: terms.idle_close.map(seconds),
            stall_seconds: Some(seconds(terms.stall)),
            close_wait_seconds: Some(seconds(terms.close_wait)),
            tls,
            presets: Some(PresetsForm::from_presets(&terms.presets)),
            allowed_sources: (!rules.is_empty()).then(|| at(rules)),
        }
    }

    /// Where what an error is about stands in the file. What is not there is missed at the top.
    pub(super) fn place(&self, error: &AgreementError) -> usize {
        fn all<T>(value: &At<T>) -> Option<usize> {
            value.as_ref().map(start)
        }
        fn one<T>(list: &[Spanned<T>], index: Option<usize>) -> Option<usize> {
            list.get(index?).map(start)
        }
        let tls = self.tls.as_ref().map(Spanned::get_ref);
        let presets = self.presets.as_ref();
        let found = match error.field {
            Field::Ours => one(self.ours.get_ref(), error.index).or(Some(start(&self.ours))),
            Field::Theirs => one(self.theirs.get_ref(), error.index).or(Some(start(&self.theirs))),
            Field::Address => all(&self.address),
            Field::SourcePort => all(&self.source_port),
            Field::Pins => tls
                .and_then(|tls| tls.pins.as_ref())
                .map(|pins| one(pins.get_ref(), error.index).unwrap_or_else(|| start(pins))),
            Field::Alpn => tls.and_then(|tls| all(&tls.alpn)),
            Field::AllowedSources => self
                .allowed_sources
                .as_ref()
                .map(|rules| one(rules.get_ref(), error.index).unwrap_or_else(|| start(rules))),
            Field::InsecureImplicit => all(&self.insecure_implicit),
            Field::ReplyOnInbound => all(&self.reply_on_inbound),
            Field::Quiet => all(&self.quiet_seconds),
            Field::Retry => all(&self.retry_seconds),
            Field::Language => all(&self.language),
            Field::IdleClose => all(&self.idle_close_seconds),
            Field::Stall => all(&self.stall_seconds),
            Field::CloseWait => all(&self.close_wait_seconds),
            Field::Acknowledgements => presets.and_then(|presets| all(&presets.acknowledgements)),
            Field::Keepalive => presets.and_then(|presets| all(&presets.keepalive_seconds)),
            Field::MaxStanzaSize => presets.and_then(|presets| all(&presets.max_stanza_size)),
        };
        // Pins that are missed are missed in their table.
        found
            .or(tls
                .and(all(&self.tls))
                .filter(|_| error.field == Field::Pins))
            .unwrap_or(0)
    }
}

fn contradiction(place: usize, field: &'static str) -> Wrong {
    Wrong {
        at: place,
        field,
        what: "`security = \"tls\"` and the table `[tls]` come together".to_owned(),
    }
}
