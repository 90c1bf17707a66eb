//! A script as a process, in a group of its own; and those that have done their part but not ended.

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::task::{Poll, Waker};

use ecohttpd::Descriptor;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

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
    child: Child,
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
        env: &Environment,
        input: Input,
        orphans: &Rc<Orphans>,
    ) -> io::Result<Process> {
        let mut command = match &script.interpreter {
            Some(interpreter) => {
                let mut command = Command::new(interpreter);
                command.arg(&script.path);
                command
            }
            None => Command::new(&script.path),
        };
        command.current_dir(dir).env_clear().envs(env.iter()).process_group(0);
        command.stdin(match input {
            Input::None => Stdio::null(),
            Input::Pipe => Stdio::piped(),
            Input::File(file) => file.into(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        sys::unblock_signals(&mut command);
        let mut child = command.spawn()?;
        let mut watched = || -> io::Result<_> {
            let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
            let stdin = child.stdin.take().map(Descriptor::new).transpose()?;
            let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((Descriptor::new(pidfd)?, stdin, Descriptor::new(stdout)?))
        };
        match watched() {
            Ok((pidfd, stdin, stdout)) => Ok(Process {
                child: Some(Running { child, pidfd }),
                stdin,
                stdout,
                orphans: orphans.clone(),
                released: false,
            }),
            Err(e) => {
                // It cannot be waited for but here, and it will not be long.
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
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
    /// Waits for the end of the process, not of those that it started itself. It is then reaped,
    /// and its number may become somebody else's.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            self.pidfd.readable().await;
            if let Some(status) = self.child.try_wait()? {
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
            let _ = kill_process_group(Pid::from_child(&running.child), Signal::KILL);
        }
        self.orphans.take(running);
    }
}

/// Whether a process was ended by a signal, so that its answer is not to be taken for whole.
pub(crate) fn was_killed(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// Processes that nobody waits for but to reap them.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    processes: RefCell<Vec<Running>>,
    reaper: RefCell<Option<Waker>>,
}

impl Orphans {
    fn take(&self, mut running: Running) {
        if matches!(running.child.try_wait(), Ok(None)) {
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
                    Poll::Ready(()) => matches!(running.child.try_wait(), Ok(None)),
                }
            });
            Poll::<()>::Pending
        })
        .await;
    }
}
