//! Real servers for the tests: in a thread under either driver, or as the launcher's process.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::cell::Cell;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use ecohttpd::{Handle, Server};

/// Who waits for the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `ecohttpd::block_on`
    Own,
    /// `smol::block_on`
    #[cfg(feature = "async-io")]
    Smol,
}

impl Driver {
    pub fn all() -> Vec<Driver> {
        vec![
            Driver::Own,
            #[cfg(feature = "async-io")]
            Driver::Smol,
        ]
    }

    pub fn run<T>(self, future: impl Future<Output = T>) -> T {
        match self {
            Driver::Own => ecohttpd::block_on(future),
            #[cfg(feature = "async-io")]
            Driver::Smol => smol::block_on(future),
        }
    }
}

/// Any free port.
pub const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// An address that nobody listens at, for who cannot be asked which one it took. No two calls give the
/// same, and none is of those that Linux gives to whoever binds port 0 (from 32,768 on): a test beside
/// this one would take it in the moment before it is used, and be talked to in its place.
pub fn free_addr() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n =
            std::process::id().wrapping_mul(97).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(n % 22_000).unwrap();
        if let Ok(socket) = TcpListener::bind((LOCAL.ip(), port)) {
            return socket.local_addr().unwrap();
        }
    }
}

type Order = Box<dyn FnOnce(&Handle) + Send>;

/// A server in a thread of its own, drained when this goes.
pub struct Running {
    pub addr: SocketAddr,
    steer: mpsc::Sender<Order>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Running {
    /// Runs `serve`, with the server that `make` makes, under `driver`. The address is that of its
    /// first listener.
    ///
    /// ```ignore
    /// let server = Running::start(driver, || Server::new(options).bind(LOCAL), async |server| server.serve(handler).await);
    /// ```
    pub fn start<M, S>(driver: Driver, make: M, serve: S) -> Running
    where
        M: FnOnce() -> std::io::Result<Server> + Send + 'static,
        S: AsyncFnOnce(Server) -> std::io::Result<()> + Send + 'static,
    {
        let (up, is_up) = mpsc::channel();
        let (steer, steering) = mpsc::channel::<Order>();
        let thread = std::thread::spawn(move || {
            let server = make().unwrap();
            let handle = server.handle();
            up.send(server.local_addrs().unwrap()[0]).unwrap();
            let listen = async {
                loop {
                    match steering.try_recv() {
                        Ok(order) => order(&handle),
                        Err(mpsc::TryRecvError::Empty) => {}
                        Err(mpsc::TryRecvError::Disconnected) => std::future::pending().await,
                    }
                    smol::Timer::after(Duration::from_millis(10)).await;
                }
            };
            driver.run(smol::future::or(serve(server), listen))
        });
        Running { addr: is_up.recv().unwrap(), steer, thread: Some(thread) }
    }

    /// Does something with the server's handle, in its thread, and soon.
    pub fn steer(&self, order: impl FnOnce(&Handle) + Send + 'static) {
        self.steer.send(Box::new(order)).unwrap();
    }

    /// Drains it and waits for its end.
    pub fn stop(mut self) -> std::io::Result<()> {
        self.steer(Handle::drain);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.steer.send(Box::new(Handle::drain));
        }
    }
}

/// Held while a program is written: a process that begins meanwhile has it open for a moment, and
/// what somebody may write to cannot be run.
static SPAWNING: Mutex<()> = Mutex::new(());

/// The launcher, or an example, as a process; killed by its pid when this goes.
pub struct Process {
    pub addr: SocketAddr,
    pub child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// Starts the launcher with `args` and waits until it says where it listens.
    pub fn launcher(args: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
        command.args(args);
        Process::start(command)
    }

