//! From the sockets to the shards: batches, so that one wake-up serves many messages, and a budget, so that what waits is bounded.

use std::sync::Arc;
use stox::gateway::Input;
use stox::route::Router;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The most inputs in one batch.
pub(crate) const BATCH: usize = 64;

/// Batches that may wait for one shard; beyond, whoever reads from a socket stops reading. So many that the budget is the bound: under load a
/// batch may be small, and a reader that waits for one shard would leave the others without work.
const BATCHES: usize = 512;

/// KiB of messages that may wait for all shards together, less than a tenth of a second of work: what waits longer is better kept by the
/// kernel, or dropped there, before anything was spent on it.
const BUDGET_KIB: usize = 4 * 1024;

/// What a message takes besides its bytes, read as it is.
pub(crate) const READ_OVERHEAD: usize = 1024;

/// Inputs for one shard.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) inputs: Vec<Input>,
    /// The part of the budget that the inputs take; it is free again when the batch is dropped.
    _held: Option<OwnedSemaphorePermit>,
}

/// Brings inputs to their shards. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    pub(crate) router: Router,
    shards: Arc<[mpsc::Sender<Batch>]>,
    budget: Arc<Semaphore>,
}

impl Dispatch {
    /// A dispatch to as many shards as the router knows, and the shards' ends.
    pub(crate) fn new(router: Router) -> (Dispatch, Vec<mpsc::Receiver<Batch>>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..router.shards()).map(|_| mpsc::channel(BATCHES)).unzip();
        let budget = Arc::new(Semaphore::new(BUDGET_KIB));
        (Dispatch { router, shards: senders.into(), budget }, receivers)
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Sends inputs of about `bytes` bytes to `shard`, waiting for room. Nothing happens if the shard has ended.
    pub(crate) async fn send(&self, shard: usize, inputs: Vec<Input>, bytes: usize) {
        let kib = u32::try_from((bytes / 1024).clamp(1, BUDGET_KIB)).unwrap_or(1);
        let held = Arc::clone(&self.budget).acquire_many_owned(kib).await.ok();
        if let Some(sender) = self.shards.get(shard) {
            let _ = sender.send(Batch { inputs, _held: held }).await;
        }
    }

    /// Waits until `shard` has room for a batch.
    pub(crate) async fn room(&self, shard: usize) {
        if let Some(sender) = self.shards.get(shard) {
            let _ = sender.reserve().await;
        }
    }

    /// Sends one input that takes no room worth counting, without waiting if there is room, else from a task of its own: what ends a
    /// thing must not be lost because there is much to do.
    pub(crate) fn post(&self, shard: usize, input: Input) {
        let Some(sender) = self.shards.get(shard) else { return };
        let batch = Batch { inputs: vec![input], _held: None };
        if let Err(mpsc::error::TrySendError::Full(batch)) = sender.try_send(batch) {
            let sender = sender.clone();
            tokio::spawn(async move {
                let _ = sender.send(batch).await;
            });
        }
    }
}
