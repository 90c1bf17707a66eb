//! A launcher with a file of options that is read again.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::Signal;

use crate::common::{Client, Dir, Process};

pub const DONE: &str = "ecohttpd: reloaded";
pub const REFUSED: &str = "ecohttpd: not reloaded: what was read before stays";

/// What has a script wait until there is a file `go`, or the directory of the test has gone.
pub const WAIT: &str = "until [ -e go ] || ! [ -e f.txt ]; do sleep 0.02; done";

/// A launcher with a file of options.
pub struct Server {
    pub process: Process,
    pub dir: Dir,
}

impl Server {
    /// Serves `www` at any port, with these options beside.
    pub fn start(options: &str) -> Server {
        Server::start_with("listen_http 127.0.0.1:0\n", options)
    }

    pub fn start_with(listen: &str, options: &str) -> Server {
        let dir = Dir::new();
        dir.write("www/f.txt", "content");
        dir.write("other/f.txt", "other");
        dir.write("options", format!("{listen}home www\nconfig /dev/null\n{options}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
        // Paths count from there.
        command.args(["-f", "--options", "options"]).current_dir(&dir.0);
        Server { process: Process::start(command), dir }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.process.addr)
    }

    pub fn write(&self, options: &str) {
        // As a whole, so that none of it is read half-written.
        self.dir.write("options.new", format!("config /dev/null\n{options}"));
        std::fs::rename(self.dir.path("options.new"), self.dir.path("options")).unwrap();
    }

    /// Sends SIGHUP; what is said about it.
    pub fn hup(&mut self) -> Vec<String> {
        self.process.signal(Signal::HUP);
        let mut said = Vec::new();
        loop {
            let line = self.process.line();
            let is_last = line == DONE || line == REFUSED;
            said.push(line);
            if is_last {
                return said;
            }
        }
    }

    /// Goes on with other options; what is said beside that it does.
    pub fn reload(&mut self, options: &str) -> Vec<String> {
        self.write(options);
        let mut said = self.hup();
        assert_eq!(said.pop().as_deref(), Some(DONE), "{said:?}");
        said
    }

    /// Likewise, still at the same address, of which nothing is said.
    pub fn change(&mut self, options: &str) {
        assert_eq!(self.reload(&format!("listen_http 127.0.0.1:0\n{options}")), [""; 0]);
    }

    /// Does not go on with these; the mistakes.
    pub fn refuses(&mut self, options: &str) -> Vec<String> {
        self.write(options);
        let mut said = self.hup();
        assert_eq!(said.pop().as_deref(), Some(REFUSED), "{said:?}");
        said
    }

    pub fn script(&self, name: &str, text: &str) {
        let head = "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\n";
        self.dir.script(&format!("www/cgi-bin/{name}"), format!("{head}{text}\n"));
    }
}

pub fn is_refused(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

pub fn text(addr: SocketAddr) -> String {
    Client::connect(addr).get("/f.txt", "").text().to_owned()
}
