//! What the monitor is told of the lives of agents: an [`Event`] for each [`LifecycleChange`].

use super::event::{Event, Severity, Source, names};
use crate::agent::{ExitReason, Lifecycle, LifecycleChange};

/// Who tells of the lives of agents.
const SUPERVISOR: Source = Source::part("supervisor");

impl From<&Lifecycle> for Event {
    /// The event for the monitor: each change, and each way to end, has its name, kind and severity.
    fn from(life: &Lifecycle) -> Self {
        let event = match &life.change {
            LifecycleChange::Started => of(life, Severity::Debug, names::AGENT_STARTED),
            LifecycleChange::Restarted => of(life, Severity::Warning, names::AGENT_RESTARTED),
            LifecycleChange::Crashed { cause, restart_in_us } => alert(life, names::AGENT_PANICKED, cause)
                .with("generation", life.generation)
                .with_some("restart_in_us", *restart_in_us),
            LifecycleChange::Restarting { cause, restart_in_us } => {
                of(life, Severity::Warning, names::AGENT_RESTARTING)
                    .with("cause", &**cause)
                    .with("restart_in_us", *restart_in_us)
            }
            LifecycleChange::Terminated(reason) => ended(life, reason),
        };
        event.about(life.agent.clone())
    }
}

fn of(life: &Lifecycle, severity: Severity, name: &'static str) -> Event {
    Event::system(severity, SUPERVISOR, name, life.at).with("generation", life.generation)
}

fn alert(life: &Lifecycle, name: &'static str, message: &str) -> Event {
    Event::error_alert(SUPERVISOR, name, message, life.at)
}

fn ended(life: &Lifecycle, reason: &ExitReason) -> Event {
    match reason {
        ExitReason::Normal => {
            of(life, Severity::Info, names::AGENT_STOPPED).with("reason", reason.to_string())
        }
        ExitReason::Killed => {
            of(life, Severity::Warning, names::AGENT_STOPPED).with("reason", reason.to_string())
        }
        // No incarnation ends with `Gone`: it is what those hear who ask too late.
        ExitReason::Gone | ExitReason::Panicked(_) | ExitReason::Linked(_) | ExitReason::Escalated(_) => {
            alert(life, names::AGENT_ABANDONED, &reason.to_string()).with("generation", life.generation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{AgentId, Timestamp};

    #[test]
    fn each_change_of_a_life_is_told_with_its_severity_and_data() {
        let other = AgentId::new("b").unwrap();
        let changes = [
            (
                LifecycleChange::Started,
                r#""kind":"system_event","severity":"debug","source":"supervisor","agent":"a","name":"agent.started","data":{"generation":2}"#,
            ),
            (
                LifecycleChange::Restarted,
                r#""kind":"system_event","severity":"warning","source":"supervisor","agent":"a","name":"agent.restarted","data":{"generation":2}"#,
            ),
            (
                LifecycleChange::Crashed { cause: "x".into(), restart_in_us: Some(5) },
                r#""kind":"error_alert","severity":"error","source":"supervisor","agent":"a","name":"agent.panicked","data":{"message":"x","generation":2,"restart_in_us":5}"#,
            ),
            (
                LifecycleChange::Crashed { cause: "x".into(), restart_in_us: None },
                r#""kind":"error_alert","severity":"error","source":"supervisor","agent":"a","name":"agent.panicked","data":{"message":"x","generation":2}"#,
            ),
            (
                LifecycleChange::Restarting { cause: "x".into(), restart_in_us: 5 },
                r#""kind":"system_event","severity":"warning","source":"supervisor","agent":"a","name":"agent.restarting","data":{"generation":2,"cause":"x","restart_in_us":5}"#,
            ),
            (
                LifecycleChange::Terminated(ExitReason::Normal),
                r#""kind":"system_event","severity":"info","source":"supervisor","agent":"a","name":"agent.stopped","data":{"generation":2,"reason":"it stopped"}"#,
            ),
            (
                LifecycleChange::Terminated(ExitReason::Killed),
                r#""kind":"system_event","severity":"warning","source":"supervisor","agent":"a","name":"agent.stopped","data":{"generation":2,"reason":"it was stopped at once"}"#,
            ),
            (
                LifecycleChange::Terminated(ExitReason::Linked(other)),
                r#""kind":"error_alert","severity":"error","source":"supervisor","agent":"a","name":"agent.abandoned","data":{"message":"the linked agent b failed","generation":2}"#,
            ),
        ];
        for (change, line) in changes {
            let agent = AgentId::new("a").unwrap();
            let told = Event::from(&Lifecycle { agent, generation: 2, at: Timestamp::ZERO, change });
            assert_eq!(told.to_json(), format!("{{\"seq\":0,\"at\":0,{line}}}"));
        }
    }
}
