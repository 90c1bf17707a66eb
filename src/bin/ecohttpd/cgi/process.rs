//! A script as a process, in a group of its own; and those that have done their part but not ended.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ecohttpd::Descriptor;
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, waitpid,
};

use super::env::Environment;
use crate::site::Script;
use crate::sys;

/// What a script reads.
pub(crate) enum Input {
    None,
    Pipe,
    File(File),
}

/// A script that runs. If it is dropped before it is released, all of its group is killed.
#[derive(Debug)]
pub(crate) struct Process {
    pub(super) child: Option<Running>,
    pub(crate) stdin: Option<Descriptor>,
    pub(crate) stdout: Descriptor,
    orphans: Rc<Orphans>,
    released: bool,
}

/// A process that has not been reaped.
#[derive(Debug)]
pub(super) struct Running {
    pid: Pid,
    /// Readable once the process has ended.
    pidfd: Descriptor,
}

impl Process {
    /// Starts `script` in the directory `dir`, with nothing of ours but standard error.
    ///
    /// # Errors
    ///
    /// Those of `execve(2)`, and of a lack of descriptors or memory.
    pub(crate) fn spawn(
        script: &Script,
        dir: &Path,
        env: Environment,
        input: Input,
        orphans: &Rc<Orphans>,
    ) -> io::Result<Process> {
        let path = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let mut args = Vec::new();
        if let Some(interpreter) = &script.interpreter {
            args.push(path(interpreter)?);
        }
        args.push(path(&script.path)?);
        let (stdin, ours) = match input {
            Input::None => (File::open("/dev/null")?.into(), None),
            Input::Pipe => {
                pipe_with(PipeFlags::CLOEXEC).map(|(read, write)| (read, Some(write)))?
            }
            Input::File(file) => (file.into(), None),
        };
        let (output, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let env = env.into_lines()?;
        let pid = sys::spawn(&args, &env, &path(dir)?, stdin.as_fd(), stdout.as_fd())?;
        // They are the script's; and whatever has not come yet ends with it.
        drop((stdin, stdout));
        let watched = || -> io::Result<_> {
            let pidfd = Descriptor::new(pidfd_open(pid, PidfdFlags::empty())?)?;
            Ok((pidfd, ours.map(Descriptor::new).transpose()?, Descriptor::new(output)?))
        };
        match watched() {
            Ok((pidfd, stdin, stdout)) => Ok(Process {
                child: Some(Running { pid, pidfd }),
                stdin,
                stdout,
                orphans: orphans.clone(),
                released: false,
            }),
            Err(e) => {
                // It cannot be waited for but here, and it will not be long.
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
                Err(e)
            }
        }
    }

    /// Lets it go: what it does after its answer is its own affair, and it is reaped when it ends.
    pub(crate) fn release(mut self) {
        self.released = true;
    }
}

impl Running {
    /// Reaps it, if it has ended.
    fn reap(&self) -> io::Result<Option<WaitStatus>> {
        let ended = retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::NOHANG))?;
        Ok(ended.map(|(_, status)| status))
    }

    /// Waits for the end of the process, not of those that it started itself. It is then reaped,
    /// and its number may become somebody else's.
    pub(super) async fn ended(&mut self) -> io::Result<WaitStatus> {
        loop {
            self.pidfd.readable().await;
            if let Some(status) = self.reap()? {
                return Ok(status);
            }
            // Heard of it before it was quite over.
            smol::future::yield_now().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(running) = self.child.take() else {
            return;
        };
        if !self.released {
            let _ = kill_process_group(running.pid, Signal::KILL);
        }
        self.orphans.take(running);
    }
}

/// Whether a process was ended by a signal, so that its answer is not to be taken for whole.
pub(crate) fn was_killed(status: WaitStatus) -> Option<i32> {
    status.terminating_signal()
}

/// Processes that nobody waits for but to reap them.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    processes: RefCell<Vec<Running>>,
    reaper: RefCell<Option<Waker>>,
}

impl Orphans {
    fn take(&self, running: Running) {
        if matches!(running.reap(), Ok(None)) {
            self.processes.borrow_mut().push(running);
            let reaper = self.reaper.borrow_mut().take();
            if let Some(reaper) = reaper {
                reaper.wake();
            }
        }
    }

    /// Reaps them, for as long as it is polled.
    pub(crate) async fn reap(&self) {
        poll_fn(|cx| {
            self.reaper.replace(Some(cx.waker().clone()));
            self.processes.borrow_mut().retain_mut(|running| {
                match pin!(running.pidfd.readable()).poll(cx) {
                    Poll::Pending => true,
                    // What cannot be waited for is not ours any more.
                    Poll::Ready(()) => matches!(running.reap(), Ok(None)),
                }
            });
            Poll::<()>::Pending
        })
        .await;
    }
}
