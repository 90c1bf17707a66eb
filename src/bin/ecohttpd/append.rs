//! Lines that are appended to a file, without waiting for its disk.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use memchr::memchr_iter;

use crate::log::Log;
use crate::sink::{open, write};

/// How much there is room for until the disk has taken what it was given.
const QUEUE: usize = 16 << 10;

/// How long the end of the server waits for its disk.
const MOMENT: Duration = Duration::from_secs(1);

/// A file and the lines that wait for it. The helper thread writes them, in batches.
#[derive(Debug)]
pub(crate) struct Append {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Debug)]
struct State {
    file: Arc<File>,
    lines: Vec<u8>,
    /// Lines there was no room for, or that could not be written.
    lost: u32,
    /// The helper thread has lines that are not written yet.
    writing: bool,
    /// The last write gave no room, or an error.
    stuck: bool,
    /// An error was said already.
    told: bool,
    /// The file ends within a line.
    torn: bool,
    /// Whoever waits for lines.
    waker: Option<Waker>,
}

impl Append {
    /// Opens the file at `path`, and makes it if it is not there; the error names it. The path is an
    /// absolute one, as the server may go to another directory before it opens the file again.
    pub(crate) fn open(path: PathBuf) -> io::Result<Append> {
        let state = State {
            file: Arc::new(open(&path)?),
            lines: Vec::new(),
            lost: 0,
            writing: false,
            stuck: false,
            told: false,
            torn: false,
            waker: None,
        };
        let shared = Shared { state: Mutex::new(state), written: Condvar::new() };
        Ok(Append { path, shared: Arc::new(shared) })
    }

