//! Forms, from the client's bytes to the handler's events.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::fs::File;
use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use common::{Client, Dir, Driver, LOCAL, Process, Running, example, pattern};
use ecohttpd::{Connection, Error, FormEvent, Options, Request, Result, Server, param};

/// A part as the handler got it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    headers: Vec<(String, String)>,
    content: Vec<u8>,
    finished: bool,
}

/// What came of one form.
#[derive(Debug, Default)]
struct Form {
    parts: Vec<Part>,
    error: Option<String>,
}

impl Form {
    fn finished(&self) -> usize {
        self.parts.iter().filter(|part| part.finished).count()
    }
}

async fn read(con: &mut Connection, req: &mut Request, form: &mut Form) -> Result {
    let stop = req.query_value("stop").is_some();
    loop {
        let event = con.read_formdata(req).await?;
        if event == FormEvent::End {
            break;
        }
        if form.parts.last().is_none_or(|part| part.finished) {
            form.parts.push(Part::default());
        }
        let part = form.parts.last_mut().unwrap();
        match event {
            FormEvent::Header { name, value } => {
                assert!(part.content.is_empty(), "headers come first");
                part.headers.push((name.to_owned(), value.to_owned()));
            }
            FormEvent::Body { data, last } => {
                assert!(data.len() <= 8192 && (last || !data.is_empty()));
                part.content.extend_from_slice(data);
                part.finished = last;
                if stop {
                    return con.send("stopped").await;
                }
            }
            FormEvent::End => {}
        }
    }
    assert_eq!(con.read_formdata(req).await?, FormEvent::End, "the end stays the end");
    con.send("ok").await
}

struct Setting {
    addr: SocketAddr,
    forms: mpsc::Receiver<Form>,
}

