//! A newsroom: topics with levels, filters with wildcards, values that are kept, a reader who comes late, and one who is
//! particular.
//!
//! ```text
//!  wire.city.council        ──┐           ┌──> chief   wire.>        all of the wire
//!  wire.city.fire           ──┤           ├──> sport   wire.sport.*  one level below sport
//!  wire.sport.chess         ──┼─ topics ──┼──> night   wire.city.*   only what is urgent
//!  wire.sport.tennis.final  ──┤           └──> late    wire.city.* and weather: comes late,
//!  weather                  ──┘                        and is told what was kept
//! ```
//!
//! Run it with `cargo run --example newsroom`. It runs in virtual time: the same output every time. It fails when a reader
//! hears anything else than the story says.

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use phalanx::{agent::Timestamp, prelude::*};

/// What goes over the wire.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Story {
    headline: &'static str,
    urgent: bool,
}

/// The weather as it is now; an older one is of no use.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Weather {
    degrees: i32,
}

/// Who read what.
type Read = Arc<Mutex<Vec<(AgentId, String)>>>;

struct Reader {
    me: Me,
    host: phalanx::host::WeakHost,
    read: Read,
}

impl Reader {
    fn note(&self, text: String) {
        let now = self.host.upgrade().map_or(Timestamp::ZERO, |host| host.now());
        println!("  {} {:<6} reads: {text}", clock(now), self.me.id);
        self.read.lock().unwrap().push((self.me.id.clone(), text));
    }
}

impl Actor for Reader {
    type Context = Context<Self>;
}

impl Supervised for Reader {}

impl Handler<Story> for Reader {
    type Result = ();

    fn handle(&mut self, story: Story, _: &mut Context<Self>) {
        self.note(story.headline.to_owned());
    }
}

impl Handler<Weather> for Reader {
    type Result = ();

    fn handle(&mut self, weather: Weather, _: &mut Context<Self>) {
        self.note(format!("{} degrees", weather.degrees));
    }
}

impl Agent for Reader {
    fn card(&self) -> Card<Self> {
        Card::new().kind("reader").accepts::<Story>().accepts::<Weather>()
    }
}

/// The day begins at eight.
fn clock(now: Timestamp) -> String {
    let minutes = 8 * 60 + now.since_start().as_secs() / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

struct Newsroom {
    host: Host,
    read: Read,
}

impl Newsroom {
    async fn employ(&self, id: &str) -> Result<(), Box<dyn Error>> {
        let (host, read) = (self.host.downgrade(), self.read.clone());
        let reader = move |me: &Me| Reader { me: me.clone(), host: host.clone(), read: read.clone() };
        self.host.spawn_with(id, AgentOptions::default(), reader).await?;
        Ok(())
    }

    /// Puts a story on a topic of the wire, which keeps its last two, and answers how many it goes to.
    fn wire(&self, topic: &str, headline: &'static str, urgent: bool) -> Result<usize, Box<dyn Error>> {
        let publisher = self.host.topic::<Story>(topic)?.keep_last(2);
        let recipients = publisher.publish(Story { headline, urgent })?.recipients;
        println!("{} {topic}: {headline}", clock(self.host.now()));
        Ok(recipients)
    }

    /// Tells the weather, whose topic keeps its last value, and answers how many it goes to.
    fn weather(&self, degrees: i32) -> Result<usize, Box<dyn Error>> {
        let publisher = self.host.topic::<Weather>("weather")?.keep_last(1);
        let recipients = publisher.publish(Weather { degrees })?.recipients;
        println!("{} weather: {degrees} degrees", clock(self.host.now()));
        Ok(recipients)
    }

    /// Waits until all has been read, and then until an hour has passed.
    async fn an_hour_later(&self) {
        self.host.idle().await;
        self.host.sleep(Duration::from_secs(3_600)).await;
    }

    /// What was read since this was asked last: who read what, in order.
    fn read(&self) -> Vec<(String, String)> {
        let read = std::mem::take(&mut *self.read.lock().unwrap());
        read.into_iter().map(|(reader, text)| (reader.to_string(), text)).collect()
    }
}

fn lines(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(reader, text)| ((*reader).to_owned(), (*text).to_owned())).collect()
}

async fn program(host: Host) -> Result<(), Box<dyn Error>> {
    let room = Newsroom { host: host.clone(), read: Read::default() };

    println!("three readers: all of the wire, one level of sport, and only what is urgent in the city");
    for id in ["chief", "sport", "night"] {
        room.employ(id).await?;
    }
    host.subscribe("wire.>", "chief").await?;
    host.subscribe("wire.sport.*", "sport").await?;
    let urgent = SubscribeOptions::new().only(|story: &Story| story.urgent);
    host.subscribe_with("wire.city.*", "night", urgent).await?;

    assert_eq!(room.wire("wire.city.council", "the council sits", false)?, 1, "the chief; it is not urgent");
    room.an_hour_later().await;
    assert_eq!(room.wire("wire.city.fire", "the mill burns", true)?, 2, "the chief and the night desk");
    room.an_hour_later().await;
    assert_eq!(room.wire("wire.sport.chess", "a draw in chess", false)?, 2, "the chief and sport");
    room.an_hour_later().await;
    assert_eq!(
        room.wire("wire.sport.tennis.final", "rain at the final", false)?,
        1,
        "two levels below sport"
    );
    room.an_hour_later().await;
    assert_eq!(
        room.read(),
        lines(&[
            ("chief", "the council sits"),
            ("chief", "the mill burns"),
            ("night", "the mill burns"),
            ("chief", "a draw in chess"),
            ("sport", "a draw in chess"),
            ("chief", "rain at the final"),
        ])
    );

    println!("the weather keeps its last value; nobody listens yet");
    for degrees in [17, 19] {
        assert_eq!(room.weather(degrees)?, 0);
    }
    room.an_hour_later().await;
    assert_eq!(room.read(), []);

    println!("a late reader: the last value of the weather, the last story of each topic of the city");
    room.employ("late").await?;
    host.subscribe_with("weather", "late", SubscribeOptions::new().replay(1)).await?;
    host.subscribe_with("wire.city.*", "late", SubscribeOptions::new().replay(1)).await?;
    host.idle().await;
    let replayed = room.read();
    assert_eq!(replayed[0], ("late".to_owned(), "19 degrees".to_owned()), "and not the 17 of before");
    assert_eq!(replayed[1..], lines(&[("late", "the council sits"), ("late", "the mill burns")]));

    println!("from now on, the late reader hears what all hear, once");
    assert_eq!(room.wire("wire.city.fire", "the mill is saved", false)?, 2, "the chief and the late reader");
    room.an_hour_later().await;
    assert_eq!(room.weather(21)?, 1, "the late reader");
    room.an_hour_later().await;
    assert_eq!(
        room.read(),
        lines(&[("chief", "the mill is saved"), ("late", "the mill is saved"), ("late", "21 degrees")])
    );

    assert!(host.unsubscribe("wire.>", "chief").await?);
    assert_eq!(room.wire("wire.sport.chess", "a win in chess", false)?, 1, "sport alone");
    host.idle().await;
    assert_eq!(room.read(), lines(&[("sport", "a win in chess")]));

    let ledger = host.shutdown(Duration::from_secs(5)).await.ledger;
    println!("{} sent, {} read, {} pending", ledger.sent, ledger.delivered, ledger.pending);
    assert_eq!((ledger.sent, ledger.delivered, ledger.pending), (13, 13, 0));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    simulate(7, program)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_reader_hears_what_the_story_says() {
        super::main().unwrap();
    }
}
