//! The thread that writes, between an engine that fails on request and shards that the test plays.

use super::*;
use crate::metrics::Meters;
use crate::state::State;
use base::HashKey;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use stox::gateway::Input;
use stox::route::Router;
use tokio::runtime::Handle;
use writer::Answers;

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine that fails on request, and says how much each commit brought.
struct Faulty {
    records: memory::Memory,
    broken: Arc<Mutex<Option<&'static str>>>,
    commits: mpsc::Sender<usize>,
    /// Each commit waits for a word.
    gate: mpsc::Receiver<()>,
}

impl Engine for Faulty {
    fn load(&mut self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.records.load(each)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        let _ = self.commits.send(writes.len());
        let _ = self.gate.recv();
        match *self.broken.lock().unwrap() {
            Some(why) => Err(Error::Io(io::Error::other(why))),
            None => self.records.commit(writes),
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        match *self.broken.lock().unwrap() {
            Some(why) => Err(Error::Io(io::Error::other(why))),
            None => Ok(()),
        }
    }

    fn records(&self) -> u64 {
        self.records.records()
    }
}

/// A writer between two shards that the test plays.
struct Bench {
    saver: Option<Saver>,
    answers: mpsc::Receiver<(usize, Answer)>,
    broken: Arc<Mutex<Option<&'static str>>>,
    commits: mpsc::Receiver<usize>,
    gate: Option<mpsc::Sender<()>>,
    state: Arc<State>,
    meters: Meters,
    thread: Option<std::thread::JoinHandle<()>>,
}

const SHARDS: usize = 2;

impl Bench {
    /// With these records. `gated`: each commit waits for [`Bench::let_commit`].
    fn new(records: &[Write], gated: bool) -> Bench {
        let (tell, commits) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let broken = Arc::new(Mutex::new(None));
        let mut engine =
            Faulty { records: memory::Memory::default(), broken: Arc::clone(&broken), commits: tell, gate };
        engine.records.commit(records).unwrap();
        let state = Arc::new(State::new(&[], &[]));
        let meters = Meters::new();
        let (answer, answers) = mpsc::channel();
        let told: Answers = Box::new(move |shard, what| drop(answer.send((shard, what))));
        let router = Router::new(SHARDS, HashKey::new(1, 2));
        let (saver, mut writer) = Writer::new(Box::new(engine), router, told, Arc::clone(&state), meters.store());
        let runtime = Handle::current();
        let thread = std::thread::spawn(move || {
            writer.restore_all().unwrap();
            writer.run(&runtime);
        });
        let bench = Bench {
            saver: Some(saver),
            answers,
            broken,
            commits,
            gate: gated.then_some(open),
            state,
            meters,
            thread: Some(thread),
        };
        let mut restored = 0;
        while restored < SHARDS {
            restored += usize::from(matches!(bench.answer().1, Answer::Restored));
        }
        bench
    }

    fn answer(&self) -> (usize, Answer) {
        self.answers.recv_timeout(PATIENCE).expect("a shard is told something")
    }

    /// What the next batch of outcomes says: the shard, and each token with whether it was saved.
    fn outcomes(&self) -> (usize, Vec<(u64, bool)>) {
        let (shard, answer) = self.answer();
        let Answer::Inputs(inputs) = answer else { panic!("{answer:?}") };
        let each = inputs.into_iter().map(|input| match input {
            Input::Saved(token) => (token, true),
            Input::NotSaved(token) => (token, false),
            other => panic!("{other:?}"),
        });
        (shard, each.collect())
    }

    fn save(&self, shard: usize, token: u64, write: Write) -> bool {
        self.saver.as_ref().unwrap().save(shard, token, write)
    }

    fn begun(&self) -> usize {
        self.commits.recv_timeout(PATIENCE).expect("a commit begins")
    }