impl Setting {
    fn form(&self) -> Form {
        self.forms.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

/// Under both drivers at once, each in a thread of its name, against a server of its own.
fn with_server(options: &Options, test: impl Fn(Setting) + Sync) {
    std::thread::scope(|scope| {
        for driver in Driver::all() {
            let (options, test) = (options.clone(), &test);
            let (tell, forms) = mpsc::channel();
            let handler = async move |con: &mut Connection, req: &mut Request| {
                let mut form = Form::default();
                let result = match req.path() {
                    "/form" => read(con, req, &mut form).await,
                    _ => return con.send("next").await,
                };
                form.error = result.as_ref().err().map(Error::to_string);
                tell.send(form).unwrap();
                result
            };
            let run = move || {
                let server = Running::start(
                    driver,
                    || Server::new(options).bind(LOCAL),
                    async |server: Server| server.serve(handler).await,
                );
                test(Setting { addr: server.addr, forms });
            };
            let thread = std::thread::Builder::new().name(format!("{driver:?}"));
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

fn head(kind: &str, len: usize) -> String {
    format!(
        "POST /form HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n"
    )
}

const KIND: &str = "multipart/form-data; boundary=XX";

/// Three parts: one with what is almost a delimiter in it, an empty one, one without headers.
const SMALL: &str = concat!(
    "--XX\r\nA: 1\r\nContent-Type: text/plain\r\n\r\nr\r\n--X\r\n--XXY\r\r\n-\r\n--\r\n",
    "--XX\r\nA:2\r\n\r\n\r\n",
    "--XX\r\n\r\n--XX--\r\n--XX--\r\n",
);

fn small() -> Vec<Part> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let part = |headers, content: &str| Part { headers, content: content.into(), finished: true };
    vec![
        part(
            vec![header("a", "1"), header("content-type", "text/plain")],
            "r\r\n--X\r\n--XXY\r\r\n-\r\n--",
        ),
        part(vec![header("a", "2")], ""),
        part(vec![], "--XX--"),
    ]
}

#[test]
fn names_are_those_that_were_meant() {
    let dispositions = [
        (r#"form-data; name="text""#, Some("text"), None),
        (r#"form-data; name=plain; filename=a.txt"#, Some("plain"), Some("a.txt")),
        (r#"form-data; name="q"; filename="a\"b;c=d.bin""#, Some("q"), Some("a\"b;c=d.bin")),
        (r#"form-data; name="p"; filename="C:\new\x.txt""#, Some("p"), Some(r"C:\new\x.txt")),
        ("form-data; name=\"ü\"; filename=\"日本.txt\"", Some("ü"), Some("日本.txt")),
        (
            "form-data; filename=\"n.txt\"; filename*=UTF-8''na%C3%AFve.txt; name=x",
            Some("x"),
            Some("naïve.txt"),
        ),
        (
            "form-data; name=c; filename*0=\"long\"; filename*1=\"er.txt\"",
            Some("c"),
            Some("longer.txt"),
        ),
        (r#"form-data; name="""#, Some(""), None),
        ("form-data", None, None),
    ];
    let mut form = String::new();
    for (value, ..) in &dispositions {
        form += &format!("--XX\r\ncontent-DISPOSITION:  {value} \r\n\r\n{value}\r\n");
    }
    form += "--XX--\r\n";
    with_server(&Options::default(), |it| {
        let mut client = Client::connect(it.addr);
        client.send(head(KIND, form.len()) + &form);
        assert_eq!(client.response("POST").text(), "ok");
        let parts = it.form().parts;
        assert_eq!(parts.len(), dispositions.len());
        for (part, (value, name, file)) in parts.iter().zip(dispositions) {
            assert_eq!(part.headers, [("content-disposition".to_owned(), value.to_owned())]);
            assert_eq!(param(&part.headers[0].1, "name").as_deref(), name, "{value}");
            assert_eq!(param(&part.headers[0].1, "filename").as_deref(), file, "{value}");
            assert_eq!((part.content.as_slice(), part.finished), (value.as_bytes(), true));
        }
    });
}

#[test]
fn a_form_may_be_cut_anywhere() {
    with_server(&Options::default(), |it| {
        let mut client = Client::connect(it.addr);
        let mut request = head(KIND, SMALL.len()).into_bytes();
        let start = request.len();
        request.extend_from_slice(SMALL.as_bytes());
        for cut in start..request.len() {
            client.send(&request[..cut]);
            std::thread::sleep(Duration::from_millis(2));
            client.send(&request[cut..]);
            assert_eq!(client.response("POST").text(), "ok", "cut at {}", cut - start);
            assert_eq!(it.form().parts, small(), "cut at {}", cut - start);
        }
        // All of these were one connection, which goes on.
        assert_eq!(client.get("/next", "").text(), "next");
        for byte in &request {
            client.send([*byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.response("POST").text(), "ok");
        assert_eq!(it.form().parts, small());
    });
}

#[test]
fn a_form_may_come_in_chunks() {
    with_server(&Options::default(), |it| {
        let mut client = Client::connect(it.addr);
        for size in [1, 2, 3, 7, 1000] {
            let mut body = String::new();
            for chunk in SMALL.as_bytes().chunks(size) {
                body +=
                    &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap());
            }
            client.send(format!(
                "POST /form HTTP/1.1\r\nHost: h\r\nContent-Type: {KIND}\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\nX-T: 1\r\n\r\n"
            ));
            assert_eq!(client.response("POST").text(), "ok", "{size}");
            assert_eq!(it.form().parts, small(), "{size}");
        }
        assert_eq!(client.get("/next", "").text(), "next");
    });
}

#[test]
fn what_surrounds_the_parts_is_skipped() {
    with_server(&Options::default(), |it| {
        let mut client = Client::connect(it.addr);
        let epilogue = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
        for form in [
            format!("preamble\r\n--X\r\nmore of it\r\n{SMALL}"),
            format!("\r\n{SMALL}"),
            SMALL.replace("--XX\r\nA", "--XX \t \r\nA"),
            SMALL.replace("\r\n--XX--\r\n--XX--\r\n", "\r\n--XX--\r\n--XX--"),
            format!("{SMALL}{epilogue}"),
        ] {
            client.send(head(KIND, form.len()) + &form);
            assert_eq!(client.response("POST").text(), "ok", "{form:.99}");
            assert_eq!(it.form().parts, small(), "{form:.99}");
        }
        // What a handler leaves of a form is skipped as well.
        client.send(head(KIND, SMALL.len()).replacen("/form", "/form?stop", 1) + SMALL);
        assert_eq!(client.response("POST").text(), "stopped");
        assert_eq!(client.get("/next", "").text(), "next");
    });
}

#[test]
fn boundaries_are_what_the_standard_allows() {
    with_server(&Options::default(), |it| {
        let most = "b".repeat(70);
        let send = |parameter: &str, boundary: &str| {
            let form = SMALL.replace("XX", boundary);
            let mut client = Client::connect(it.addr);
            client.send(
                head(&format!("Multipart/Form-Data; charset=utf-8; {parameter}"), form.len())
                    + &form,
            );
            (client.response("POST").status, it.form().finished())
        };
        for boundary in ["----WebKitFormBoundaryABC123", "'()+_,-./:=?", "a b", &most] {
            assert_eq!(send(&format!("boundary=\"{boundary}\""), boundary), (200, 3), "{boundary}");
        }
        assert_eq!(send(&format!("Boundary={most}"), &most), (200, 3));
        for parameter in
            ["boundary=", "boundary=\"\"", "boundary=\"a \"", "x=y", &format!("boundary={most}b")]
        {
            assert_eq!(send(parameter, "XX"), (400, 0), "{parameter}");
        }
    });
}

#[test]
fn a_part_that_was_cut_off_is_never_finished() {
    // Each ends with its delimiter and the two bytes that make it one. The third part's content
    // looks like the end of the form, but for the line end before it.
    let end = |tail: &str| SMALL.find(tail).unwrap() + "\r\n--XX\r\n".len();
    let ends = [end("\r\n--XX\r\nA:2"), end("\r\n--XX\r\n\r\n--XX"), SMALL.len() - 2];
    with_server(&Options::default(), |it| {
        for cut in 0..SMALL.len() - 2 {
            let finished = ends.iter().filter(|end| cut >= **end).count();
            // The client hangs up, or says that this was all.
            for announced in [SMALL.len(), cut] {
                let mut client = Client::connect(it.addr);
                client.send(head(KIND, announced) + &SMALL[..cut]);
                if announced != cut {
                    client.stream.shutdown(Shutdown::Write).unwrap();
                }
                let r = client.response("POST");
                assert_eq!((r.status, r.header("connection")), (400, Some("close")), "{cut}");
                assert!(client.is_closed());
                let form = it.form();
                assert_eq!(form.error.as_deref(), Some("request body cut short"), "{cut}");
                assert_eq!(form.finished(), finished, "{cut}: {form:?}");
            }
        }
    });
}

#[test]
fn a_form_that_stops_arriving_is_answered_with_408() {
    with_server(&Options { body_timeout: 1, ..Options::default() }, |it| {
        let mut client = Client::connect(it.addr);
        client.send(head(KIND, 1000) + &SMALL[..SMALL.len() - 4]);
        assert_eq!(client.response("POST").status, 408);
        let form = it.form();
        assert_eq!((form.error.as_deref(), form.finished()), (Some("timed out"), 2));
    });
}

#[test]
fn what_is_no_form_or_too_much_of_one_is_refused() {
    with_server(&Options { max_form_parts: 3, max_part_head: 100, ..Options::default() }, |it| {
        let send = |kind: &str, form: &str| {
            let mut client = Client::connect(it.addr);
            client.send(head(kind, form.len()) + form);
            let r = client.response("POST");
            assert_eq!(r.header("connection").is_some(), r.status != 200);
            (r.status, it.form().finished())
        };
        assert_eq!(send(KIND, SMALL), (200, 3));
        assert_eq!(send(KIND, "--XX--"), (200, 0), "an empty form is one");
        assert_eq!(send(KIND, &format!("--XX\r\n\r\n\r\n{SMALL}")).0, 413);
        let name = |n| format!("--XX\r\nA: {}\r\n\r\nx\r\n--XX--\r\n", "a".repeat(n));
        assert_eq!(send(KIND, &name(93)), (200, 1));
        assert_eq!(send(KIND, &name(94)), (413, 0));
        assert_eq!(send(KIND, &name(9000)), (413, 0));
        let many = format!("--XX\r\n{}\r\nx\r\n--XX--\r\n", "A: b\r\n".repeat(30));
        assert_eq!(send(KIND, &many), (413, 0));
        assert_eq!(send(KIND, &format!("{}\r\n{SMALL}", "p".repeat(9000))), (413, 0));
        for form in [
            "--XXjunk\r\n\r\nx\r\n--XX--",
            "--XX\r\nno colon\r\n\r\nx\r\n--XX--",
            "--XX\r\nA: a\nB: b\r\n\r\n--XX--",
        ] {
            assert_eq!(send(KIND, form), (400, 0), "{form:?}");
        }
        for kind in ["application/x-www-form-urlencoded", "multipart/mixed; boundary=XX", ""] {
            assert_eq!(send(kind, SMALL), (415, 0), "{kind}");
        }
    });
}

#[test]
fn large_parts_come_whole() {
    with_server(&Options::default(), |it| {
        let mut client = Client::connect(it.addr);
        for content in [pattern(3 << 20), b"\r\n--X".repeat(100_000), vec![b'\r'; 1 << 20]] {
            let form = [b"--XX\r\nA: b\r\n\r\n", &content[..], b"\r\n--XX--\r\n"].concat();
            client.send(head(KIND, form.len()));
            client.send(&form);
            assert_eq!(client.response("POST").text(), "ok");
            let parts = it.form().parts;
            assert!(parts.len() == 1 && parts[0].finished && parts[0].content == content);
        }
    });
}

#[test]
fn memory_stays_where_it_was() {
    let dir = Dir::new();
    let mut command = example("upload");
    command.args(["0", dir.text()]);
    let server = Process::start(command);
    let upload = |name: &str, pieces: u32| {
        let mut client = Client::connect(server.addr);
        let start = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        let end = "\r\n--XX--\r\n";
        let len = start.len() + ((pieces as usize) << 20) + end.len();
        client.send(head(KIND, len).replacen("/form", "/upload", 1) + &start);
        let mut piece = pattern(1 << 20);
        for i in 0..pieces {
            piece[..4].copy_from_slice(&i.to_be_bytes());
            client.send(&piece);
        }
        client.send(end);
        let r = client.response("POST");
        assert_eq!((r.status, r.header("location")), (303, Some("/uploads/")));
    };
    // Whatever is set up or paged in once, is by now.
    upload("small.bin", 2);
    let before = server.status("VmRSS");
    upload("large.bin", 300);
    let peak = server.status("VmHWM");
    assert!(peak < before + 4096, "{before} KiB and at most {peak} KiB");

    let mut file = File::open(dir.path("large.bin")).unwrap();
    let (mut expected, mut got) = (pattern(1 << 20), vec![0; 1 << 20]);
    for i in 0..300_u32 {
        expected[..4].copy_from_slice(&i.to_be_bytes());
        file.read_exact(&mut got).unwrap();
        assert!(got == expected, "in MiB {i}");
    }
    assert_eq!(file.read(&mut got).unwrap(), 0);
}