    /// Opens it anew.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = Arc::new(open(&self.path)?);
        let mut state = self.shared.lock();
        state.file = file;
        state.torn = false;
        Ok(())
    }

    /// Puts a line, which ends as a line does, into the queue if there is room.
    pub(crate) fn push(&self, line: &str) {
        let mut state = self.shared.lock();
        if state.lines.len() + line.len() > QUEUE {
            state.lost = state.lost.saturating_add(1);
            return;
        }
        state.lines.extend_from_slice(line.as_bytes());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has the lines written; it does not end.
    pub(crate) async fn run(&self, messages: &Log) {
        loop {
            poll_fn(|cx| {
                let mut state = self.shared.lock();
                if state.lines.is_empty() {
                    state.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            if let Err(e) = self.write_batch().await {
                let path = self.path.display();
                messages.line(&format!("{path}: {e}; lines of the access log are lost"));
            }
        }
    }

    /// Has all lines of the queue written in the helper thread. An error is one that was not told
    /// before.
    async fn write_batch(&self) -> io::Result<()> {
        let shared = self.shared.clone();
        let written = ecohttpd::unblock(move || Ok(shared.write_batch())).await;
        // Without a thread the lines are lost, as they would be without room on the disk.
        written.unwrap_or_else(|e| {
            let mut state = self.shared.lock();
            let lines = std::mem::take(&mut state.lines);
            state.lose(&lines);
            state.writing = false;
            state.failed(e)
        })
    }

    /// Has what is left written, and waits a moment for it.
    pub(crate) fn flush(&self) {
        let mut state = self.shared.lock();
        if !state.lines.is_empty() || state.lost > 0 {
            state.writing = true;
            drop(state);
            let mut cx = Context::from_waker(Waker::noop());
            // Polled once, it is handed over to the helper thread, behind what is under way there.
            let _ = pin!(self.write_batch()).poll(&mut cx);
            state = self.shared.lock();
        }
        let waiting = |state: &mut State| state.writing || !state.lines.is_empty();
        drop(self.shared.written.wait_timeout_while(state, MOMENT, waiting));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs in the helper thread.
    fn write_batch(&self) -> io::Result<()> {
        let mut state = self.lock();
        let mut batch = std::mem::take(&mut state.lines);
        let lost = std::mem::take(&mut state.lost);
        let note = match lost {
            0 => String::new(),
            lost => format!("# {lost} lines were lost\n"),
        };
        // Those that did not fit came after what is in the queue; what could not be written, before.
        let at = if state.stuck { 0 } else { batch.len() };
        if lost > 0 {
            let mut behind = batch.split_off(at);
            batch.extend_from_slice(note.as_bytes());
            batch.append(&mut behind);
        }
        let mut torn = state.torn;
        let file = state.file.clone();
        state.writing = true;
        drop(state);

        let (written, outcome) = write(&file, &batch, &mut torn);

        let mut state = self.lock();
        state.writing = false;
        if Arc::ptr_eq(&state.file, &file) {
            state.torn = torn;
        }
        let (done, left) = batch.split_at_checked(written).unwrap_or((&batch, &[]));
        state.lose(left);
        if lost > 0 && done.len() < at + note.len() {
            // Those it told of are lost still, but it was none of them.
            state.lost = state.lost.saturating_add(lost).saturating_sub(1);
        }
        let news = match outcome {
            Err(e) => state.failed(e),
            Ok(()) => {
                (state.stuck, state.told) = (false, false);
                Ok(())
            }
        };
        drop(state);
        self.written.notify_all();
        news
    }
}

impl State {
    fn lose(&mut self, lines: &[u8]) {
        let count = memchr_iter(b'\n', lines).count() as u32;
        self.lost = self.lost.saturating_add(count);
    }

    /// Notes that lines could not be written, and returns the error if it is news; a pipe that is
    /// full is none.
    fn failed(&mut self, e: io::Error) -> io::Result<()> {
        self.stuck = true;
        if e.kind() == ErrorKind::WouldBlock || std::mem::replace(&mut self.told, true) {
            return Ok(());
        }
        Err(e)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;
    use std::time::Instant;

    use smol::future::FutureExt;

    use super::*;
    use crate::log::tests::Dir;

    fn append(dir: &Dir) -> (Append, PathBuf) {
        let path = dir.0.join("file");
        (Append::open(path.clone()).unwrap(), path)
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    /// Has it run until `done`.
    fn run_until(append: &Append, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        let wait = async {
            while !done() {
                assert!(Instant::now() < end);
                smol::Timer::after(Duration::from_millis(5)).await;
            }
        };
        ecohttpd::block_on(append.run(&Log::stderr()).or(wait));
    }

    fn pipe(path: &Path) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    }

    #[test]
    fn lines_are_appended_in_their_order() {
        let dir = Dir::new();
        std::fs::write(dir.0.join("file"), "there before\n").unwrap();
        let (append, path) = append(&dir);
        let mut all = String::from("there before\n");
        for round in 0..20 {
            for i in 0..100 {
                let line = format!("line {round} {i}\n");
                append.push(&line);
                all.push_str(&line);
            }
            run_until(&append, || text(&path).len() == all.len());
        }
        assert_eq!(text(&path), all);
        append.flush();
        assert_eq!(text(&path), all);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let dir = Dir::new();
        let (append, path) = append(&dir);
        let line = "x".repeat(99) + "\n";
        for _ in 0..1000 {
            append.push(&line);
        }
        assert!(append.shared.lock().lines.len() <= QUEUE);
        let kept = QUEUE / 100;
        let mut all = line.repeat(kept) + &format!("# {} lines were lost\n", 1000 - kept);
        run_until(&append, || text(&path).len() == all.len());
        append.push("and on\n");
        append.flush();
        all.push_str("and on\n");
        assert_eq!(text(&path), all);
    }

    #[test]
    fn a_file_is_private_and_has_a_name_in_errors() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new();
        let (_, path) = append(&dir);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        let e = Append::open("/nonexistent/log".into()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().starts_with("/nonexistent/log: No such file"), "{e}");
        let e = Append::open("/".into()).unwrap_err();
        assert!(e.to_string().starts_with("/: Is a directory"), "{e}");
    }

    #[test]
    fn a_file_may_be_renamed() {
        let dir = Dir::new();
        let (append, path) = append(&dir);
        append.push("one\n");
        append.flush();
        let old = dir.0.join("file.1");
        std::fs::rename(&path, &old).unwrap();
        append.push("two\n");
        append.flush();
        append.push("three\n");
        append.reopen().unwrap();
        append.push("four\n");
        append.flush();
        assert_eq!((&*text(&old), &*text(&path)), ("one\ntwo\n", "three\nfour\n"));
        std::fs::rename(&path, &old).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(append.reopen().unwrap_err().to_string().contains("Is a directory"));
        append.push("five\n");
        append.flush();
        assert_eq!(text(&old), "three\nfour\nfive\n", "it goes on");
    }

    #[test]
    fn an_error_is_told_once() {
        let dir = Dir::new();
        let append = Append::open("/dev/full".into()).unwrap();
        let put = |line: &str| {
            append.push(line);
            append.shared.write_batch().map_err(|e| e.kind())
        };
        assert_eq!(put("one\n"), Err(ErrorKind::StorageFull));
        assert_eq!(put("two\n"), Ok(()));
        assert_eq!(put("three\nfour\n"), Ok(()));
        let path = dir.0.join("file");
        let file = Arc::new(File::create(&path).unwrap());
        let full = std::mem::replace(&mut append.shared.lock().file, file);
        assert_eq!(put("five\n"), Ok(()));
        assert_eq!(text(&path), "# 4 lines were lost\nfive\n");
        assert_eq!(put("six\n"), Ok(()));
        append.shared.lock().file = full;
        assert_eq!(put("seven\n"), Err(ErrorKind::StorageFull));
        assert_eq!(put("eight\n"), Ok(()));
        assert_eq!(append.shared.lock().lost, 2);
        append.flush();
    }

    #[test]
    fn a_line_that_was_cut_gets_its_end() {
        let dir = Dir::new();
        let (append, path) = append(&dir);
        std::fs::write(&path, "cut").unwrap();
        append.shared.lock().torn = true;
        append.push("one\n");
        append.flush();
        append.push("two\n");
        append.flush();
        assert_eq!(text(&path), "cut\none\ntwo\n");
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let dir = Dir::new();
        let path = dir.0.join("file");
        pipe(&path);
        let append = Append::open(path.clone()).unwrap();
        let start = Instant::now();
        let all = 3000;
        for i in 0..all {
            append.push(&format!("{i:99}\n"));
            if i % 100 == 0 {
                append.flush();
            }
        }
        append.flush();
        assert!(start.elapsed() < Duration::from_secs(10));
        let mut reader = OpenOptions::new();
        let reader = reader.read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let read = || {
            let mut text = Vec::new();
            let _ = (&reader).read_to_end(&mut text);
            String::from_utf8(text).unwrap()
        };
        let text = read();
        // The end of the first flush may have left the last note in what room there was.
        let (lines, note) = text.split_at(text.find('#').unwrap_or(text.len()));
        let kept = lines.len() / 100;
        assert!(kept > 0 && kept < all && lines.len() % 100 == 0, "whole lines");
        for (i, line) in lines.lines().enumerate() {
            assert_eq!(line.trim().parse(), Ok(i));
        }
        append.push("there is room\n");
        append.flush();
        let expected = format!("# {} lines were lost\nthere is room\n", all - kept);
        assert_eq!(note.to_owned() + &read(), expected);
        assert!(!append.shared.lock().told, "to be full is no error");
    }
}
