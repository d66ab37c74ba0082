//! `onetrip compare`: every way to log in, over real sockets and TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::fast::Wallet;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Key, Level, Outcome, Plan, Policy, Transport};
use onetrip_core::stream::Secret;
use onetrip_core::{ClientConfig, Entity, Management};
use onetrip_simulator::{Answers, Carrier, Comeback, Login, Proof, Strategy};
use onetrip_trace::Record;

mod clients;
mod row;
mod servers;
pub(crate) mod target;

use row::{Row, milliseconds, print};
use servers::Servers;
pub(crate) use target::roots;
use target::{Target, embedded, impaired, remote};

use crate::Failure;
use crate::environment::{Clock, date};
use crate::exchange::Exchange;
use crate::options::{Budget, Compare, Format, OutputOptions, Target as Whom};
use crate::picture;
use crate::socket::{self, Attempt};

/// How many stanzas a client sends to itself before it is cut off, and again when it is back.
const STANZAS: u32 = 20;

/// Runs every strategy that the target offers.
pub(crate) async fn run(options: &Compare, output: &OutputOptions) -> Result<(), Failure> {
    if output.format == Format::Text {
        anstream::println!("{}", headline(options));
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut entity = Entity::default();
    match &options.target.jid {
        Some(jid) if jid.local().is_none() => {
            let servers = Servers::real(options, jid.domain()).await?;
            connect(&servers, options, output, &mut entity, &mut rows).await?;
        }
        Some(account) => {
            let target = remote(&options.target, account).await?;
            log_in(target, options, output, &mut entity, &mut rows).await?;
        }
        None => {
            log_in(embedded().await?, options, output, &mut entity, &mut rows).await?;
            let servers = Servers::embedded(options)?;
            connect(&servers, options, output, &mut entity, &mut rows).await?;
        }
    }
    finish(&rows, options, output)
}

/// Whether a strategy was asked for.
fn chosen(options: &Compare, strategy: &Strategy) -> bool {
    let all = options.strategy.is_empty() && !matches!(strategy, Strategy::Historical(_));
    all || options.strategy.contains(strategy)
}

/// Runs the strategies of clients.
async fn log_in(
    target: Target,
    options: &Compare,
    output: &OutputOptions,
    entity: &mut Entity,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let target = impaired(target, &options.target).await?;
    for (transport, address) in &target.addresses {
        for login in Login::ALL {
            // Without a certificate to show there is nothing to try.
            if login == Login::External && target.certified.is_none() {
                continue;
            }
            let wanted = |strategy: &Strategy| {
                chosen(options, strategy)
                    && !matches!(strategy, Strategy::Historical(_))
                    && strategy.transport() == *transport
                    && strategy.login() == Some(login)
            };
            let mut classic: Option<f64> = None;
            let mut cache = Cache::default();
            for strategy in Strategy::all().into_iter().filter(wanted) {
                let row = Trial {
                    target: &target,
                    address: *address,
                    strategy,
                    options,
                }
                .run(&mut cache, entity)
                .await?;
                if strategy.level() == Level::Off && strategy.comeback().is_none() {
                    classic = row.ms.map(|(_, answer)| answer);
                }
                print(&row, classic, output.format);
                rows.push(row);
            }
        }
    }
    for carrier in [Carrier::InBand, Carrier::Socks5] {
        if chosen(options, &Strategy::Clients(carrier)) {
            let row = clients::run(&target, carrier, options.runs).await?;
            print(&row, None, output.format);
            rows.push(row);
        }
    }
    Ok(())
}

/// Runs the strategies between servers.
async fn connect(
    servers: &Servers<'_>,
    options: &Compare,
    output: &OutputOptions,
    entity: &mut Entity,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let wanted = |strategy: &Strategy| {
        chosen(options, strategy) && strategy.is_between_servers() && servers.offers(strategy)
    };
    for strategy in Strategy::all().into_iter().filter(wanted) {
        let row = servers.run(strategy, entity).await?;
        let classic = rows
            .iter()
            .chain([&row])
            .filter(|other| other.strategy == Some(classic_of(&strategy)))
            .find_map(|other| other.ms.map(|(_, answer)| answer));
        print(&row, classic, output.format);
        rows.push(row);
    }
    Ok(())
}

/// To what a strategy between servers is compared: step by step, over two connections.
fn classic_of(strategy: &Strategy) -> Strategy {
    match strategy.classic() {
        Strategy::Servers {
            level,
            transport,
            proof,
            ..
        } => Strategy::Servers {
            level,
            transport,
            proof,
            answers: Answers::Two,
        },
        Strategy::Zero { .. } => Strategy::Servers {
            level: Level::Off,
            transport: Transport::StartTls,
            proof: Proof::External,
            answers: Answers::Two,
        },
        other => other,
    }
}

/// How much a strategy may do at once: just that, or with `--learn` at most that.
fn policy(options: &Compare, strategy: &Strategy) -> Policy {
    let mut policy = Policy::default();
    if options.learn {
        policy.race = strategy.level() == Level::Paced;
        policy.ceiling = strategy.level();
    } else {
        policy.force = Some(strategy.level());
    }
    policy
}

/// Records one strategy on one target.
pub(crate) async fn record(whom: &Whom, strategy: Strategy) -> Result<Record, Failure> {
    let options = Compare {
        target: whom.clone(),
        strategy: vec![strategy],
        mechanism: Vec::new(),
        runs: 1,
        budget: None,
        local: None,
        listen: None,
        cert: None,
        key: None,
        learn: false,
    };
    let target = match &whom.jid {
        None => embedded().await?,
        Some(account) => remote(whom, account).await?,
    };
    let target = impaired(target, whom).await?;
    let addresses = &target.addresses;
    let found = addresses
        .iter()
        .find(|(transport, _)| *transport == strategy.transport());
    let Some((_, address)) = found.filter(|_| strategy.login().is_some()) else {
        return Err(Failure::Usage(format!(
            "{} has nowhere to go there",
            strategy.name()
        )));
    };
    let trial = Trial {
        target: &target,
        address: *address,
        strategy,
        options: &options,
    };
    let row = trial
        .run(&mut Cache::default(), &mut Entity::default())
        .await?;
    row.record
        .ok_or_else(|| Failure::Check(row.reason.unwrap_or_else(|| "not taken".to_owned())))
}

/// One strategy on one target.
struct Trial<'a> {
    target: &'a Target,
    address: SocketAddr,
    strategy: Strategy,
    options: &'a Compare,
}

