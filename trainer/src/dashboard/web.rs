//! Runs in a browser: a page that draws what their logs say, and again as they grow.

mod series;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use self::series::series;
use super::compare::{beside, find_runs};
use super::follow::Follower;
use super::history::History;
use crate::error::{Result, WithPath};
use crate::serve::{Answer, Respond, Server};
use crate::train::log::now;

/// The page, its script and its style, part of the program.
const PAGE: &str = include_str!("web/index.html");
const SCRIPT: &str = include_str!("web/dashboard.js");
const STYLE: &str = include_str!("web/dashboard.css");

/// A page about the runs in a folder.
#[derive(Debug)]
pub struct Dashboard(Server);

impl Dashboard {
    /// Listens on `address` for the runs in `folder`, those that are yet to begin too.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unsuitable`] where there is no run, [`crate::Error::Io`] where the address
    /// cannot be used.
    pub fn bind(address: SocketAddr, folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_path(folder)?;
        find_runs(&folder)?;
        let site = Site {
            folder,
            runs: Mutex::default(),
        };
        Ok(Self(Server::listen(address, Arc::new(site))?))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] when the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.0.address()
    }

    /// Answers until the program ends.
    pub fn run(&self) {
        self.0.run();
    }
}

#[derive(Debug)]
struct Site {
    folder: PathBuf,
    /// Logs that have been read, by their folders.
    runs: Mutex<BTreeMap<PathBuf, Follower>>,
}

impl Respond for Site {
    fn respond(&self, parts: &[&str]) -> Answer {
        match parts {
            [] => Answer::text("index.html", PAGE.to_owned()),
            ["dashboard.js"] => Answer::text("dashboard.js", SCRIPT.to_owned()),
            ["dashboard.css"] => Answer::text("dashboard.css", STYLE.to_owned()),
            ["runs.json"] => self.runs(),
            ["run", run @ .., "data.json"] => {
                self.with_run(run, |follower| data(follower.history()))
            }
            ["run", rest @ ..] => self.picture(rest),
            _ => Answer::status(404),
        }
    }
}

impl Site {
    /// All runs side by side.
    fn runs(&self) -> Answer {
        let folders = find_runs(&self.folder).unwrap_or_default();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unreadable = Vec::new();
        runs.retain(|folder, _| folders.contains(folder));
        for folder in &folders {
            let follower = runs
                .entry(folder.clone())
                .or_insert_with(|| Follower::new(folder));
            if let Err(error) = follower.poll() {
                unreadable.push(error.to_string());
            }
        }
        let histories: Vec<(PathBuf, &History)> = runs
            .iter()
            .map(|(folder, follower)| {
                let id = folder.strip_prefix(&self.folder).unwrap_or(folder);
                (id.to_owned(), follower.history())
            })
            .collect();
        let found = beside(&histories, now());
        let value = json!({
            "folder": self.folder,
            "differing": found.differing,
            "runs": found.runs,
            "unreadable": unreadable,
        });
        Answer::json(value.to_string())
    }

    /// Answers from one run's log, read as far as it goes now.
    fn with_run(&self, run: &[&str], answer: impl FnOnce(&Follower) -> Answer) -> Answer {
        let folder = run.iter().fold(self.folder.clone(), |p, part| p.join(part));
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if !runs.contains_key(&folder) {
            // Only what the list of runs would show.
            if !find_runs(&self.folder).is_ok_and(|all| all.contains(&folder)) {
                return Answer::status(404);
            }
            runs.insert(folder.clone(), Follower::new(&folder));
        }
        let readable = runs.get_mut(&folder).is_some_and(|f| f.poll().is_ok());
        match runs.get(&folder) {
            Some(follower) if readable => answer(follower),
            _ => Answer::status(404),
        }
    }

    /// A picture that a run's log names.
    fn picture(&self, parts: &[&str]) -> Answer {
        // Where the run's name ends is known from the pictures' paths.
        (0..parts.len())
            .find_map(|split| {
                let (run, path) = parts.split_at(split);
                let path: PathBuf = path.iter().collect();
                let folder = run.iter().fold(self.folder.clone(), |p, part| p.join(part));
                let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
                let pictures = &runs.get(&folder)?.history().pictures;
                let listed = pictures.iter().any(|(_, p)| *p == path);
                listed.then(|| Answer::file(&folder, &parts[split..]))
            })
            .unwrap_or_else(|| Answer::status(404))
    }
}

/// What the page draws of one run.
fn data(history: &History) -> Answer {
    let value = json!({
        "summary": history.summary(now()),
        "config": history.run.as_ref().map(|run| &run.config),
        "steps": series(&history.steps),
        "validations": history.validations,
        "pictures": history.pictures,
        "checkpoints": history.checkpoints,
        "resumed": history.resumed,
    });
    Answer::json(value.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    use super::super::history::tests::{run, step};
    use super::*;
    use crate::train::log::{Logger, Record};

    fn ask(address: SocketAddr, target: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).expect("connected");
        write!(stream, "GET {target} HTTP/1.1\r\n\r\n").expect("asked");
        let mut answer = String::new();
        // Pictures are no text.
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("answered");
        answer.push_str(&String::from_utf8_lossy(&bytes));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn the_page_and_its_data_are_served_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("group/night run");
        std::fs::create_dir_all(deep.join("pictures")).expect("folders");
        std::fs::write(deep.join("pictures/step-1.png"), "a picture").expect("written");
        std::fs::write(deep.join("secret.png"), "no").expect("written");
        let mut log = Logger::create(&deep).expect("a log");
        log.write(&Record::Run(run("night run"))).expect("written");
        for i in 1..=5000 {
            log.write(&Record::Step(step(i))).expect("written");
        }
        let picture = Record::Picture {
            step: 1,
            path: "pictures/step-1.png".into(),
        };
        log.write(&picture).expect("written");

        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let dashboard = Dashboard::bind(any, folder.path()).expect("bound");
        let address = dashboard.address().expect("an address");
        thread::spawn(move || dashboard.run());

        let (head, page) = ask(address, "/");
        assert!(head.contains("Content-Security-Policy: default-src 'self'"));
        assert!(page.contains("dashboard.js") && !page.contains("http"));
        assert!(ask(address, "/dashboard.js").0.contains("text/javascript"));
        assert!(ask(address, "/dashboard.css").0.contains("text/css"));

        let runs: serde_json::Value =
            serde_json::from_str(&ask(address, "/runs.json").1).expect("JSON");
        assert_eq!(runs["runs"][0]["folder"], "group/night run");
        assert_eq!(runs["runs"][0]["step"], 5000);
        let data = ask(address, "/run/group/night%20run/data.json").1;
        let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        let steps = data["steps"]["step"].as_array().expect("steps");
        assert!((400..=1001).contains(&steps.len()), "{}", steps.len());
        assert_eq!(data["summary"]["name"], "night run");

        let (head, body) = ask(address, "/run/group/night%20run/pictures/step-1.png");
        assert!(head.contains("200 OK") && head.contains("image/png"));
        assert_eq!(body, "a picture");
        for other in [
            "/run/group/night%20run/secret.png",
            "/run/group/night%20run/log.jsonl",
            "/run/group/data.json",
            "/run/data.json",
            "/etc/passwd",
        ] {
            assert!(ask(address, other).0.contains("404"), "{other}");
        }
    }
}
