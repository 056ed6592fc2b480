//! What people watch runs with: their logs as histories, in the terminal, in a browser, and side
//! by side.

mod compare;
mod follow;
mod history;
mod terminal;
mod web;

pub use self::compare::{Comparison, Row, compare, find_runs};
pub use self::follow::Follower;
pub use self::history::{History, State, Summary};
pub use self::terminal::{Monitor, line};
pub use self::web::Dashboard;