    fn let_commit(&self) {
        self.gate.as_ref().unwrap().send(()).unwrap();
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.meters.render();
        page.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap_or_else(|| panic!("{name}\n{page}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_waits_becomes_one_commit_and_each_shard_is_told_in_order() {
    let mut bench = Bench::new(&[], true);
    assert!(bench.save(0, 1, put("a", "1")));
    assert_eq!(bench.begun(), 1);
    for token in 2..=7 {
        assert!(bench.save((token % 2) as usize, token, put("b", &token.to_string())));
    }
    assert_eq!(bench.metric("verona_store_queue"), 6.0);
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(1, true)]));
    assert_eq!(bench.begun(), 6);
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(2, true), (4, true), (6, true)]));
    assert_eq!(bench.outcomes(), (1, vec![(3, true), (5, true), (7, true)]));
    assert_eq!(bench.metric("verona_store_queue"), 0.0);
    assert_eq!(bench.metric("verona_store_commits_total"), 2.0);
    assert_eq!(bench.metric("verona_store_commit_seconds_count"), 2.0);
    assert_eq!((bench.metric("verona_store_records"), bench.metric("verona_store_failures_total")), (2.0, 0.0));

    // At the end what waits is written.
    assert!(bench.save(1, 8, put("c", "1")));
    assert_eq!(bench.begun(), 1);
    assert!(bench.save(1, 9, put("d", "1")));
    bench.saver = None;
    bench.gate = None;
    assert_eq!((bench.outcomes(), bench.outcomes()), ((1, vec![(8, true)]), (1, vec![(9, true)])));
    bench.thread.take().unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_that_fails_refuses_and_recovers_alone() {
    let bench = Bench::new(&[put("a", "1")], false);
    let mut bench = Bench { gate: None, ..bench };
    assert_eq!(bench.state.store_trouble(), None);
    *bench.broken.lock().unwrap() = Some("No space left on device");
    assert!(bench.save(0, 1, put("b", "1")));
    assert_eq!(bench.outcomes(), (0, vec![(1, false)]));
    assert_eq!(bench.state.store_trouble().as_deref(), Some("No space left on device"));
    assert_eq!(bench.begun(), 1);
    // Nobody waits for a disk that is known not to work.
    assert!(bench.save(1, 2, put("b", "2")));
    assert_eq!(bench.outcomes(), (1, vec![(2, false)]));
    assert!(bench.commits.try_recv().is_err());
    assert_eq!(bench.metric("verona_store_failures_total"), 2.0);

    *bench.broken.lock().unwrap() = None;
    let until = std::time::Instant::now() + PATIENCE;
    while bench.state.store_trouble().is_some() {
        assert!(std::time::Instant::now() < until, "it does not recover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(bench.save(0, 3, put("b", "3")));
    assert_eq!(bench.outcomes(), (0, vec![(3, true)]));
    assert_eq!(bench.metric("verona_store_records"), 2.0);

    // The end comes while it is broken, too.
    *bench.broken.lock().unwrap() = Some("Input/output error");
    assert!(bench.save(0, 4, put("b", "4")));
    assert_eq!(bench.outcomes(), (0, vec![(4, false)]));
    bench.saver = None;
    bench.thread.take().unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_too_much_is_refused_at_once() {
    let bench = Bench::new(&[], true);
    let megabyte = "v".repeat(1 << 20);
    assert!(bench.save(0, 0, put("first", "1")));
    assert_eq!(bench.begun(), 1);
    let taken = (1..1000).take_while(|token| bench.save(0, *token, put(&token.to_string(), &megabyte))).count();
    assert_eq!(taken, 15, "sixteen megabytes, less what the first takes");
    assert!(bench.metric("verona_store_failures_total") == 1.0);
    assert!(bench.save(1, 7, put("some", "1")), "there is room for a little");
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(0, true)]));
    assert_eq!(bench.begun(), 16);
    bench.let_commit();
    assert_eq!(bench.outcomes().1.len(), 15);
    assert_eq!(bench.outcomes(), (1, vec![(7, true)]));
    assert!(bench.save(0, 2000, put("again", &megabyte)), "and room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_hangs_gets_nothing_more_to_do() {
    let mut bench = Bench::new(&[], true);
    assert!(bench.save(0, 1, put("a", "1")));
    assert_eq!(bench.begun(), 1);
    assert!(bench.save(0, 2, put("a", "2")), "slow is not hanging");
    assert_eq!(bench.state.store_trouble(), None);
    bench.saver.as_mut().unwrap().patience = Duration::ZERO;
    assert!(!bench.save(0, 3, put("a", "3")));
    assert_eq!(bench.state.store_trouble().as_deref(), Some("the disk has not answered for a long time"));
    assert_eq!(bench.metric("verona_store_failures_total"), 1.0);
    // It answers after all.
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(1, true)]));
    assert_eq!(bench.begun(), 1);
    bench.let_commit();
    assert_eq!(bench.outcomes(), (0, vec![(2, true)]));
    assert_eq!(bench.state.store_trouble(), None);
    assert!(bench.save(0, 4, put("a", "4")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_shard_gets_its_records_and_no_others() {
    let records: Vec<Write> =
        (0..2000).map(|n| put(&format!("psuser{n}@example.net\0juliet@example.com"), &n.to_string())).collect();
    let router = Router::new(SHARDS, HashKey::new(1, 2));
    let mine = |shard| records.iter().filter(move |w| router.record(&w.key) == shard).count();
    assert!(mine(0) > 500 && mine(1) > 500);
    let bench = Bench::new(&records, false);
    for shard in [1, 0] {
        bench.saver.as_ref().unwrap().restore(shard);
        let mut got = 0;
        loop {
            match bench.answer() {
                (to, Answer::Inputs(inputs)) => {
                    assert_eq!(to, shard);
                    assert!(inputs.len() <= 256, "a part at a time");
                    for input in inputs {
                        let Input::Restore { key, .. } = input else { panic!("{input:?}") };
                        assert_eq!(router.record(&key), shard);
                        got += 1;
                    }
                }
                (to, Answer::Restored) => {
                    assert_eq!((to, got), (shard, mine(shard)));
                    break;
                }
            }
        }
    }
}
