//! The program `onetrip`: see the round trips of XMPP logins, and do without most of them.

mod compare;
mod converse;
mod dns;
mod drive;
mod environment;
mod exchange;
mod meter;
mod options;
mod picture;
mod probe;
mod relay;
mod serve;
mod simulate;
mod socket;
mod terminal;
mod trace;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Color, Command, Options};

/// Why the program ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A negotiation or a check failed: exit code 1.
    Check(String),
    /// The options make no sense: exit code 2.
    Usage(String),
    /// Nobody answered: exit code 3.
    Unreachable(String),
    /// Slower than `--budget` allows: exit code 4.
    Budget(String),
    /// Ctrl-C: exit code 130, as of whatever a signal ends.
    Interrupted,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Check(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Budget(_) => 4,
            Self::Interrupted => 130,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Check(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::Budget(text) => text,
            Self::Interrupted => "",
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.output.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let result = match &options.command {
        Command::Compare(compare) => with_runtime(compare::run(compare, &options.output)),
        Command::Simulate(simulate) => simulate::run(simulate, &options.output),
        Command::Trace(trace) => with_runtime(trace::run(trace, &options.output)),
        Command::Replay(replay) => trace::replay(replay, &options.output),
        Command::Probe(probe) => with_runtime(probe::run(probe, &options.output)),
        Command::Serve(serve) => match with_runtime(serve::run(serve, &options.output)) {
            // There is no other way to end it.
            Err(Failure::Interrupted) => Ok(()),
            result => result,
        },
        Command::E2e(e2e) => with_runtime(converse::run(e2e, &options.output)),
        Command::Drive(drive) => drive::run(drive, &options.output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text().is_empty() {
                let bold = anstyle::Style::new().bold();
                anstream::eprintln!("{bold}onetrip:{bold:#} {}", failure.text());
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Runs a task to its end, or until Ctrl-C: then what it has drawn is wiped, and its sockets are closed.
fn with_runtime(task: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let interruptible = async {
        // Ctrl-C is listened to before the task says that it is ready.
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            ended = task => ended,
        }
    };
    runtime
        .map_err(|error| Failure::Check(error.to_string()))?
        .block_on(tokio::task::LocalSet::new().run_until(interruptible))
}
