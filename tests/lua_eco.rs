//! What lua-eco's own HTTP test asks of its server, asked of ours under both drivers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{Client, Dir, Driver, LOCAL, Running};
use ecohttpd::{Connection, FormEvent, Options, Request, Result, Server, Status, param};

async fn form(con: &mut Connection, req: &mut Request) -> Result {
    let (mut name, mut note, mut file) = (String::new(), String::new(), 0);
    let mut current = String::new();
    loop {
        match con.read_formdata(req).await? {
            FormEvent::Header { name: "content-disposition", value } => {
                current = param(value, "name").unwrap_or_default().into_owned();
            }
            FormEvent::Header { .. } => {}
            FormEvent::Body { data, .. } => match current.as_str() {
                "name" => name.push_str(std::str::from_utf8(data).unwrap()),
                "note" => note.push_str(std::str::from_utf8(data).unwrap()),
                "file" => file += data.len(),
                other => panic!("{other}"),
            },
            FormEvent::End => break,
        }
    }
    con.add_header("content-type", "text/plain")?;
    con.send((name, "|", note, "|", file.to_string())).await
}

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/ready" => {
            con.add_header("content-length", "2")?;
            con.send("ok").await
        }
        "/query" => {
            let a = req.query_value("a").unwrap_or_default();
            con.add_header("x-query-a", &a)?;
            con.send(a).await
        }
        "/echo" => {
            con.set_body_timeout(2);
            let body = con.read_body_to_end(1 << 20).await?;
            con.add_header("x-echo-len", &body.len().to_string())?;
            con.send(body).await
        }
        "/chunked" => {
            con.add_header("content-type", "text/plain")?;
            con.send("chunk-").await?;
            con.send("body").await
        }
        "/upload-form" => form(con, req).await,
        "/missing" => con.send_error_with(Status::NOT_FOUND, "", "missing").await,
        "/redirect" => con.redirect(Status::FOUND, "/index.html").await,
        _ => con.serve_file(req).await,
    }
}

fn with_server(test: impl Fn(Driver, std::net::SocketAddr)) {
    for driver in Driver::all() {
        let dir = Dir::new();
        dir.write("root/index.html", "hello-http-index");
        dir.write("outside.txt", "outside-data");
        let options =
            Options { docroot: dir.path("root"), http_keepalive: 2, ..Options::default() };
        let server = Running::start(
            driver,
            || Server::new(options).bind(LOCAL),
            async |server| server.serve(handler).await,
        );
        test(driver, server.addr);
        server.stop().unwrap();
    }
}

#[test]
fn what_lua_eco_asks() {
    with_server(|driver, addr| {
        let get = |path: &str| Client::connect(addr).get(path, "");

        let r = get("/query?a=hello%20eco");
        assert_eq!(
            (r.status, r.text(), r.header("x-query-a")),
            (200, "hello eco", Some("hello eco"))
        );

        let r = get("/chunked");
        assert_eq!((r.status, r.text()), (200, "chunk-body"), "{driver:?}");

        let r = Client::connect(addr).request("POST", "/echo", "", b"payload");
        assert_eq!((r.status, r.text(), r.header("x-echo-len")), (200, "payload", Some("7")));

        let form = b"--XX\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\neco\r\n--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nok\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload.bin\"\r\nContent-Type: application/octet-stream\r\n\r\nABCDE\r\n--XX--\r\n";
        let kind = "Content-Type: multipart/form-data; boundary=XX\r\n";
        let mut client = Client::connect(addr);
        let r = client.request("POST", "/upload-form", kind, form);
        assert_eq!((r.status, r.text()), (200, "eco|ok|5"));
        assert_eq!(client.get("/ready", "").text(), "ok", "the connection outlives a form");

        let r = get("/index.html");
        assert_eq!(
            (r.status, r.text(), r.header("content-length")),
            (200, "hello-http-index", Some("16"))
        );
        let etag = r.header("etag").unwrap().to_owned();
        let r = Client::connect(addr).get("/index.html", &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((r.status, r.header("transfer-encoding"), r.body.len()), (304, None, 0));

        let r = Client::connect(addr).request("HEAD", "/index.html", "", b"");
        assert_eq!((r.status, r.header("content-length")), (200, Some("16")));

        let r = get("/missing");
        assert_eq!((r.status, r.text()), (404, "missing"));
        let r = get("/redirect");
        assert_eq!((r.status, r.header("location")), (302, Some("/index.html")));
        let r = get("/..%2Foutside.txt");
        assert_eq!((r.status, r.text()), (403, ""));

        let mut client = Client::connect(addr);
        client.send(
            "GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(client.response("GET").status, 400);
        assert!(client.is_closed());
        assert_eq!(get("/ready").text(), "ok");
    });
}

#[test]
fn eight_workers_by_sixty_requests() {
    with_server(|driver, addr| {
        let workers: Vec<_> = (1..=8)
            .map(|w| {
                std::thread::spawn(move || {
                    let mut client = Client::connect(addr);
                    for i in 1..=60 {
                        let payload = format!("worker-{w}-loop-{i}");
                        let r = client.request("POST", "/echo", "", payload.as_bytes());
                        assert_eq!((r.status, r.text()), (200, payload.as_str()), "{driver:?}");
                        if i % 10 == 0 {
                            assert_eq!(client.get("/chunked", "").text(), "chunk-body");
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
