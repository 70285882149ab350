//! [`Validator`]s: rules a request has to meet before it is registered.
//!
//! **Invariant.** A request is refused by its own faults only: whatever a rule does with one request, panics included, the
//! others of its batch go on.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::request::{Request, Status};
use crate::agent::Timestamp;

/// A rule for requests.
pub trait Validator: Send + Sync {
    /// Says why a request is refused, if it is.
    ///
    /// # Errors
    /// The reason, for people: lowercase, naming what is wrong and the mend.
    fn validate(&self, request: &Request) -> Result<(), String>;
}

impl<F: Fn(&Request) -> Result<(), String> + Send + Sync> Validator for F {
    fn validate(&self, request: &Request) -> Result<(), String> {
        self(request)
    }
}

/// The built-in rule: bounds on how much one request carries, and no capability twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many capabilities an agent may offer.
    pub capabilities: usize,
    /// How many entries of metadata it may have.
    pub metadata: usize,
    /// How long its name and its location may be, in bytes.
    pub text: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { capabilities: 256, metadata: 256, text: 1024 }
    }
}

impl Validator for Bounds {
    fn validate(&self, request: &Request) -> Result<(), String> {
        let count = request.capabilities.len();
        if count > self.capabilities {
            return Err(format!(
                "{count} capabilities are too many: at most {} are allowed",
                self.capabilities
            ));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = request.capabilities.iter().find(|capability| !seen.insert(*capability)) {
            return Err(format!("capability {twice} is named twice: name it once"));
        }
        if request.metadata.len() > self.metadata {
            let count = request.metadata.len();
            return Err(format!(
                "{count} entries of metadata are too many: at most {} are allowed",
                self.metadata
            ));
        }
        for (what, text) in [("name", &request.name), ("location", &request.location)] {
            if let Some(bytes) = text.as_ref().map(String::len).filter(|bytes| *bytes > self.text) {
                return Err(format!("the {what} is {bytes} bytes long: at most {} are allowed", self.text));
            }
        }
        Ok(())
    }
}

/// Rules in the order in which they are asked.
#[derive(Clone)]
pub struct Rules(Vec<Arc<dyn Validator>>);

impl Default for Rules {
    /// The [`Bounds`] alone.
    fn default() -> Self {
        Self(vec![Arc::new(Bounds::default())])
    }
}

impl Rules {
    /// No rules.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The same rules and one more, asked last.
    #[must_use]
    pub fn and(mut self, rule: impl Validator + 'static) -> Self {
        self.0.push(Arc::new(rule));
        self
    }

    /// Takes a pending request through validation: it is registering afterwards, or failed with the first reason. One that is
    /// not pending is left as it is.
    pub fn apply(&self, request: &mut Request, now: Timestamp) {
        if request.advance(Status::Validating, now).is_err() {
            return;
        }
        let verdict = self.0.iter().try_for_each(|rule| {
            catch_unwind(AssertUnwindSafe(|| rule.validate(request)))
                .unwrap_or_else(|_| Err("a validation rule panicked over it".to_owned()))
        });
        let next = verdict.map_or_else(Status::Failed, |()| Status::Registering);
        request.advance(next, now).expect("validation ends in registering or failed");
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::{AgentId, Capability, Kind},
        registrar::RequestId,
    };

    fn request(agent: &str) -> Request {
        Request::new(RequestId(1), AgentId::new(agent).unwrap(), Kind::new("k").unwrap(), Timestamp::ZERO)
    }

    fn verdict(rules: &Rules, mut request: Request) -> String {
        rules.apply(&mut request, Timestamp::ZERO);
        request.status().to_string()
    }

    #[test]
    fn bounds_name_the_fault_and_the_mend() {
        let sell = Capability::new("sell").unwrap();
        let rules = Rules::none().and(Bounds { capabilities: 2, metadata: 1, text: 4 });
        assert_eq!(verdict(&rules, request("a").capability(sell.clone())), "registering");
        let twice = request("a").capability(sell.clone()).capability(sell.clone());
        assert_eq!(verdict(&rules, twice.clone()), "failed: capability sell is named twice: name it once");
        assert_eq!(
            verdict(&rules, twice.capability(sell)),
            "failed: 3 capabilities are too many: at most 2 are allowed"
        );
        assert_eq!(
            verdict(&rules, request("a").location("north")),
            "failed: the location is 5 bytes long: at most 4 are allowed"
        );
        assert_eq!(
            verdict(&rules, request("a").metadata("a", 1).metadata("b", 2)),
            "failed: 2 entries of metadata are too many: at most 1 are allowed"
        );
    }

    #[test]
    fn one_bad_request_never_fails_its_batch() {
        let rules = Rules::default().and(|request: &Request| match request.agent.as_str() {
            "bad" => Err("not this one".to_owned()),
            "worse" => panic!("on purpose"),
            _ => Ok(()),
        });
        let verdicts: Vec<_> =
            ["a", "bad", "worse", "b"].into_iter().map(|agent| verdict(&rules, request(agent))).collect();
        assert_eq!(
            verdicts,
            [
                "registering",
                "failed: not this one",
                "failed: a validation rule panicked over it",
                "registering"
            ]
        );
    }

    #[test]
    fn a_cancelled_request_is_not_validated() {
        let mut cancelled = request("a");
        cancelled.advance(Status::Cancelled, Timestamp::ZERO).unwrap();
        assert_eq!(verdict(&Rules::default(), cancelled), "cancelled");
    }
}
