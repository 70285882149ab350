//! [`Limits`]: how many agents of a kind, and how many of a tenant, may be registered; [`Quotas`] keeps to them.
//!
//! ```text
//! registered, by the roster  +  claimed, by the batches under way  <  limit     or else the request is refused
//! ```
//!
//! A request claims its place when its batch is sent to the router, and gives the claim back when it is registered or
//! refused. So batches that are under way at once cannot go over a limit together.
//!
//! **Invariant.** A kind or tenant with a limit never has more registered and claimed places than that. (A limit binds those
//! who come; nobody is removed for it.)

use std::{collections::BTreeMap, fmt, hash::Hash};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{Request, Roster};
use crate::agent::{AgentId, Kind, Tenant};

/// How many agents may be registered at once, those in batches under way included; without bound where nothing is said.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::{Kind, Tenant}, registrar::{Limits, RegistrarOptions}};
/// let limits = Limits::default().kind(Kind::new("scanner")?, 2).per_tenant(1_000).tenant(Tenant::new("acme")?, 50_000);
/// let options = RegistrarOptions { limits, ..RegistrarOptions::default() };
/// # let _ = options;
/// # Ok::<(), phalanx_actors::agent::InvalidName>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Of these kinds.
    pub kinds: BTreeMap<Kind, usize>,
    /// Of these tenants.
    pub tenants: BTreeMap<Tenant, usize>,
    /// Of each other kind.
    pub default_per_kind: Option<usize>,
    /// Of each other tenant. Agents without a tenant are not counted.
    pub default_per_tenant: Option<usize>,
}

impl Limits {
    /// The same limits and one for a kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind, most: usize) -> Self {
        self.kinds.insert(kind, most);
        self
    }

    /// The same limits and one for a tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant, most: usize) -> Self {
        self.tenants.insert(tenant, most);
        self
    }

    /// The same limits and one for each kind that has none of its own.
    #[must_use]
    pub fn per_kind(mut self, most: usize) -> Self {
        self.default_per_kind = Some(most);
        self
    }

    /// The same limits and one for each tenant that has none of its own.
    #[must_use]
    pub fn per_tenant(mut self, most: usize) -> Self {
        self.default_per_tenant = Some(most);
        self
    }

    fn of_kind(&self, kind: &Kind) -> Option<usize> {
        self.kinds.get(kind).copied().or(self.default_per_kind)
    }

    fn of_tenant(&self, tenant: &Tenant) -> Option<usize> {
        self.tenants.get(tenant).copied().or(self.default_per_tenant)
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limited {
    /// A kind's.
    Kind(Kind),
    /// A tenant's.
    Tenant(Tenant),
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limited::Kind(kind) => write!(f, "kind {kind}"),
            Limited::Tenant(tenant) => write!(f, "tenant {tenant}"),
        }
    }
}

/// Why an agent is one too many. It passes when others leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "agent {agent} is one too many of {whose}: {registered} are registered and {claimed} being registered, of at most {limit}; \
     remove some of them, or raise the limit"
)]
pub struct OverLimit {
    /// Who wanted to be registered.
    pub agent: AgentId,
    /// Whose limit it is.
    pub whose: Limited,
    /// How many are registered.
    pub registered: usize,
    /// How many are in batches under way.
    pub claimed: usize,
    /// How many may be.
    pub limit: usize,
}

/// Keeps to the limits.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limits: Limits,
    kinds: FxHashMap<Kind, usize>,
    tenants: FxHashMap<Tenant, usize>,
}

impl Quotas {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Claims a place for the agent of a request beside those in the roster.
    pub(super) fn claim<H: Clone>(&mut self, request: &Request, roster: &Roster<H>) -> Result<(), OverLimit> {
        let over = |whose, registered, claimed, limit| {
            Err(OverLimit { agent: request.agent.clone(), whose, registered, claimed, limit })
        };
        // Only claims that a limit asks for are counted.
        let kind = self.limits.of_kind(&request.profile.kind).map(|limit| (&request.profile.kind, limit));
        let tenant = request.profile.tenant.as_ref();
        let tenant = tenant.and_then(|tenant| Some((tenant, self.limits.of_tenant(tenant)?)));
        if let Some((kind, limit)) = kind {
            let (registered, claimed) = (roster.count_of_kind(kind), claims_on(&self.kinds, kind));
            if registered + claimed >= limit {
                return over(Limited::Kind(kind.clone()), registered, claimed, limit);
            }
        }
        if let Some((tenant, limit)) = tenant {
            let (registered, claimed) = (roster.count_of_tenant(tenant), claims_on(&self.tenants, tenant));
            if registered + claimed >= limit {
                return over(Limited::Tenant(tenant.clone()), registered, claimed, limit);
            }
            *self.tenants.entry(tenant.clone()).or_default() += 1;
        }
        if let Some((kind, _)) = kind {
            *self.kinds.entry(kind.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// Gives the claim of a request back.
    pub(super) fn release(&mut self, request: &Request) {
        fn less<T: Hash + Eq>(claims: &mut FxHashMap<T, usize>, of: &T) {
            if let Some(claimed) = claims.get_mut(of) {
                *claimed -= 1;
                if *claimed == 0 {
                    claims.remove(of);
                }
            }
        }
        less(&mut self.kinds, &request.profile.kind);
        if let Some(tenant) = &request.profile.tenant {
            less(&mut self.tenants, tenant);
        }
    }

    /// How many places are claimed: of kinds with a limit, and of tenants with one.
    pub(super) fn claimed(&self) -> (usize, usize) {
        (self.kinds.values().sum(), self.tenants.values().sum())
    }

    /// Whether claims of this request are counted: on places of its kind, and of its tenant.
    pub(super) fn counts(&self, request: &Request) -> (bool, bool) {
        let of_tenant = request.profile.tenant.as_ref().and_then(|tenant| self.limits.of_tenant(tenant));
        (self.limits.of_kind(&request.profile.kind).is_some(), of_tenant.is_some())
    }
}

fn claims_on<T: Hash + Eq>(claims: &FxHashMap<T, usize>, of: &T) -> usize {
    claims.get(of).copied().unwrap_or(0)
}
