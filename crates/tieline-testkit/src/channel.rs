//! The scripted channel: a real HTTP/1.1 server on a loopback port that does what its script says.
//!
//! It runs on a thread and a runtime of its own, so that a test may be blocking, async, or under paused time, and its
//! pauses are real in each. Requests take the acts of the script in order of arrival, then the default act. `stop`
//! closes the listener and keeps the port, so that connects are refused and `resume` finds it free.
//! Bounds: [`CONNECTIONS_MAX`] open connections (further ones wait in the kernel's backlog), request limits of
//! [`Limits`], and what `seen` keeps.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc as async_mpsc, watch};

use crate::act::Act;
use crate::auto::Auto;
use crate::gate::Signal;
use crate::plan::{Plan, plan};
use crate::request::{Limits, Request};
use crate::seen::{End, Log, Seen, TooFew};

mod connection;

/// What the channel does, request by request.
#[derive(Debug, Clone)]
pub struct Script {
    acts: VecDeque<Act>,
    default: Act,
    limits: Limits,
    witness: Option<Witness>,
}

/// Whoever is told of each answer that ended.
#[derive(Clone)]
struct Witness(Arc<dyn Fn(&Seen) + Send + Sync>);

/// What the channel does with a new connection, before any request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Accept {
    #[default]
    Serve,
    /// RST at once.
    Reset,
    /// Never reads and never writes.
    Silence,
}

/// A running scripted channel; dropping it closes everything.
#[derive(Debug)]
pub struct Channel {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    // Each sender waits for its reply, so at most one command per calling thread is queued.
    commands: Option<async_mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

// === Script ===

impl Script {
    /// Answers every request rightly.
    #[must_use]
    pub fn new() -> Self {
        Self {
            acts: VecDeque::new(),
            default: Act::auto(),
            limits: Limits::default(),
            witness: None,
        }
    }

    /// Adds the act of the next request.
    #[must_use]
    pub fn then(mut self, act: impl Into<Act>) -> Self {
        self.acts.push_back(act.into());
        self
    }

    /// The act of every request after those of [`Script::then`].
    #[must_use]
    pub fn otherwise(mut self, act: impl Into<Act>) -> Self {
        self.default = act.into();
        self
    }

    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells of each answer that ended, on the channel's own thread, which waits meanwhile. Of an answer that more than
    /// 4,096 others overtook nothing is told.
    #[must_use]
    pub fn on_end(mut self, witness: impl Fn(&Seen) + Send + Sync + 'static) -> Self {
        self.witness = Some(Witness(Arc::new(witness)));
        self
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness(fn)")
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Auto> for Script {
    fn from(auto: Auto) -> Self {
        Act::from(auto).into()
    }
}

impl From<Act> for Script {
    /// The same act for every request.
    fn from(act: Act) -> Self {
        Self::new().otherwise(act)
    }
}

// === Channel ===

impl Channel {
    /// Serves on a free port of 127.0.0.1. Returns once connects succeed; may be called with and without a runtime.
    pub fn start(script: impl Into<Script>) -> io::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// As [`Channel::start`], on this address; port 0 picks one.
    pub fn start_at(address: SocketAddr, script: impl Into<Script>) -> io::Result<Self> {
        let Script {
            acts,
            default,
            limits,
            witness,
        } = script.into();
        let holder = bind(address)?;
        let address = holder.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            log: Signal::default(),
            script: Mutex::new(Queue {
                acts,
                default,
                accept: Accept::Serve,
            }),
            limits,
            witness,
        });
        let (commands, inbox) = async_mpsc::unbounded_channel();
        let server = Server {
            address,
            _holder: holder,
            shared: Arc::clone(&shared),
        };
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new()
            .name("scripted-channel".to_owned())
            .spawn(move || runtime.block_on(server.run(inbox)))?;
        let channel = Self {
            address,
            shared,
            runtime: handle,
            commands: Some(commands),
            thread: Some(thread),
        };
        channel.resume()?;
        Ok(channel)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds the act of the next request that has none.
    pub fn push(&self, act: impl Into<Act>) {
        self.shared.queue().acts.push_back(act.into());
    }

    /// Replaces the act of every request that no pushed act is left for.
    pub fn set_default(&self, act: impl Into<Act>) {
        self.shared.queue().default = act.into();
    }

    /// Pushed acts that no request has taken.
    pub fn acts_left(&self) -> usize {
        self.shared.queue().acts.len()
    }

    /// What happens to connections accepted from here on.
    pub fn set_accept(&self, accept: Accept) {
        self.shared.queue().accept = accept;
    }

    /// Closes the listener and every connection that waits for a request: connects are refused when this returns,
    /// calls in flight go on to their end. The port stays reserved.
    pub fn stop(&self) -> io::Result<()> {
        self.command(Command::Stop)
    }

    /// As [`Channel::stop`], and resets the connections of calls in flight: what a process that dies looks like.
    pub fn kill(&self) -> io::Result<()> {
        self.command(Command::Kill)
    }

    /// Listens again on the same port. No effect while it listens.
    pub fn resume(&self) -> io::Result<()> {
        self.command(Command::Resume)
    }

    fn command(&self, order: fn(Reply) -> Command) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the scripted channel's thread is gone");
        let (reply, done) = mpsc::sync_channel(1);
        self.commands
            .as_ref()
            .ok_or_else(gone)?
            .send(order(reply))
            .map_err(|_| gone())?;
        done.recv_timeout(COMMAND_WAIT).map_err(|_| gone())?
    }
}

// === Channel: what it saw ===

impl Channel {
    /// Every request that is kept, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.log.read(Log::list)
    }

