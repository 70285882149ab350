//! [`Record`]: what is written down of registration, so that it outlasts the process.
//!
//! A record has a number of its own in the order of writing and a checksum of its own, so that it can be judged without the
//! others. In bytes, numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 to 7 | the sequence number, from 1 on, without gaps |
//! | 8 to 11 | the CRC-32 (IEEE) of all other bytes |
//! | 12 | what happened: 1 opened, 2 registered, 3 replaced, 4 ended, 5 undone, 6 removed, 7 renewed |
//! | 13 on | its fields in the order of the variant, in the form of [`codec`] |
//!
//! **Invariant.** What is decoded is what was encoded, and no byte more or less: whatever else the bytes say is a
//! [`RecordFault`].

use serde::Serialize;

use super::{Profile, Request, RequestId, Status};
use crate::agent::{AgentId, Timestamp};

mod codec;

use codec::{Reader, Writer};

/// How many bytes of a record come before its fields.
const HEAD: usize = 13;

/// What happened, as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A process opened the journal. The times of the records up to the next one count from the start of its host.
    Opened {
        /// Which opening it is, from 1 on.
        run: u64,
    },
    /// A request was completed: its agent is new in the roster.
    Registered {
        /// The request.
        request: Request,
        /// The generation of the agent.
        generation: u64,
    },
    /// A request was completed: its agent takes the place of an earlier generation.
    Replaced {
        /// The request.
        request: Request,
        /// The generation of the agent.
        generation: u64,
    },
    /// A request failed or was cancelled.
    Ended {
        /// The request.
        request: Request,
    },
    /// A request was written as completed, but its agent was gone before anybody was told so: it failed after all.
    Undone {
        /// The request, failed.
        request: Request,
        /// The generation that is void.
        generation: u64,
    },
    /// An agent was taken out of the roster.
    Removed {
        /// The agent.
        agent: AgentId,
        /// The generation that is gone.
        generation: u64,
        /// When.
        at: Timestamp,
    },
    /// A later incarnation of an agent renewed its lease: the agent in the roster has its generation from then on.
    Renewed {
        /// The agent.
        agent: AgentId,
        /// Its generation.
        generation: u64,
        /// When.
        at: Timestamp,
    },
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// There are too few of them.
    #[error("a record of {0} bytes is cut off")]
    Short(usize),
    /// They are not those that were written.
    #[error("the checksum of the record is {found:08x} instead of {written:08x}")]
    Checksum {
        /// The checksum that is written there.
        written: u32,
        /// The checksum of what is there.
        found: u32,
    },
    /// The checksum is right, but they mean nothing to this version.
    #[error("the record cannot be read: {0}")]
    Unknown(String),
}

impl Record {
    /// The request that ended with it, if one did.
    pub const fn request(&self) -> Option<&Request> {
        match self {
            Self::Registered { request, .. }
            | Self::Replaced { request, .. }
            | Self::Ended { request }
            | Self::Undone { request, .. } => Some(request),
            Self::Opened { .. } | Self::Removed { .. } | Self::Renewed { .. } => None,
        }
    }

    /// Appends it to `out` as the record of this number.
    pub fn encode(&self, sequence: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let mut writer = Writer(out);
        match self {
            Self::Opened { run } => {
                writer.byte(1);
                writer.number(*run);
            }
            Self::Registered { request, generation } => writer.completed(2, request, *generation),
            Self::Replaced { request, generation } => writer.completed(3, request, *generation),
            Self::Ended { request } => {
                writer.byte(4);
                writer.request(request);
                writer.end(request);
            }
            Self::Undone { request, generation } => {
                writer.completed(5, request, *generation);
                writer.end(request);
            }
            Self::Removed { agent, generation, at } => writer.change(6, agent, *generation, *at),
            Self::Renewed { agent, generation, at } => writer.change(7, agent, *generation, *at),
        }
        let checksum = checksum(&out[start..]);
        out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The number and the record that these bytes are.
    ///
    /// # Errors
    /// [`RecordFault`] when they are not exactly one record as it was written.
    pub fn decode(bytes: &[u8]) -> Result<(u64, Self), RecordFault> {
        if bytes.len() < HEAD {
            return Err(RecordFault::Short(bytes.len()));
        }
        let (number, written) =
            (number(bytes), u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
        let found = checksum(bytes);
        if written != found {
            return Err(RecordFault::Checksum { written, found });
        }
        let mut reader = Reader(&bytes[HEAD..]);
        let record = match bytes[12] {
            1 => Self::Opened { run: reader.number()? },
            2 => {
                let (request, generation) = reader.completed()?;
                Self::Registered { request, generation }
            }
            3 => {
                let (request, generation) = reader.completed()?;
                Self::Replaced { request, generation }
            }
            4 => {
                let request = reader.request()?;
                Self::Ended { request: reader.end(request)? }
            }
            5 => {
                let (request, generation) = reader.completed()?;
                Self::Undone { request: reader.end(request)?, generation }
            }
            6 => {
                let (agent, generation, at) = reader.change()?;
                Self::Removed { agent, generation, at }
            }
            7 => {
                let (agent, generation, at) = reader.change()?;
                Self::Renewed { agent, generation, at }
            }
            other => return Err(RecordFault::Unknown(format!("{other} stands for no kind of record"))),
        };
        match reader.0.len() {
            0 => Ok((number, record)),
            more => Err(RecordFault::Unknown(format!("{more} bytes follow its end"))),
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}

/// The checksum of a record, which covers all of it but itself.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..8]);
    hasher.update(&record[12..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