impl Trial<'_> {
    /// What to log in with, and with what tokens.
    fn login(&self, wallet: Wallet) -> socket::Login {
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
        config.sasl2 = self.strategy.sasl2(wallet, date());
        config.management = self.strategy.comeback().map(|_| Management::default());
        socket::Login {
            target: self.address,
            tls: Arc::clone(tls),
            config,
            title: self.strategy.name(),
            tcp: self.options.target.rtt.unwrap_or_default(),
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
    async fn run(&self, cache: &mut Cache, learner: &mut Entity) -> Result<Row, Failure> {
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
            self.rehearse(cache).await?;
        }
        let mut passed: Vec<(f64, f64, Attempt)> = Vec::new();
        for _ in 0..self.options.runs {
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

    /// A step-by-step login whose only purpose is what it teaches.
    async fn rehearse(&self, cache: &mut Cache) -> Result<(), Failure> {
        let mut policy = Policy::default();
        policy.force = Some(Level::Off);
        let mut entity = Entity::new(cache.clone(), policy.clone());
        let plan = entity.cache().plan(&self.key(), &policy);
        let attempt =
            socket::login(&self.login(Wallet::default()), plan, &mut entity, None).await?;
        for event in attempt.taught {
            let _ = entity.handle(event);
        }
        *cache = entity.cache().clone();
        Ok(())
    }

    /// A login whose connection is killed while stanzas are on their way both ways; `entity` has the session then.
    /// Returns what was kept of tokens, and what is missing.
    async fn be_cut_off(
        &self,
        entity: &mut Entity,
    ) -> Result<(Exchange, Wallet, Option<String>), Failure> {
        let plan = Plan::step_by_step(self.key());
        let mut exchange = Exchange::to_be_cut(STANZAS);
        let login = self.login(Wallet::default());
        let attempt = socket::login(&login, plan, entity, Some(&mut exchange)).await?;
        let wallet = attempt.wallet.unwrap_or_default();
        for event in attempt.taught {
            let _ = entity.handle(event);
        }
        exchange.go_on();
        if attempt.measured.to_send.is_none() {
            return Ok((exchange, wallet, attempt.reason));
        }
        let missing = |what: &str| Some(format!("the server grants no {what}"));
        let Some(mut resumption) = entity.take(&self.target.account) else {
            return Ok((exchange, wallet, missing("session that could be resumed")));
        };
        if self.strategy.comeback() == Some(Comeback::Resume) {
            resumption.ticket = None;
        }
        let token = self.strategy.comeback() == Some(Comeback::Token);
        let fast = matches!(self.strategy, Strategy::Fast(_));
        let tokenless = (token && resumption.ticket.is_none()) || (fast && wallet.is_empty(date()));
        entity.keep(resumption);
        Ok((exchange, wallet, missing("token").filter(|_| tokenless)))
    }

    /// What the server had not, so that the login was another than the strategy's.
    fn fell_back(&self, attempt: &Attempt) -> Option<&'static str> {
        let by = attempt.mechanism.filter(|_| self.strategy.is_sasl2())?;
        let mut units = attempt
            .measured
            .record
            .writes
            .iter()
            .flat_map(|write| &write.units);
        if !units.any(|unit| unit.starts_with("authenticate ")) {
            return Some("the server has no SASL2");
        }
        let token = by.starts_with("HT-");
        (matches!(self.strategy, Strategy::Fast(_)) && !token).then_some("the token was not taken")
    }

    /// One login; when something assumed proves wrong, the one retry, whose time counts too.
    async fn attempt(
        &self,
        entity: &mut Entity,
        plan: Plan,
        row: &mut Row,
    ) -> Result<Attempt, Failure> {
        let mut login = self.login(Wallet::default());
        let mut exchange = None;
        if self.strategy.comeback().is_some() {
            let (cut, wallet, missing) = self.be_cut_off(entity).await?;
            if let Some(missing) = missing {
                row.reason.get_or_insert(missing);
                return Ok(Attempt::default());
            }
            exchange = Some(cut);
            login = self.login(wallet);
        }
        let begun = Clock::new();
        let mut attempt = socket::login(&login, plan, entity, exchange.as_mut()).await?;
        if exchange.is_some() && !attempt.resumed {
            attempt.measured.to_answer = None;
        }
        if let Some(missing) = self.fell_back(&attempt) {
            attempt.measured.to_answer = None;
            row.reason.get_or_insert_with(|| missing.to_owned());
        }
        if let Some(wallet) = attempt.wallet.take() {
            login = self.login(wallet);
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
                row.lost += 1;
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

fn headline(options: &Compare) -> String {
    let whom = match &options.target.jid {
        None => "the embedded server".to_owned(),
        Some(jid) => jid.to_bare().to_string(),
    };
    let link = match (options.target.rtt, options.target.rate) {
        (None, None) => "directly".to_owned(),
        (rtt, rate) => {
            let rtt = rtt
                .map(|rtt| format!(" {} ms there and back", rtt.as_millis()))
                .unwrap_or_default();
            let rate = rate
                .map(|rate| format!(" {rate} bit/s"))
                .unwrap_or_default();
            format!("over a link of{rtt}{rate}")
        }
    };
    format!(
        "Logging in to {whom}, {link}.\nRound trips with TCP's own, until a stanza may be sent and until it is answered.\n\n{:<38} {:<18} {:>7} {:>13} {:>17} {:>5}\n{:<38} {:<18} {:>3} {:>3} {:>6} {:>6} {:>8} {:>8} {:>5}",
        "",
        "",
        "trips",
        "bytes",
        "milliseconds",
        "",
        "strategy",
        "mechanism",
        "snd",
        "ans",
        "sent",
        "rcvd",
        "send",
        "answer",
        "ratio"
    )
}

/// The ladder of the fastest, and what is demanded of it.
fn finish(rows: &[Row], options: &Compare, output: &OutputOptions) -> Result<(), Failure> {
    // A login, where there was one: a link by agreement beats everything, and says nothing about logins.
    let passed = |row: &&Row| row.rtt.is_some();
    let login = |row: &&Row| {
        row.strategy
            .is_some_and(|strategy| strategy.login().is_some())
    };
    let fastest = rows.iter().filter(passed).min_by(|a, b| {
        let of = |row: &Row| {
            (
                !login(&row),
                row.rtt.map(|rtt| rtt.1),
                row.ms.map_or(f64::MAX, |ms| ms.1),
            )
        };
        let ((a_kind, a_trips, a_ms), (b_kind, b_trips, b_ms)) = (of(a), of(b));
        let trips = a_kind.cmp(&b_kind).then(a_trips.cmp(&b_trips));
        trips.then(a_ms.total_cmp(&b_ms))
    });
    let Some(fastest) = fastest else {
        // Between clients round trips are not counted, and nothing is faster than another.
        if rows.iter().any(|row| row.ms.is_some()) {
            return Ok(());
        }
        let reason = rows
            .iter()
            .find_map(|row| row.reason.clone())
            .unwrap_or_else(|| "no strategy to try".to_owned());
        return Err(Failure::Check(format!("no login succeeded: {reason}")));
    };
    if let Some(record) = &fastest.record {
        if output.format == Format::Text {
            anstream::print!("\nThe fastest:\n\n{}", picture::text(record, output));
        }
        // Beside it, the step-by-step way to do the same.
        let same = |row: &&Row| row.strategy == fastest.strategy.map(|strategy| strategy.classic());
        let classic = rows.iter().find(same).and_then(|row| row.record.as_ref());
        let both: Vec<&Record> = match classic.filter(|classic| *classic != record) {
            Some(classic) => vec![classic, record],
            None => vec![record],
        };
        picture::write(&both, None, output)?;
    }
    check_budget(fastest, options.budget)
}

fn check_budget(fastest: &Row, budget: Option<Budget>) -> Result<(), Failure> {
    let (Some(budget), Some((trips, _)), Some((ms, _))) = (budget, fastest.rtt, fastest.ms) else {
        return Ok(());
    };
    let over = |allowed: Option<f64>, got: f64| allowed.is_some_and(|allowed| got > allowed);
    if over(budget.rtt, f64::from(trips)) || over(budget.ms, ms) {
        return Err(Failure::Budget(format!(
            "over budget: {} took {trips} round trips and {ms:.1} ms to send",
            fastest.name()
        )));
    }
    Ok(())
}
