//! The task of each child process of quell. Here, the modules that send requests are connected with the modules that serve
//! them.

use std::process::ExitCode;

use crate::child::{self, Role, Task};
use crate::inspect::{self, Keeper};
use crate::{perf, symbolize};

/// The body of a child process.
pub fn run(role: Role) -> ExitCode {
    child::run(role, task)
}

fn task(role: Role) -> Task {
    match role {
        Role::Keeper => {
            let keeper = Keeper::start();
            Task::Serve(Box::new(move |socket| keeper.serve(socket)))
        }
        Role::Readers | Role::Namers => Task::Copy,
        Role::Reader => Task::Serve(Box::new(inspect::serve_reader)),
        Role::Namer => Task::Serve(Box::new(symbolize::serve_namer)),
        Role::Opener => Task::Serve(Box::new(perf::serve_opener)),
    }
}
