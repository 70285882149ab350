//! How the fields of a record are written.
//!
//! Numbers take 7 bits a byte, the least first, with the high bit set while more follow (LEB128). A text is its length in
//! bytes and its UTF-8. A request is: its number, its agent, its kind, one byte that says what there is of it, its priority as
//! one byte, when it was submitted and when it ended \[us\], how many capabilities and each of them, and then what there is:
//!
//! | bit | what |
//! | --- | --- |
//! | 0 | its name |
//! | 1 | its location |
//! | 2 | its metadata, as JSON |
//! | 3 | its tenant |
//! | 4 | its lease: whole seconds, and nanoseconds beside |
//! | 5 | when its validation began \[us\] |
//! | 6 | when it was found valid \[us\] |
//! | 7 | when its time was over \[us\] |
//!
//! How it ended follows where it is not completed: one byte, 0 for cancelled or 1 for failed, and then the reason.

use std::{sync::Arc, time::Duration};

use serde_json::Map;

use super::{Profile, RecordFault, Request, RequestId, Status};
use crate::agent::{AgentId, Capability, InvalidName, Kind, Priority, Tenant, Timestamp};

const NAME: u8 = 1;
const LOCATION: u8 = 2;
const METADATA: u8 = 4;
const TENANT: u8 = 8;
const LEASE: u8 = 16;
const VALIDATING: u8 = 32;
const REGISTERING: u8 = 64;
const DEADLINE: u8 = 128;

const CANCELLED: u8 = 0;
const FAILED: u8 = 1;

pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.byte(number.to_le_bytes()[0]);
    }

    fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn completed(&mut self, kind: u8, request: &Request, generation: u64) {
        self.byte(kind);
        self.request(request);
        self.number(generation);
    }

    pub(super) fn change(&mut self, kind: u8, agent: &AgentId, generation: u64, at: Timestamp) {
        self.byte(kind);
        self.text(agent.as_str());
        self.number(generation);
        self.number(at.micros());
    }

    pub(super) fn request(&mut self, request: &Request) {
        self.number(request.id.0);
        self.text(request.agent.as_str());
        let Profile { kind, capabilities, name, tenant, location, metadata } = &*request.profile;
        self.text(kind.as_str());
        let times = [
            (VALIDATING, request.validating()),
            (REGISTERING, request.registering()),
            (DEADLINE, request.deadline()),
        ];
        let mut flags = 0;
        for (flag, it) in [
            (NAME, name.is_some()),
            (LOCATION, location.is_some()),
            (METADATA, !metadata.is_empty()),
            (TENANT, tenant.is_some()),
            (LEASE, request.lease.is_some()),
        ] {
            flags |= if it { flag } else { 0 };
        }
        for (flag, time) in times {
            flags |= if time.is_some() { flag } else { 0 };
        }
        self.byte(flags);
        self.byte(request.priority as u8);
        self.number(request.submitted.micros());
        self.number(request.ended().unwrap_or(request.submitted).micros());
        self.length(capabilities.len());
        for capability in capabilities {
            self.text(capability.as_str());
        }
        for text in [name, location].into_iter().flatten() {
            self.text(text);
        }
        if !metadata.is_empty() {
            self.text(&serde_json::to_string(metadata).expect("a map of JSON values has a JSON form"));
        }
        if let Some(tenant) = tenant {
            self.text(tenant.as_str());
        }
        if let Some(lease) = request.lease {
            self.number(lease.as_secs());
            self.number(u64::from(lease.subsec_nanos()));
        }
        for time in times.iter().filter_map(|(_, time)| *time) {
            self.number(time.micros());
        }
    }

    /// How a request ended that is not completed.
    pub(super) fn end(&mut self, request: &Request) {
        if let Status::Failed(reason) = request.status() {
            self.byte(FAILED);
            self.text(reason);
        } else {
            self.byte(CANCELLED);
        }
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

fn unknown(what: &str) -> RecordFault {
    RecordFault::Unknown(what.to_owned())
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, RecordFault> {
        let (first, rest) = self.0.split_first().ok_or_else(|| unknown("a field is cut off"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, RecordFault> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(unknown("a number has more than 64 bits"))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, RecordFault> {
        Ok(Timestamp::from_start(Duration::from_micros(self.number()?)))
    }

    fn text(&mut self) -> Result<&'a str, RecordFault> {
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len());
        let (text, rest) = self.0.split_at(length.ok_or_else(|| unknown("a text is cut off"))?);
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| unknown("a text is no UTF-8"))
    }

    pub(super) fn name<T>(
        &mut self,
        what: &str,
        parse: impl Fn(&'a str) -> Result<T, InvalidName>,
    ) -> Result<T, RecordFault> {
        parse(self.text()?).map_err(|fault| RecordFault::Unknown(format!("its {what} is no name: {fault}")))
    }

    /// A completed request and the generation of its agent.
    pub(super) fn completed(&mut self) -> Result<(Request, u64), RecordFault> {
        Ok((self.request()?, self.number()?))
    }

    /// An agent, the generation it came to or had, and when.
    pub(super) fn change(&mut self) -> Result<(AgentId, u64, Timestamp), RecordFault> {
        Ok((self.name("agent", AgentId::new)?, self.number()?, self.time()?))
    }

    pub(super) fn request(&mut self) -> Result<Request, RecordFault> {
        let id = RequestId(self.number()?);
        let agent = self.name("agent", AgentId::new)?;
        let kind = self.name("kind", Kind::new)?;
        let flags = self.byte()?;
        let has = |flag| flags & flag != 0;
        let priority =
            Priority::try_from(self.byte()?).map_err(|fault| RecordFault::Unknown(fault.to_string()))?;
        let (submitted, ended) = (self.time()?, self.point()?);
        let mut profile = Profile::new(kind);
        for _ in 0..self.number()? {
            profile.capabilities.push(self.name("capability", Capability::new)?);
        }
        if has(NAME) {
            profile.name = Some(self.text()?.to_owned());
        }
        if has(LOCATION) {
            profile.location = Some(self.text()?.to_owned());
        }
        if has(METADATA) {
            let metadata = serde_json::from_str::<Map<_, _>>(self.text()?);
            profile.metadata = metadata.map_err(|fault| RecordFault::Unknown(fault.to_string()))?;
        }
        if has(TENANT) {
            profile.tenant = Some(self.name("tenant", Tenant::new)?);
        }
        let mut request = Request::with_profile(id, agent, Arc::new(profile), submitted).priority(priority);
        if has(LEASE) {
            request.lease = Some(self.lease()?);
        }
        let mut time = |flag| if has(flag) { self.point().map(Some) } else { Ok(None) };
        let request = request.with_times(time(VALIDATING)?, time(REGISTERING)?, time(DEADLINE)?);
        Ok(request.concluded(Status::Completed, ended))
    }

    /// A point of the clock that has come.
    fn point(&mut self) -> Result<Timestamp, RecordFault> {
        let time = self.time()?;
        if time == Timestamp::END {
            Err(unknown("something happened at the end of the clock"))
        } else {
            Ok(time)
        }
    }

    fn lease(&mut self) -> Result<Duration, RecordFault> {
        let (seconds, nanoseconds) = (self.number()?, self.number()?);
        let nanoseconds = u32::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds < 1_000_000_000);
        Ok(Duration::new(seconds, nanoseconds.ok_or_else(|| unknown("a second has more than 10^9 ns"))?))
    }

    /// The same request, ended as it says here.
    pub(super) fn end(&mut self, request: Request) -> Result<Request, RecordFault> {
        let status = match self.byte()? {
            CANCELLED => Status::Cancelled,
            FAILED => Status::Failed(self.text()?.to_owned()),
            other => return Err(RecordFault::Unknown(format!("{other} stands for no end of a request"))),
        };
        let ended = request.ended().unwrap_or(request.submitted);
        Ok(request.concluded(status, ended))
    }
}