    /// Requests that came whole, since the start.
    pub fn seen_count(&self) -> u64 {
        self.shared.log.read(Log::arrived)
    }

    /// Connections accepted, since the start.
    pub fn accepted_count(&self) -> u64 {
        self.shared.log.read(|log| log.accepted_count)
    }

    /// Connections open at this moment.
    pub fn open_count(&self) -> u64 {
        self.shared.log.read(|log| log.open_count)
    }

    /// Waits until `count` requests have come whole, since the start. Runs on any executor.
    pub async fn wait_seen(&self, count: u64, limit: Duration) -> Result<Vec<Seen>, TooFew> {
        self.wait(count, limit, Log::arrived).await
    }

    /// As [`Channel::wait_seen`], for answers that have ended.
    pub async fn wait_ended(&self, count: u64, limit: Duration) -> Result<Vec<Seen>, TooFew> {
        self.wait(count, limit, Log::ended).await
    }

    /// As [`Channel::wait_seen`], for threads.
    pub fn wait_seen_blocking(&self, count: u64, limit: Duration) -> Result<Vec<Seen>, TooFew> {
        self.wait_blocking(count, limit, Log::arrived)
    }

    /// As [`Channel::wait_ended`], for threads.
    pub fn wait_ended_blocking(&self, count: u64, limit: Duration) -> Result<Vec<Seen>, TooFew> {
        self.wait_blocking(count, limit, Log::ended)
    }

    /// Waits until `count` connections were accepted, since the start; false when `limit` passes first.
    #[must_use]
    pub fn wait_accepted_blocking(&self, count: u64, limit: Duration) -> bool {
        let accepted = |log: &mut Log| (log.accepted_count >= count).then_some(());
        self.shared.log.wait_blocking(limit, accepted).is_some()
    }

    /// Waits until exactly `count` connections are open; false when `limit` passes first.
    #[must_use]
    pub fn wait_open_blocking(&self, count: u64, limit: Duration) -> bool {
        self.shared
            .log
            .wait_blocking(limit, |log| (log.open_count == count).then_some(()))
            .is_some()
    }

    async fn wait(&self, wanted: u64, limit: Duration, of: fn(&Log) -> u64) -> Result<Vec<Seen>, TooFew> {
        let enough = self
            .shared
            .log
            .wait(|log| (of(log) >= wanted).then(|| log.list()));
        let passed = self.sleep(limit);
        tokio::select! {
            biased;
            list = enough => Ok(list),
            () = passed => Err(self.too_few(wanted, limit, of)),
        }
    }

    fn wait_blocking(&self, wanted: u64, limit: Duration, of: fn(&Log) -> u64) -> Result<Vec<Seen>, TooFew> {
        let enough = self
            .shared
            .log
            .wait_blocking(limit, |log| (of(log) >= wanted).then(|| log.list()));
        enough.ok_or_else(|| self.too_few(wanted, limit, of))
    }

    /// On the channel's own timer: the caller's may be paused, or there may be none.
    fn sleep(&self, time: Duration) -> tokio::time::Sleep {
        let _entered = self.runtime.enter();
        tokio::time::sleep(time)
    }