    /// Starts `command` and waits until it prints, anywhere, `listening on ADDR` or `http(s)://ADDR/`.
    pub fn start(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = {
            let _alone = SPAWNING.lock().unwrap();
            command.spawn().unwrap()
        };
        let (tell, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        drop(tell);
        let mut process = Process { addr: LOCAL, child, lines };
        process.addr = loop {
            let line = process.line();
            let rest = ["listening on ", "https://", "http://"]
                .iter()
                .find_map(|before| line.split_once(before).map(|(_, rest)| rest));
            let word = rest.and_then(|rest| rest.split(['/', ' ']).next());
            if let Some(addr) = word.and_then(|word| word.parse().ok()) {
                break addr;
            }
        };
        process
    }

    /// The next line it prints, on either output.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("a line of output")
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// A number of KiB from /proc/PID/status.
    pub fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of the test's own, removed when this goes.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ecohttpd-test-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a program that everybody may run.
    pub fn script(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let _alone = SPAWNING.lock().unwrap();
        let path = self.write(name, text);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A response as it came.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A client that takes nothing for granted.
pub struct Client<S = TcpStream> {
    pub stream: S,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }
}

impl<S: Read + Write> Client<S> {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// `GET path`, with further header lines (each with its line end).
    pub fn get(&mut self, path: &str, headers: &str) -> Response {
        self.request("GET", path, headers, b"")
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let length = match body.len() {
            0 => String::new(),
            n => format!("Content-Length: {n}\r\n"),
        };
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{length}{headers}\r\n"));
        self.send(body);
        self.response(method)
    }

    /// Some of what comes. A machine that stops for a moment interrupts whoever waits no longer than so long.
    pub fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// A line, byte by byte so that nothing else is taken.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut b = [0];
            assert_eq!(self.read(&mut b).unwrap(), 1, "the end within a line: {line:?}");
            line.push(b[0]);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }

    /// A response head; its body is still to be read.
    pub fn head(&mut self) -> Response {
        let line = self.line();
        let mut words = line.splitn(3, ' ');
        assert_eq!(words.next(), Some("HTTP/1.1"), "{line}");
        let status = words.next().unwrap().parse().unwrap();
        let reason = words.next().unwrap_or("").to_owned();
        let mut headers = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => break,
                line => {
                    let (name, value) = line.split_once(": ").expect("a header");
                    headers.push((name.to_ascii_lowercase(), value.to_owned()));
                }
            }
        }
        Response { status, reason, headers, body: Vec::new() }
    }

    /// The next response to `method`, its framing taken at its word. Panics if it is cut short.
    pub fn response(&mut self, method: &str) -> Response {
        let mut response = self.head();
        if method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304) {
            return response;
        }
        let body = &mut response.body;
        let coding = response.headers.iter().find(|(n, _)| n == "transfer-encoding");
        let length = response.headers.iter().find(|(n, _)| n == "content-length");
        match (coding, length) {
            (Some((_, coding)), None) => {
                assert_eq!(coding, "chunked");
                loop {
                    let size = self.line();
                    let size = usize::from_str_radix(&size, 16).expect("a chunk size");
                    let start = body.len();
                    body.resize(start + size, 0);
                    self.stream.read_exact(&mut body[start..]).unwrap();
                    assert_eq!(self.line(), "");
                    if size == 0 {
                        break;
                    }
                }
            }
            (None, Some((_, length))) => {
                body.resize(length.parse().unwrap(), 0);
                self.stream.read_exact(body).unwrap();
            }
            (None, None) => {
                self.stream.read_to_end(body).unwrap();
            }
            both => panic!("{both:?}"),
        }
        response
    }

    /// Whether the server has nothing more to say.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.stream.read_to_end(&mut rest), Ok(0))
    }
}

/// Bytes that tell where they are from.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// Leaves files alone until their bytes are kept.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(3100));
}

/// Whether something comes true before a slow machine's patience is over.
pub fn soon(what: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(15);
    while !what() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Whether a process runs: not if it has ended and only waits to be reaped.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The number in a file that a script writes sooner or later.
pub fn number_in(path: &Path) -> u32 {
    let read = || std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    // Another script may be writing it anew by the next time it is looked at.
    let found = Cell::new(None);
    let is_there = || {
        found.set(read());
        found.get().is_some()
    };
    assert!(soon(is_there), "no number in {}", path.display());
    found.get().unwrap()
}

/// An example that cargo has built beside this test.
pub fn example(name: &str) -> Command {
    let dir = Path::new(env!("CARGO_BIN_EXE_ecohttpd")).parent().unwrap();
    Command::new(dir.join("examples").join(name))
}
