//! Events that come faster than the monitor takes them in: what is on the way stays bounded, and nothing is lost in silence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use phalanx::{
    monitor::{Event, EventKind, MonitorOptions, QueryStatus, Severity},
    prelude::*,
    supervisor::{Backoff, Intensity, RestartPolicy},
};

use crate::support::quiet_panics;

/// What one event without data takes, and a bound that is a multiple of that.
const EVENT: usize = 256;
const ROOM: usize = 1_000;

fn bounded() -> MonitorOptions {
    MonitorOptions { in_transit_bytes: ROOM * EVENT, ..MonitorOptions::default() }
}

fn event(host: &Host, severity: Severity) -> Event {
    Event::new(EventKind::SystemEvent, severity, "flood", "flood.event", host.now())
}

#[test]
fn a_flood_of_records_is_bounded_and_the_least_severe_give_way_first() {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(async {
        let host = Host::builder().simulated(7).monitor(bounded()).start().await.unwrap();
        host.sleep(Duration::from_secs(1)).await;
        for round in 1..=3_u64 {
            // The monitor has no turn while this goes on.
            let admitted = Severity::ALL
                .map(|severity| (0..5 * ROOM).filter(|_| host.record(event(&host, severity))).count());
            assert_eq!(admitted, [600, 100, 100, 100, 100], "round {round}");
            let status = host.protocols().monitor.send(QueryStatus).await.unwrap();
            let refused = admitted.map(|admitted| (5 * ROOM - admitted) as u64 * round);
            assert_eq!(status.refused, refused);
        }
        let report = host.shutdown(Duration::from_secs(1)).await;
        assert_eq!(report.monitor.unwrap().refused.iter().sum::<u64>(), 3 * 24 * 1_000);
    });
}

struct Crasher;

impl Actor for Crasher {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Context<Self>) {
        panic!("killed by the test");
    }
}

impl Supervised for Crasher {}

impl Agent for Crasher {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

#[test]
fn floods_from_many_threads_and_endless_crashes_are_recorded_or_counted_and_hide_no_end() {
    quiet_panics();
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    System::new().block_on(async move {
        let tap = move |event: &Event| {
            count.fetch_add(u64::from(event.source.as_str() == "flood"), Ordering::Relaxed);
        };
        let host = Host::builder().arbiters(2).monitor(bounded()).tap(tap).start().await.unwrap();
        let intensity = Intensity { restarts: u32::MAX, within: Duration::ZERO };
        let supervision = Supervision { policy: RestartPolicy::Permanent, intensity, backoff: Backoff::NONE };
        let options = AgentOptions { supervision, arbiter: Some(1), ..AgentOptions::default() };
        let ids = (0..8).map(|i| AgentId::new(format!("c/{i}")).unwrap()).collect();
        let crashers = host.spawn_many(ids, options, |_| Crasher).await.unwrap();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let host = host.clone();
                std::thread::spawn(move || {
                    let severity = Severity::ALL[thread];
                    (0..20_000).filter(|_| host.record(event(&host, severity))).count() as u64
                })
            })
            .collect();
        let admitted: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        crashers.iter().for_each(AgentRef::kill);
        while host.agents() > 0 {
            host.sleep(Duration::from_millis(1)).await;
        }
        let status = host.protocols().monitor.send(QueryStatus).await.unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), admitted, "what was let in is recorded");
        assert!(status.refused.iter().sum::<u64>() >= 80_000 - admitted, "{admitted}: {status:?}");
        host.sleep(Duration::from_millis(50)).await;
        host.verify().unwrap();
        assert!(host.agent("c/0").is_err(), "the registrar heard of every end");
        host.shutdown(Duration::from_secs(5)).await;
    });
}
