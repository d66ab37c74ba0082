//! `onetrip compare`: every way to log in, over real sockets and TLS.

use onetrip_core::Entity;
use onetrip_core::quickstart::{Cache, Level, Policy, Transport};
use onetrip_core::stream::Jid;
use onetrip_simulator::{Answers, Carrier, Login, Proof, Strategy};
use onetrip_trace::Record;
use serde_json::Value;

mod clients;
mod report;
mod row;
mod servers;
mod table;
pub(crate) mod target;
mod trial;

use report::finish;
use servers::Servers;
use table::Table;
pub(crate) use target::roots;
use target::{Target, embedded, impaired, remote};
use trial::Trial;

use crate::Failure;
use crate::options::{Compare, OutputOptions, Target as Whom};

/// Runs every strategy that the target offers.
pub(crate) async fn run(options: &Compare, output: &OutputOptions) -> Result<(), Failure> {
    check(&options.strategy)?;
    let mut table = Table::new(options, output.format);
    let mut entity = Entity::default();
    match &options.target.jid {
        Some(jid) if jid.local().is_none() => {
            let servers = Servers::real(options, jid.domain()).await?;
            connect(&servers, options, &mut entity, &mut table).await?;
        }
        Some(account) => {
            let target = remote(&options.target, account).await?;
            log_in(target, options, &mut entity, &mut table).await?;
        }
        None => {
            let target = embedded(&options.target).await?;
            log_in(target, options, &mut entity, &mut table).await?;
            let servers = Servers::embedded(options)?;
            connect(&servers, options, &mut entity, &mut table).await?;
        }
    }
    finish(&table.rows, options, output)
}

/// Whether a strategy was asked for.
fn chosen(options: &Compare, strategy: &Strategy) -> bool {
    let all = options.strategy.is_empty() && !strategy.is_only_simulated();
    all || options.strategy.contains(strategy)
}

/// Says where else to look for a strategy that is only simulated.
fn check(strategies: &[Strategy]) -> Result<(), Failure> {
    let simulated = |strategy: &&Strategy| strategy.is_only_simulated();
    strategies
        .iter()
        .find(simulated)
        .map_or(Ok(()), |strategy| {
            let name = strategy.name();
            Err(Failure::Usage(format!(
                "{name} is only simulated: onetrip simulate --strategy {name}"
            )))
        })
}

/// Runs the strategies of clients.
async fn log_in(
    target: Target,
    options: &Compare,
    entity: &mut Entity,
    table: &mut Table<'_>,
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
                    && strategy.transport() == *transport
                    && strategy.login() == Some(login)
            };
            let mut classic: Option<f64> = None;
            let mut cache = Cache::default();
            for strategy in Strategy::all().into_iter().filter(wanted) {
                table.begin(&strategy);
                let row = Trial {
                    target: &target,
                    address: *address,
                    strategy,
                    options,
                }
                .run(&mut cache, entity)
                .await?;
                if strategy == strategy.classic() && strategy.comeback().is_none() {
                    classic = row.ms.map(|(_, answer)| answer);
                }
                table.push(row, classic)?;
            }
        }
    }
    for carrier in [Carrier::InBand, Carrier::Socks5] {
        let strategy = Strategy::Clients(carrier);
        if chosen(options, &strategy) {
            table.begin(&strategy);
            let row = clients::run(&target, carrier, options.runs).await?;
            table.push(row, None)?;
        }
    }
    Ok(())
}

/// Runs the strategies between servers.
async fn connect(
    servers: &Servers<'_>,
    options: &Compare,
    entity: &mut Entity,
    table: &mut Table<'_>,
) -> Result<(), Failure> {
    let wanted = |strategy: &Strategy| {
        chosen(options, strategy) && strategy.is_between_servers() && servers.offers(strategy)
    };
    for strategy in Strategy::all().into_iter().filter(wanted) {
        table.begin(&strategy);
        let row = servers.run(strategy, entity).await?;
        let classic = table
            .rows
            .iter()
            .chain([&row])
            .filter(|other| other.strategy == Some(classic_of(&strategy)))
            .find_map(|other| other.ms.map(|(_, answer)| answer));
        table.push(row, classic)?;
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

/// One run of these strategies, of those that the command line asks for in no other way.
fn once(whom: &Whom, strategy: Vec<Strategy>) -> Compare {
    Compare {
        target: whom.clone(),
        strategy,
        mechanism: Vec::new(),
        runs: 1,
        budget: None,
        local: None,
        listen: None,
        cert: None,
        key: None,
        learn: false,
    }
}

/// Records one strategy on one target.
pub(crate) async fn record(whom: &Whom, strategy: Strategy) -> Result<Record, Failure> {
    check(&[strategy])?;
    if strategy.login().is_none() {
        return Err(Failure::Usage(format!(
            "{} is no login: it is recorded with --simulate",
            strategy.name()
        )));
    }
    let options = once(whom, vec![strategy]);
    let target = match &whom.jid {
        None => embedded(whom).await?,
        Some(account) => remote(whom, account).await?,
    };
    let target = impaired(target, whom).await?;
    let addresses = &target.addresses;
    let found = addresses
        .iter()
        .find(|(transport, _)| *transport == strategy.transport());
    let Some((_, address)) = found else {
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
    if let Some(hopeless) = row.hopeless {
        return Err(hopeless);
    }
    row.record
        .ok_or_else(|| Failure::Check(row.reason.unwrap_or_else(|| "not taken".to_owned())))
}

/// What becomes of these strategies, one after the other, on the one place of an account.
pub(crate) async fn rows(
    whom: &Whom,
    account: &Jid,
    strategies: Vec<Strategy>,
) -> Result<Vec<Value>, Failure> {
    let options = once(whom, strategies);
    let target = remote(whom, account).await?;
    let (mut cache, mut entity) = (Cache::default(), Entity::default());
    let mut rows = Vec::new();
    for (_, address) in &target.addresses {
        for strategy in &options.strategy {
            let trial = Trial {
                target: &target,
                address: *address,
                strategy: *strategy,
                options: &options,
            };
            rows.push(trial.run(&mut cache, &mut entity).await?.json(None));
        }
    }
    Ok(rows)
}
