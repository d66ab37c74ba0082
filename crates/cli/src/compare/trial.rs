//! One way to log in, on one target, as often as asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Key, Level, Outcome, Plan, Policy};
use onetrip_core::stream::Secret;
use onetrip_core::{ClientConfig, Entity};
use onetrip_simulator::{Comeback, Login, Strategy};
use onetrip_tls::rustls::sending_early_data;

use super::policy;
use super::row::{Row, milliseconds};
use super::target::Target;
use crate::Failure;
use crate::environment::{Clock, date};
use crate::exchange::Exchange;
use crate::options::Compare;
use crate::socket::{self, Attempt};

/// How many stanzas a client sends to itself before it is cut off, and again when it is back.
const STANZAS: u32 = 20;

/// Why a login by SASL2 is another.
const NO_SASL2: &str = "the server has no SASL2";

/// Why a login by early data is another.
const NO_EARLY_DATA: &str = "the server takes no early data";

/// What there is before the login that is measured.
struct Before {
    exchange: Option<Exchange>,
    /// What there is not, and would have to be.
    missing: Option<String>,
    hopeless: Option<Failure>,
}

/// Whether this login was one by SASL2.
fn by_sasl2(attempt: &Attempt) -> bool {
    let writes = &attempt.measured.record.writes;
    let mut units = writes.iter().flat_map(|write| &write.units);
    units.any(|unit| unit.starts_with("authenticate "))
}

/// Whether the login was in the first write, and did not have to be written again.
fn was_early(attempt: &Attempt) -> bool {
    let mut writes = attempt
        .measured
        .record
        .writes
        .iter()
        .map(|write| &write.units);
    let has = |units: &Vec<String>, what: &str| units.iter().any(|unit| unit.starts_with(what));
    let first = writes.next();
    first.is_some_and(|units| has(units, "authenticate "))
        && !writes.any(|units| has(units, "early data again"))
}

/// One strategy on one target.
pub(super) struct Trial<'a> {
    pub(super) target: &'a Target,
    pub(super) address: SocketAddr,
    pub(super) strategy: Strategy,
    pub(super) options: &'a Compare,
}

