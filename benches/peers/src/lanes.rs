//! The two lanes that agents live on, as tokio runtimes or as actix arbiters.
//!
//! ```text
//!   Lanes::still    two current-thread runtimes, each on a processor of its own
//!   Lanes::roaming  one runtime with two workers, which moves tasks between them
//!   Lanes::actix    two arbiters of an actix system, the first of them the system's own
//! ```

use std::{sync::mpsc, thread};

use actix_rt::{Arbiter, ArbiterHandle, System};
use tokio::runtime::{Builder, Handle};

use crate::{
    load::{self, LANES},
    stage::{Crowd, Job},
};

/// Where tasks may be sent.
#[derive(Clone)]
enum Lane {
    Tokio(Handle),
    Actix(ArbiterHandle),
}

/// The lanes of a process, which last as long as it does.
#[derive(Clone)]
pub(crate) struct Lanes(Vec<Lane>);

impl Lanes {
    /// Two current-thread runtimes of tokio.
    pub(crate) fn still() -> Self {
        let start = |lane| {
            let (tell, told) = mpsc::channel();
            thread::spawn(move || {
                load::enter_lane(lane);
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
                tell.send(runtime.handle().clone()).expect("somebody waits for it");
                runtime.block_on(std::future::pending::<()>());
            });
            Lane::Tokio(told.recv().expect("a thread starts"))
        };
        Self((0..LANES).map(start).collect())
    }

    /// One multi-thread runtime of tokio.
    pub(crate) fn roaming() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(LANES)
            .enable_all()
            .on_thread_start(load::enter_next_lane)
            .build()
            .expect("a runtime starts");
        let lane = Lane::Tokio(runtime.handle().clone());
        // Its end would be the end of the tasks.
        std::mem::forget(runtime);
        Self(vec![lane])
    }

    /// Two arbiters of actix.
    pub(crate) fn actix() -> Self {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            load::enter_lane(0);
            System::new().block_on(async move {
                let second = Arbiter::new();
                second.spawn_fn(|| load::enter_lane(1));
                tell.send([Arbiter::current(), second.handle()]).expect("somebody waits for them");
                std::future::pending::<()>().await;
            });
        });
        Self(told.recv().expect("a thread starts").map(Lane::Actix).into())
    }

    /// How many of them tasks are bound to: one when they roam.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs a task on a lane.
    pub(crate) fn spawn(&self, lane: usize, job: Job) {
        match &self.0[lane % self.count()] {
            Lane::Tokio(handle) => _ = handle.spawn(job),
            Lane::Actix(arbiter) => assert!(arbiter.spawn(job), "arbiters last as long as the process"),
        }
    }

    /// Runs a task on a lane and waits for its result. Must not be called on a lane.
    pub(crate) fn on<T: Send + 'static>(
        &self,
        lane: usize,
        task: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::channel();
        let job = async move {
            let _ = tell.send(task.await);
        };
        self.spawn(lane, Box::pin(job));
        told.recv().expect("the task ends without a panic")
    }

    /// Makes the agents of a crowd: `make` is called on the lane of each, with its topic. They come by topics, and within a
    /// topic in the order of their turns.
    pub(crate) fn cast<A, F>(
        &self,
        crowd: Crowd,
        make: impl Fn(usize) -> F + Clone + Send + 'static,
    ) -> Vec<Vec<A>>
    where
        A: Send + 'static,
        F: Future<Output = A> + Send,
    {
        (0..crowd.topics).map(|topic| self.cast_topic(crowd, topic, &make)).collect()
    }

    fn cast_topic<A, F>(
        &self,
        crowd: Crowd,
        topic: usize,
        make: &(impl Fn(usize) -> F + Clone + Send + 'static),
    ) -> Vec<A>
    where
        A: Send + 'static,
        F: Future<Output = A> + Send,
    {
        let side = |turn| {
            let lane = (crowd.first_lane + turn) % self.count();
            // Lanes that tasks are not bound to are one side for all.
            let agents = if self.count() == 1 { crowd.agents } else { crowd.on_lane(lane) };
            let make = make.clone();
            let all = self.on(lane, async move {
                let mut own = Vec::with_capacity(agents);
                for _ in 0..agents {
                    own.push(make(topic).await);
                }
                own
            });
            all.into_iter()
        };
        let mut sides: Vec<_> = (0..self.count()).map(side).collect();
        let mut agents = Vec::with_capacity(crowd.agents);
        while agents.len() < crowd.agents {
            for side in &mut sides {
                agents.extend(side.next());
            }
        }
        agents
    }
}
