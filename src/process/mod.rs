//! Process managers: what has to happen because something happened.
//!
//! An aggregate decides about itself. A process manager connects aggregates: it tells the instances of a process what happens
//! elsewhere, sends on the commands that they ask for, and minds their deadlines. A process is an ordinary
//! [`Aggregate`](crate::Aggregate), so its instances have a history, and can be loaded, tested and looked into like any other:
//!
//! ```text
//!   events of         on          commands           events of        send       commands to
//!   other aggregates ────────▶ to an instance ─────▶ the instance ────────────▶ other aggregates
//!                                    ▲                    │
//!                                    └──── deadline ──────┘
//! ```
//!
//! [`Repository::process`](crate::Repository::process) puts one together. The guide is [`docs::processes`](crate::docs::processes).

mod lane;
mod ledger;
mod notebook;
mod route;
mod stuck;
mod desk;
mod worker;
mod handle;
mod builder;

pub use crate::runner::{Lag, State};
pub use builder::ProcessBuilder;
pub use handle::{ProcessManager, ProcessStatus};
pub use lane::Lane;
pub use route::Route;
pub use stuck::Stuck;
