//! `onetrip compare`: every way to log in, over real sockets and TLS.

use onetrip_core::Entity;
use onetrip_core::quickstart::{Cache, Level, Policy, Transport};
use onetrip_simulator::{Answers, Carrier, Login, Proof, Strategy};
use onetrip_trace::Record;

mod clients;
mod report;
mod row;
mod servers;
pub(crate) mod target;
mod trial;

use report::{finish, headline};
use row::{Row, print};
use servers::Servers;
pub(crate) use target::roots;
use target::{Target, embedded, impaired, remote};
use trial::Trial;

use crate::Failure;
use crate::options::{Compare, Format, OutputOptions, Target as Whom};

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
