//! [`Validator`]s and async rules: what a request has to meet before it is registered.
//!
//! ```text
//! validators only   enlisted --> waits --> batch: each is asked in turn --> routes
//! async rules, too  enlisted --> waits --> task: validators, then async rules --> waits --> batch --> routes
//!                               (by class)  (so many at once)
//! ```
//!
//! **Invariant.** A request is refused by its own faults only: whatever a rule does with one request, panics and waiting for
//! ever included, the others go on.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;

use super::request::{Request, Status};
use crate::agent::Timestamp;

/// How many requests are validated by async rules at once, unless told otherwise.
pub const VALIDATIONS: usize = 64;

/// How long a validation by async rules may take, unless told otherwise.
pub const VALIDATED_WITHIN: Duration = Duration::from_secs(30);

pub(super) const PANICKED: &str = "a validation rule panicked over it";

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
        let profile = &*request.profile;
        let count = profile.capabilities.len();
        if count > self.capabilities {
            return Err(format!(
                "{count} capabilities are too many: at most {} are allowed",
                self.capabilities
            ));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = profile.capabilities.iter().find(|capability| !seen.insert(*capability)) {
            return Err(format!("capability {twice} is named twice: name it once"));
        }
        if profile.metadata.len() > self.metadata {
            let count = profile.metadata.len();
            return Err(format!(
                "{count} entries of metadata are too many: at most {} are allowed",
                self.metadata
            ));
        }
        for (what, text) in [("name", &profile.name), ("location", &profile.location)] {
            if let Some(bytes) = text.as_ref().map(String::len).filter(|bytes| *bytes > self.text) {
                return Err(format!("the {what} is {bytes} bytes long: at most {} are allowed", self.text));
            }
        }
        Ok(())
    }
}

type Verdict = Pin<Box<dyn Future<Output = Result<(), String>>>>;
type AsyncRule = Arc<dyn Fn(Arc<Request>) -> Verdict + Send + Sync>;

/// Rules in the order in which they are asked: the validators first, then the async rules, up to the first refusal.
///
/// # Examples
/// ```
/// use std::{sync::Arc, time::Duration};
/// use phalanx_actors::registrar::{Request, Rules};
///
/// # async fn look_up(_: &str) -> bool { true }
/// let rules = Rules::default()
///     .and(|request: &Request| if request.profile.location.is_some() { Ok(()) } else { Err("say where it is".to_owned()) })
///     .and_async(|request: Arc<Request>| async move {
///         if look_up(request.agent.as_str()).await { Ok(()) } else { Err(format!("{} has no licence", request.agent)) }
///     })
///     .at_once(16)
///     .validated_within(Duration::from_secs(2));
/// # let _ = rules;
/// ```
#[derive(Clone)]
pub struct Rules {
    validators: Vec<Arc<dyn Validator>>,
    /// Those that may wait.
    waiting: Vec<AsyncRule>,
    at_once: usize,
    timeout: Duration,
}

impl Default for Rules {
    /// The [`Bounds`] alone.
    fn default() -> Self {
        Self::none().and(Bounds::default())
    }
}

impl Rules {
    /// No rules.
    pub const fn none() -> Self {
        Self { validators: Vec::new(), waiting: Vec::new(), at_once: VALIDATIONS, timeout: VALIDATED_WITHIN }
    }

    /// The same rules and one more, asked last of the validators.
    #[must_use]
    pub fn and(mut self, rule: impl Validator + 'static) -> Self {
        self.validators.push(Arc::new(rule));
        self
    }

    /// The same rules and one more that may wait, asked last. It runs as a task beside the registrar, so it may ask other actors,
    /// even the registrar itself; a request that it keeps waiting delays no other one. With such a rule each request is
    /// validated before it waits for its batch.
    #[must_use]
    pub fn and_async<F, V>(mut self, rule: F) -> Self
    where
        F: Fn(Arc<Request>) -> V + Send + Sync + 'static,
        V: Future<Output = Result<(), String>> + 'static,
    {
        self.waiting.push(Arc::new(move |request| Box::pin(rule(request))));
        self
    }

    /// The same rules, where at most so many requests are validated by async rules at once, at least one; [`VALIDATIONS`] by
    /// default. The others wait by class.
    #[must_use]
    pub fn at_once(mut self, most: usize) -> Self {
        self.at_once = most.max(1);
        self
    }

    /// The same rules, where a request fails whose validation by async rules takes longer than this; [`VALIDATED_WITHIN`] by
    /// default. A time beyond the end of the clock is none: then a rule that waits for ever keeps its place for ever, unless its
    /// request is cancelled, given a time of its own ([`Request::within`]), or its agent is removed.
    #[must_use]
    pub const fn validated_within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether some of them may wait.
    pub const fn may_wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) const fn limits(&self) -> (usize, Duration) {
        (self.at_once, self.timeout)
    }

    /// Asks all of them about a request, outside of any batch: answers with the first refusal.
    pub(super) fn judge(&self, request: Arc<Request>) -> impl Future<Output = Result<(), String>> + use<> {
        let Self { validators, waiting, .. } = self.clone();
        let verdict = async move {
            validators.iter().try_for_each(|rule| rule.validate(&request))?;
            for rule in waiting {
                rule(request.clone()).await?;
            }
            Ok(())
        };
        AssertUnwindSafe(verdict)
            .catch_unwind()
            .map(|verdict| verdict.unwrap_or_else(|_| Err(PANICKED.to_owned())))
    }

    /// Takes a pending request through the validators: it is registering afterwards, or failed with the first reason. One that
    /// is not pending is left as it is.
    pub fn apply(&self, request: &mut Request, now: Timestamp) {
        if request.advance(Status::Validating, now).is_err() {
            return;
        }
        let verdict = self.validators.iter().try_for_each(|rule| {
            catch_unwind(AssertUnwindSafe(|| rule.validate(request)))
                .unwrap_or_else(|_| Err(PANICKED.to_owned()))
        });
        let next = verdict.map_or_else(Status::Failed, |()| Status::Registering);
        request.advance(next, now).expect("validation ends in registering or failed");
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({}, {} async)", self.validators.len(), self.waiting.len())
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
