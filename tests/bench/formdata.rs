//! Receives forms for the benchmark and stores nothing: `formdata PORT` answers with the bytes that the
//! parts of a form had.

use std::io;
use std::net::Ipv4Addr;

use ecohttpd::{Connection, FormEvent, Options, Request, Result, listen};

async fn count(con: &mut Connection, req: &mut Request) -> Result {
    let mut bytes = 0;
    loop {
        match con.read_formdata(req).await? {
            FormEvent::Header { .. } => {}
            FormEvent::Body { data, .. } => bytes += data.len(),
            FormEvent::End => return con.send(&format!("{bytes} bytes\n")).await,
        }
    }
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port = port.ok_or_else(|| io::Error::other("which port?"))?;
    ecohttpd::block_on(listen(Some(Ipv4Addr::LOCALHOST.into()), port, Options::default(), count))
}
