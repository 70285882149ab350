//! The behaviours of the command and the host, a module each.

mod command;
mod command_bad;
mod command_bench;
mod command_files;
mod command_interrupt;
mod command_plan;
mod command_run;
mod host_api;
mod host_ends;
mod host_faults;
mod host_floods;
mod host_groups;
mod host_heartbeats;
mod host_recall;
mod host_recall_random;
mod host_roster;
mod host_samples;
mod host_startup;
#[cfg(feature = "journal")]
mod journal;
mod manifest_bad;
mod manifest_command;
mod manifest_limits;
mod manifest_random;
mod manifest_schema;
mod support;
mod swarm_checksum;
mod swarm_effects;
mod swarm_ends;
mod swarm_keys;
mod swarm_simulate;
mod swarm_startup;
mod swarm_topics;
