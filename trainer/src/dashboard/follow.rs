//! Reading a log while it is written.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::history::History;
use crate::error::{Result, WithPath};
use crate::train::log::FILE;

/// A log and how far it has been read.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    history: History,
    /// Bytes read, all of whole lines.
    read: u64,
    /// The last line, by which a log that was written anew is known.
    last: Vec<u8>,
}

impl Follower {
    /// The log of a run's folder, from its beginning.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            history: History::default(),
            read: 0,
            last: Vec::new(),
        }
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What has been read so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Reads what is new; says whether there was anything. A log that a resumed run cut back is
    /// read again.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`]; [`crate::Error::Json`] for a line that is no record.
    pub fn poll(&mut self) -> Result<bool> {
        let path = self.folder.join(FILE);
        let mut file = File::open(&path).with_path(&path)?;
        let back = self.read - self.last.len() as u64;
        file.seek(SeekFrom::Start(back)).with_path(&path)?;
        let mut reader = BufReader::new(file);
        let mut seen = vec![0; self.last.len()];
        let same = reader.read_exact(&mut seen).is_ok() && seen == self.last;
        let mut changed = false;
        if !same {
            *self = Self::new(&self.folder);
            reader.seek(SeekFrom::Start(0)).with_path(&path)?;
            changed = true;
        }
        let mut text = Vec::new();
        loop {
            text.clear();
            reader.read_until(b'\n', &mut text).with_path(&path)?;
            // Half a line is read again when it is whole.
            if text.last() != Some(&b'\n') {
                return Ok(changed);
            }
            self.history
                .push(serde_json::from_slice(&text).with_path(&path)?);
            self.read += text.len() as u64;
            std::mem::swap(&mut self.last, &mut text);
            changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::super::history::tests::{run, step};
    use super::*;
    use crate::train::log::{Logger, Record};

    #[test]
    fn a_growing_log_is_read_as_it_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut follower = Follower::new(folder.path());
        assert!(follower.poll().is_err(), "there is no log yet");
        let mut log = Logger::create(folder.path()).expect("a log");
        assert!(!follower.poll().expect("an empty log"));
        log.write(&Record::Run(run("a"))).expect("written");
        for i in 1..=5 {
            log.write(&Record::Step(step(i))).expect("written");
        }
        assert!(follower.poll().expect("read"));
        assert!(!follower.poll().expect("nothing new"));
        assert_eq!(follower.history().step(), 5);

        // Half a line waits for its other half.
        let line = serde_json::to_vec(&Record::Step(step(6))).expect("JSON");
        let append = |bytes: &[u8]| {
            let path = folder.path().join(FILE);
            let mut file = fs::OpenOptions::new()
                .append(true)
                .open(path)
                .expect("open");
            file.write_all(bytes).expect("written");
        };
        append(&line[..20]);
        assert!(!follower.poll().expect("half a line"));
        append(&line[20..]);
        append(b"\n");
        assert!(follower.poll().expect("the other half"));
        assert_eq!(follower.history().step(), 6);

        // A resumed run goes back and writes more than was there before.
        let mut log = Logger::resume(folder.path(), 2).expect("resumed");
        for i in 3..=9 {
            let mut again = step(i);
            again.loss = 7.0;
            log.write(&Record::Step(again)).expect("written");
        }
        assert!(follower.poll().expect("read anew"));
        let losses: Vec<f64> = follower.history().steps.iter().map(|s| s.loss).collect();
        assert_eq!(losses, [1.0, 0.5, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]);
    }
}