impl Trial<'_> {
    /// What to log in with.
    fn login(&self) -> socket::Login {
        let (sasl, tls) = match (self.strategy.login(), &self.target.certified) {
            (Some(Login::External), Some(certified)) => {
                (sasl::InitiatorConfig::external(None), certified)
            }
            (Some(Login::External), None) => {
                (sasl::InitiatorConfig::external(None), &self.target.tls)
            }
            _ => {
                let name = self.target.account.local().unwrap_or_default();
                (
                    sasl::InitiatorConfig::password(
                        name,
                        Secret::from(self.target.password.as_str()),
                    ),
                    &self.target.tls,
                )
            }
        };
        let mut sasl = sasl;
        sasl.allowed = self
            .strategy
            .login()
            .map_or_else(Vec::new, Login::mechanisms);
        if !self.options.mechanism.is_empty() {
            sasl.allowed.retain(|mechanism| {
                self.options
                    .mechanism
                    .iter()
                    .any(|name| name == mechanism.name())
            });
        }
        let mut config =
            ClientConfig::new(self.target.account.clone(), self.strategy.transport(), sasl);
        config.trace = true;
        config.sasl2 = self.strategy.sasl2(date());
        config.bounds.negotiation = self.target.patience;
        config.management = self.strategy.management();
        let tls = Arc::clone(tls);
        socket::Login {
            target: self.address,
            tls: match self.strategy.is_early() {
                // It resumes what the others have begun, too.
                true => sending_early_data(tls),
                false => tls,
            },
            config,
            title: self.strategy.name(),
            tcp: self.options.target.rtt.unwrap_or_default(),
            patience: self.target.patience,
        }
    }

    fn key(&self) -> Key {
        Key::new(
            self.target.account.domain().clone(),
            Some(&self.target.account),
            self.strategy.transport(),
        )
    }

    /// Runs it as often as asked. `cache` holds what the step-by-step runs of this login taught; with `--learn`
    /// everything is kept in `learner`, from run to run.
    pub(super) async fn run(
        &self,
        cache: &mut Cache,
        learner: &mut Entity,
    ) -> Result<Row, Failure> {
        let mut row = Row {
            strategy: Some(self.strategy),
            runs: self.options.runs,
            ..Row::default()
        };
        let policy = policy(self.options, &self.strategy);
        if self.strategy.level() != Level::Off
            && !self.options.learn
            && cache.known(&self.key()).is_none()
        {
            row.hopeless = self.rehearse(cache).await?;
        }
        let mut passed: Vec<(f64, f64, Attempt)> = Vec::new();
        for _ in 0..self.options.runs {
            if row.hopeless.is_some() {
                break;
            }
            let mut forced;
            let entity: &mut Entity = if self.options.learn {
                learner.set_policy(policy.clone());
                learner
            } else {
                forced = Entity::new(cache.clone(), policy.clone());
                &mut forced
            };
            let plan = entity.cache().plan(&self.key(), &policy);
            row.levels.push((plan.level(), plan.gap()));
            let attempt = self.attempt(entity, plan, &mut row).await?;
            if self.strategy.level() == Level::Off && !self.options.learn {
                *cache = entity.cache().clone();
            }
            if let (Some((send, _)), Some((answer, _))) =
                (attempt.measured.to_send, attempt.measured.to_answer)
            {
                passed.push((milliseconds(send), milliseconds(answer), attempt));
            }
        }
        row.summarise(passed);
        Ok(row)
    }

    /// A step-by-step login whose only purpose is what it teaches; returns what makes all others vain.
    async fn rehearse(&self, cache: &mut Cache) -> Result<Option<Failure>, Failure> {
        let mut policy = Policy::default();
        policy.force = Some(Level::Off);
        let mut entity = Entity::new(cache.clone(), policy.clone());
        let plan = entity.cache().plan(&self.key(), &policy);
        let attempt = socket::login(&self.login(), plan, &mut entity, None).await?;
        for event in attempt.taught {
            let _ = entity.handle(event);
        }
        *cache = entity.cache().clone();
        Ok(attempt.hopeless)
    }

    /// The login before the one that is measured: it hands a token out, or its connection is killed while stanzas are on
    /// their way both ways, and `entity` has the session then.
    async fn prepare(&self, entity: &mut Entity) -> Result<Before, Failure> {
        let comeback = self.strategy.comeback();
        let mut exchange = comeback.map(|_| Exchange::to_be_cut(STANZAS));
        let login = self.login();
        let plan = Plan::step_by_step(self.key());
        let mut attempt = socket::login(&login, plan, entity, exchange.as_mut()).await?;
        for event in core::mem::take(&mut attempt.taught) {
            let _ = entity.handle(event);
        }
        if let Some(exchange) = &mut exchange {
            exchange.go_on();
        }
        Ok(Before {
            missing: self.missing(&attempt, entity),
            hopeless: attempt.hopeless,
            exchange,
        })
    }

    /// What the strategy needs of the login before it and the server has not given.
    fn missing(&self, attempt: &Attempt, entity: &mut Entity) -> Option<String> {
        if attempt.measured.to_send.is_none() {
            return attempt.reason.clone();
        }
        if self.strategy.is_sasl2() && !by_sasl2(attempt) {
            return Some(NO_SASL2.to_owned());
        }
        let grants_no = |what: &str| Some(format!("the server grants no {what}"));
        let comeback = self.strategy.comeback();
        if comeback.is_some() {
            let Some(resumption) = entity.take(&self.target.account) else {
                return grants_no("session that could be resumed");
            };
            if comeback != Some(Comeback::Resume) && resumption.ticket.is_none() {
                return grants_no("token");
            }
            entity.keep(resumption);
        }
        let kept = entity.installation(&self.target.account);
        let wallet = kept.map(|kept| &kept.wallet);
        if self.by_token() && wallet.is_none_or(|wallet| wallet.is_empty(date())) {
            return grants_no("token");
        }
        let late = self.strategy.is_early() && !wallet.is_some_and(|wallet| wallet.takes_early());
        late.then(|| NO_EARLY_DATA.to_owned())
    }

    /// Whether it is a token that it logs in with.
    const fn by_token(&self) -> bool {
        matches!(self.strategy, Strategy::Fast { .. })
    }

    /// Why the login was another than the strategy's, although it was one.
    fn fell_back(&self, attempt: &Attempt) -> Option<&'static str> {
        let by = attempt.mechanism.filter(|_| self.strategy.is_sasl2())?;
        if !by_sasl2(attempt) {
            return Some(NO_SASL2);
        }
        let by_key = self.strategy.comeback() == Some(Comeback::KeyLogin);
        if (self.by_token() || by_key) && !by.starts_with("HT-") {
            return Some("the token was not taken");
        }
        (self.strategy.is_early() && !was_early(attempt)).then_some(NO_EARLY_DATA)
    }

    /// One login; when something assumed proves wrong, the one retry, whose time counts too.
    async fn attempt(
        &self,
        entity: &mut Entity,
        plan: Plan,
        row: &mut Row,
    ) -> Result<Attempt, Failure> {
        let login = self.login();
        let mut exchange = None;
        let prepared = self.strategy.comeback().is_some() || self.by_token();
        if prepared {
            let before = self.prepare(entity).await?;
            row.hopeless = before.hopeless;
            if let Some(missing) = before.missing {
                row.reason.get_or_insert(missing);
                return Ok(Attempt::default());
            }
            exchange = before.exchange;
        }
        let begun = Clock::new();
        let mut attempt = socket::login(&login, plan, entity, exchange.as_mut()).await?;
        // It may be a login that the strategy is not about: none is lost then.
        let answered = attempt.measured.to_answer.is_some();
        // Behind a login that was let in, a refusal is about the token.
        if !prepared {
            row.hopeless = attempt.hopeless.take();
        }
        if exchange.is_some() && !attempt.resumed {
            attempt.measured.to_answer = None;
        }
        if let Some(missing) = self.fell_back(&attempt) {
            attempt.measured.to_answer = None;
            row.reason.get_or_insert_with(|| missing.to_owned());
        }
        let mut retry = None;
        let mut resent = false;
        for event in core::mem::take(&mut attempt.taught) {
            if let Some(report) = event.report() {
                resent |= report.restart_resent;
                if let (Outcome::Broken(_), Some(difference)) =
                    (&report.outcome, &report.difference)
                {
                    attempt.reason = attempt
                        .reason
                        .take()
                        .map(|reason| format!("{reason}; {difference}"));
                }
            }
            retry = entity.handle(event).or(retry);
        }
        if resent {
            row.reason.get_or_insert_with(|| {
                "the restart was swallowed and had to be sent again".to_owned()
            });
        }
        let Some(plan) = retry else {
            if let Some(reason) = attempt
                .reason
                .clone()
                .filter(|_| attempt.measured.to_answer.is_none())
            {
                row.reason.get_or_insert(reason);
                row.lost += u32::from(!answered);
            }
            row.count(exchange.as_ref());
            return Ok(attempt);
        };
        row.second += 1;
        row.reason.get_or_insert(
            attempt
                .reason
                .take()
                .unwrap_or_else(|| "abandoned".to_owned()),
        );
        let spent = begun.now().since_epoch();
        let mut second = socket::login(&login, plan, entity, exchange.as_mut()).await?;
        for event in core::mem::take(&mut second.taught) {
            let _ = entity.handle(event);
        }
        row.count(exchange.as_ref());
        if second.measured.to_answer.is_none() {
            row.lost += 1;
        }
        if self.options.learn {
            let later =
                |moment: Option<(Duration, u32)>| moment.map(|(at, trips)| (at + spent, trips));
            second.measured.to_send = later(second.measured.to_send);
            second.measured.to_answer = later(second.measured.to_answer);
            return Ok(second);
        }
        // What was measured is the strategy; that the login was not lost is in the row.
        attempt.measured.to_send = None;
        attempt.measured.to_answer = None;
        Ok(attempt)
    }
}
