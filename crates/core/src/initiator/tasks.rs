//! A client that has to do more than its mechanism: whoever knows how is asked (XEP-0388 §2.6.3).

use onetrip_negotiation::sasl2;
use onetrip_stream::Env;

use super::Initiator;
use crate::shell::Shell;
use crate::{Request, TaskPrompt, TaskReply, UsageError};

impl Initiator {
    pub(super) fn ask_about_task(&mut self, shell: &mut Shell, prompt: TaskPrompt) {
        if let Some(login) = &mut self.later {
            login.prompt = Some(prompt.clone());
            shell.request(Request::TaskPrompt(prompt));
        }
    }

    /// The reply has to fit what was asked, or nothing changes.
    pub(super) fn on_task_reply(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        reply: TaskReply,
    ) -> Result<(), UsageError> {
        let Some(login) = &mut self.later else {
            return Err(UsageError::NotAsked);
        };
        let input = match (&login.prompt, &reply) {
            (Some(_), TaskReply::Abort) => sasl2::Input::Abort,
            (Some(TaskPrompt::Choose { tasks, .. }), TaskReply::Begin { task, children })
                if tasks.contains(task) =>
            {
                let children = children.clone();
                sasl2::Input::Next { task, children }
            }
            (Some(TaskPrompt::Data(_)), TaskReply::Data(children)) => {
                sasl2::Input::TaskData(children.clone())
            }
            _ => return Err(UsageError::NotAsked),
        };
        login.prompt = None;
        let result = login.machine.handle(env, input);
        self.sasl2_result(env, shell, result);
        Ok(())
    }
}
