//! What agents, inboxes, supervision and routes promise, a file per behaviour.

mod asking;
mod batching;
mod bulk;
mod closing;
mod confirming;
mod ends;
mod groups;
mod lanes;
mod ledger;
mod overflow;
mod publishing;
mod random;
mod restart;
mod schedules;
mod servers;
mod strategies;
mod support;
mod telling;
mod threads;
mod topics;
mod unicast;
mod unions;
