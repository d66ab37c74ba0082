//! A server that demands more than a mechanism: whoever decides about it is asked, step by step (XEP-0388 §2.6.3).

use onetrip_negotiation::sasl2;
use onetrip_stream::{Env, Jid};

use super::Receiver;
use crate::shell::Shell;
use crate::{Request, TaskStep, TaskVerdict, UsageError};

/// A client that has proved who it is, and is not in yet.
#[derive(Debug)]
pub(super) struct Proved {
    account: Jid,
    /// Whether a task has been begun.
    begun: bool,
    /// Whether a decision is pending.
    asked: bool,
}

impl Proved {
    pub(super) fn new(account: Jid) -> Self {
        Self {
            account,
            begun: false,
            asked: false,
        }
    }
}

impl Receiver {
    fn proved(&mut self) -> Option<&mut Proved> {
        self.sasl2.as_mut()?.proved.as_mut()
    }

    /// The client has come to this.
    pub(super) fn ask_about_task(&mut self, shell: &mut Shell, step: TaskStep) {
        if let Some(proved) = self.proved() {
            proved.begun = !matches!(step, TaskStep::Proved(_));
            proved.asked = true;
            let account = proved.account.clone();
            shell.request(Request::TaskStep { account, step });
        }
    }

    pub(super) fn on_task_verdict(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        verdict: TaskVerdict,
    ) -> Result<(), UsageError> {
        let proved = self.proved().filter(|proved| proved.asked);
        let proved = proved.ok_or(UsageError::NotAsked)?;
        if matches!(verdict, TaskVerdict::Data(_)) && !proved.begun {
            return Err(UsageError::NotAsked);
        }
        proved.asked = false;
        let outcome = match verdict {
            TaskVerdict::Done => {
                let account = proved.account.clone();
                self.ride_along(env, shell, account);
                return Ok(());
            }
            TaskVerdict::Demand { tasks, text } => sasl2::Outcome::Continue { tasks, text },
            TaskVerdict::Data(children) => sasl2::Outcome::TaskData(children),
            TaskVerdict::Refuse(failure) => sasl2::Outcome::Refuse(failure),
        };
        self.on_sasl2(env, shell, sasl2::ReceiverInput::Outcome(outcome));
        Ok(())
    }
}
