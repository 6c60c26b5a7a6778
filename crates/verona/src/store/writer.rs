//! The thread that writes: what all shards ask for at one time becomes one transaction.

use super::{Engine, Error, Write};
use crate::accounts;
use crate::metrics::StoreMeters;
use crate::state::State;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stox::gateway::Input;
use stox::route::Router;
use stox::store::{SaveToken, is_shared};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Bytes of records that may wait to be written; beyond, they are refused. Thousands of them, which is what a second of refreshes brings.
const BUDGET: usize = 16 << 20;

/// What a record takes besides its bytes while it waits.
const OVERHEAD: usize = 192;

/// The most changes in one transaction.
const BATCH: usize = 4096;

/// The records that a shard gets at once when it begins.
const LOAD: usize = 256;

/// How long it takes from an error to the first try to begin anew, and the longest that it comes to when that fails again and again.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A disk that takes longer over one transaction hangs: nothing more is put into the line behind it.
const HANGS: Duration = Duration::from_secs(10);

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What became of its wishes, or its records.
    Inputs(Vec<Input>),
    /// It has had all its records.
    Restored,
}

/// The way to the shards. It may block: a shard never waits for the store.
pub(crate) type Answers = Box<dyn FnMut(usize, Answer) + Send>;

#[derive(Debug)]
enum Job {
    Save {
        shard: usize,
        token: SaveToken,
        write: Write,
        held: OwnedSemaphorePermit,
    },
    Restore {
        shard: usize,
    },
    /// Something about accounts, which no shard asks for.
    Accounts {
        request: accounts::Request,
        answer: oneshot::Sender<accounts::Answer>,
    },
}

/// The shards' end. Cheap to clone; when the last one is dropped, what waits is written, and the store is closed.
#[derive(Debug, Clone)]
pub(crate) struct Saver {
    // Bounded by the budget.
    jobs: mpsc::UnboundedSender<Job>,
    budget: Arc<Semaphore>,
    /// Since when a transaction is being written.
    writing: Arc<Mutex<Option<Instant>>>,
    /// How long one may take.
    pub(super) patience: Duration,
    state: Arc<State>,
    meters: StoreMeters,
}

impl Saver {
    /// Asks for a change, whose outcome the shard is told. False: too much waits already, or the disk hangs, and there will be no outcome.
    pub(crate) fn save(&self, shard: usize, token: SaveToken, write: Write) -> bool {
        let bytes = OVERHEAD + write.key.len() + write.value.as_ref().map_or(0, Vec::len);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let held = if self.hangs() { None } else { Arc::clone(&self.budget).try_acquire_many_owned(bytes).ok() };
        let sent = held.is_some_and(|held| self.jobs.send(Job::Save { shard, token, write, held }).is_ok());
        match sent {
            true => self.meters.queue.increment(1.0),
            false => self.meters.failures.increment(1),
        }
        sent
    }

    /// Does something about accounts. All shards hear of what it changes.
    pub(crate) async fn perform(&self, request: accounts::Request) -> accounts::Answer {
        const DOWN: &str = "the store does not work now";
        let (answer, is_answered) = oneshot::channel();
        if self.hangs() || self.jobs.send(Job::Accounts { request, answer }).is_err() {
            return accounts::Answer::refused(DOWN);
        }
        is_answered.await.unwrap_or_else(|_| accounts::Answer::refused(DOWN))
    }

    fn hangs(&self) -> bool {
        // Held until it is told, so that the writer's own word comes after it.
        let since = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = since.is_some_and(|since| since.elapsed() > self.patience);
        if hangs {
            self.state.store_down("the disk has not answered for a long time");
        }
        hangs
    }

    /// Asks for all records of a shard that has lost what it knew.
    pub(crate) fn restore(&self, shard: usize) {
        let _ = self.jobs.send(Job::Restore { shard });
    }
}

/// The other end.
pub(crate) struct Writer {
    engine: Box<dyn Engine>,
    jobs: mpsc::UnboundedReceiver<Job>,
    router: Router,
    answers: Answers,
    state: Arc<State>,
    writing: Arc<Mutex<Option<Instant>>>,
    meters: StoreMeters,
    /// When to try to begin anew, after an error.
    again: Option<Instant>,
    wait: Duration,
}

impl Writer {
    pub(crate) fn new(
        engine: Box<dyn Engine>,
        router: Router,
        answers: Answers,
        state: Arc<State>,
        meters: StoreMeters,
    ) -> (Saver, Writer) {
        let (sender, jobs) = mpsc::unbounded_channel();
        let writing = Arc::new(Mutex::new(None));
        let saver = Saver {
            jobs: sender,
            budget: Arc::new(Semaphore::new(BUDGET)),
            writing: Arc::clone(&writing),
            patience: HANGS,
            state: Arc::clone(&state),
            meters: meters.clone(),
        };
        meters.records.set(engine.records() as f64);
        state.store_up();
        (saver, Writer { engine, jobs, router, answers, state, writing, meters, again: None, wait: WAIT.0 })
    }