    fn too_few(&self, wanted: u64, limit: Duration, of: fn(&Log) -> u64) -> TooFew {
        self.shared.log.read(|log| TooFew {
            saw: of(log),
            wanted,
            limit,
            lines: log.lines(),
        })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // The server ends when its last sender is gone; joining it means that the port is free afterwards.
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === the thread ===

type Reply = mpsc::SyncSender<io::Result<()>>;

#[derive(Debug)]
enum Command {
    Stop(Reply),
    Kill(Reply),
    Resume(Reply),
}

#[derive(Debug)]
struct Shared {
    log: Signal<Log>,
    script: Mutex<Queue>,
    limits: Limits,
    witness: Option<Witness>,
}

#[derive(Debug)]
struct Queue {
    acts: VecDeque<Act>,
    default: Act,
    accept: Accept,
}

/// How often the channel was stopped and killed; a connection compares it with what it was when it began.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    stops: u64,
    kills: u64,
}

struct Server {
    address: SocketAddr,
    /// Bound and never listening: it keeps the port from others, also while the channel is stopped.
    _holder: TcpSocket,
    shared: Arc<Shared>,
}

impl Server {
    async fn run(self, mut inbox: async_mpsc::UnboundedReceiver<Command>) {
        let life = watch::Sender::new(Life::default());
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut listener = None;
        loop {
            tokio::select! {
                biased;
                command = inbox.recv() => match command {
                    None => break,
                    Some(command) => self.obey(command, &mut listener, &life),
                },
                (stream, slot) = accept(listener.as_ref(), &slots) => {
                    let shared = Arc::clone(&self.shared);
                    // Before the count: who waits for the count may change it.
                    let greeting = shared.queue().accept;
                    let number = shared.log.update(Log::open);
                    let serving = connection::serve(stream, (number, greeting), Arc::clone(&shared), life.subscribe());
                    tokio::spawn(async move {
                        serving.await;
                        shared.log.update(|log| log.open_count -= 1);
                        drop(slot);
                    });
                }
            }
        }
    }

    fn obey(&self, command: Command, listener: &mut Option<TcpListener>, life: &watch::Sender<Life>) {
        let (reply, result) = match command {
            Command::Stop(reply) => {
                *listener = None;
                life.send_modify(|life| life.stops += 1);
                (reply, Ok(()))
            }
            Command::Kill(reply) => {
                *listener = None;
                life.send_modify(|life| {
                    life.stops += 1;
                    life.kills += 1;
                });
                (reply, Ok(()))
            }
            Command::Resume(reply) if listener.is_some() => (reply, Ok(())),
            Command::Resume(reply) => {
                let bound = bind(self.address).and_then(|socket| socket.listen(BACKLOG));
                (reply, bound.map(|bound| *listener = Some(bound)))
            }
        };
        // The caller may have given up waiting.
        let _ = reply.send(result);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the request and plans its answer.
    fn arrive(&self, connection: u64, request: Request) -> (u64, Plan) {
        // One lock for both, so that requests take their acts in the order in which they are recorded.
        let (seen, act) = {
            let mut queue = self.queue();
            let seen = self
                .log
                .update(|log| log.arrive(connection, request, Instant::now()));
            let act = queue.acts.pop_front().unwrap_or_else(|| queue.default.clone());
            (seen, act)
        };
        let plan = plan(&act, &seen);
        self.log.update(|log| log.plan(seen.index, plan.status));
        (seen.index, plan)
    }

    fn end(&self, index: u64, end: End, sent_bytes: u64) {
        let ended = self.log.update(|log| {
            log.end(index, end, sent_bytes)
                .filter(|_| self.witness.is_some())
                .cloned()
        });
        if let (Some(Witness(tell)), Some(ended)) = (&self.witness, &ended) {
            tell(ended);
        }
    }
}

/// SO_REUSEADDR on every socket of the port: the holder and the listener share it, and TIME_WAIT does not bar it.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(
    listener: Option<&TcpListener>,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            // Out of descriptors or a connection that died in the backlog: the listener itself is sound.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// 1,024 connections of a benchmark, four times over; each costs a task and a 16 KiB buffer: 64 MiB at most.
const CONNECTIONS_MAX: usize = 4_096;
const BACKLOG: u32 = 1_024;
/// Commands are answered between two polls of the thread; five seconds mean that it is gone.
const COMMAND_WAIT: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