    /// Gives every shard its records.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn restore_all(&mut self) -> Result<(), Error> {
        self.restore(None)
    }

    /// Works until nobody is left who could ask for anything.
    pub(crate) fn run(mut self, runtime: &Handle) {
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let came = match self.again {
                None => self.jobs.blocking_recv_many(&mut jobs, BATCH),
                Some(at) => {
                    match runtime.block_on(async { timeout_at(at, self.jobs.recv_many(&mut jobs, BATCH)).await }) {
                        Ok(came) => came,
                        Err(_) => {
                            self.reopen();
                            continue;
                        }
                    }
                }
            };
            if came == 0 {
                return;
            }
            self.work(&mut jobs);
        }
    }

    fn work(&mut self, jobs: &mut Vec<Job>) {
        let (mut writes, mut asked, mut restores) = (Vec::new(), Vec::new(), Vec::new());
        let mut about_accounts = Vec::new();
        for job in jobs.drain(..) {
            match job {
                Job::Save { shard, token, write, held } => {
                    writes.push(write);
                    asked.push((shard, token, held));
                }
                Job::Restore { shard } => restores.push(shard),
                Job::Accounts { request, answer } => about_accounts.push((request, answer)),
            }
        }
        if !writes.is_empty() {
            self.meters.queue.decrement(writes.len() as f64);
            let saved = self.commit(&writes);
            let mut batches = self.parts();
            for ((shard, token, held), write) in asked.into_iter().zip(writes) {
                if let Some(batch) = batches.get_mut(shard) {
                    batch.push(if saved { Input::Saved(token) } else { Input::NotSaved(token) });
                }
                drop(held);
                if saved && is_shared(&write.key) {
                    for (_, batch) in batches.iter_mut().enumerate().filter(|(other, _)| *other != shard) {
                        batch.push(Input::Changed { key: write.key.clone(), value: write.value.clone() });
                    }
                }
            }
            for (shard, batch) in batches.into_iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
                (self.answers)(shard, Answer::Inputs(batch));
            }
        }
        for (request, answer) in about_accounts {
            self.perform(request, answer);
        }
        for shard in restores {
            if let Err(e) = self.restore(Some(shard)) {
                tracing::error!(shard, error = %e, "a shard that began anew does not get its records");
                (self.answers)(shard, Answer::Restored);
            }
        }
    }

    /// Does something about accounts, and tells all shards before whoever asked for it.
    fn perform(&mut self, request: accounts::Request, answer: oneshot::Sender<accounts::Answer>) {
        // Nobody hears of it where the store does not work: whoever asked sees that the answer does not come.
        if self.again.is_some() {
            return;
        }
        match accounts::perform(&mut *self.engine, request) {
            Ok((done, write)) => {
                self.meters.records.set(self.engine.records() as f64);
                for shard in 0..self.router.shards() {
                    let Some(Write { key, value }) = write.clone() else { break };
                    (self.answers)(shard, Answer::Inputs(vec![Input::Changed { key, value }]));
                }
                let _ = answer.send(done);
            }
            Err(e) => self.broken(&e),
        }
    }

    /// Whether all of it is on disk.
    fn commit(&mut self, writes: &[Write]) -> bool {
        let begun = Instant::now();
        // Not even tried while it is known not to work: that could take long.
        let done = match self.again {
            Some(_) => None,
            None => {
                *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
                let done = self.engine.commit(writes);
                *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Some(done)
            }
        };
        match done {
            Some(Ok(())) => {
                self.wait = WAIT.0;
                // It may have looked as if it hung.
                self.state.store_up();
                self.meters.commits.increment(1);
                self.meters.seconds.record(begun.elapsed().as_secs_f64());
                self.meters.records.set(self.engine.records() as f64);
                return true;
            }
            Some(Err(e)) => self.broken(&e),
            None => {}
        }
        self.meters.failures.increment(writes.len() as u64);
        false
    }

    fn reopen(&mut self) {
        match self.engine.reopen() {
            Ok(()) => {
                self.again = None;
                self.meters.records.set(self.engine.records() as f64);
                self.state.store_up();
                tracing::info!("the store works again");
            }
            Err(e) => self.broken(&e),
        }
    }

    fn broken(&mut self, error: &Error) {
        self.state.store_down(&error.to_string());
        tracing::error!(%error, again_in = ?self.wait, "the store does not work: nothing is promised that has to be remembered");
        self.again = Some(Instant::now() + self.wait);
        self.wait = (self.wait * 2).min(WAIT.1);
    }

    /// Nothing yet for each shard.
    fn parts(&self) -> Vec<Vec<Input>> {
        (0..self.router.shards()).map(|_| Vec::new()).collect()
    }

    /// Shows the records to the shards that they belong to, or to one of them alone. A part at a time, so that they are not all in memory
    /// twice.
    fn restore(&mut self, only: Option<usize>) -> Result<(), Error> {
        let mut parts = self.parts();
        let Writer { engine, router, answers, .. } = self;
        engine.load(&mut |key, value| {
            let own = router.record(key);
            let concerned = if is_shared(key) { 0..parts.len() } else { own..own + 1 };
            for shard in concerned.filter(|shard| only.is_none_or(|only| only == *shard)) {
                let (key, value) = (key.to_vec(), value.to_vec());
                parts[shard].push(match shard == own {
                    true => Input::Restore { key, value },
                    false => Input::Changed { key, value: Some(value) },
                });
                if parts[shard].len() == LOAD {
                    answers(shard, Answer::Inputs(std::mem::take(&mut parts[shard])));
                }
            }
            true
        })?;
        for (shard, part) in parts.into_iter().enumerate().filter(|(shard, _)| only.is_none_or(|only| only == *shard)) {
            answers(shard, Answer::Inputs(part));
            answers(shard, Answer::Restored);
        }
        Ok(())
    }
}
